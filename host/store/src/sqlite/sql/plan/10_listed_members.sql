-- Of the lists that were read: pairs that are new in their list, or that readers see newly or no longer.
INSERT INTO plan_member (group_key, user_key, list_step, operation)
SELECT group_key, user_key, list_step, operation
FROM (
    SELECT
        l.group_key AS group_key,
        p.user_key AS user_key,
        o.user_key IS NULL AS list_step,
        CASE
            WHEN p.is_live THEN NOT (o.user_key IS NOT NULL AND p.was_live AND l.was_live)
            WHEN o.user_key IS NOT NULL AND p.was_live AND l.was_live THEN 3
            ELSE 0
        END AS operation
    FROM plan_list AS l
    CROSS JOIN staged_member AS m ON m.group_no = l.group_no
    CROSS JOIN plan_person AS p ON p.person_no = m.person_no
    LEFT JOIN membership AS o ON o.group_key = l.group_key AND o.user_key = p.user_key
)
WHERE list_step <> 0 OR operation <> 0
ORDER BY group_key, user_key;
