-- Of the lists that were read: stored pairs that are not in them. Only lists that lost someone are walked: those whose
-- stored pairs are more than the ones found again.
INSERT INTO plan_member (group_key, user_key, list_step, operation)
SELECT
    l.group_key,
    o.user_key,
    -1,
    CASE
        WHEN l.was_live
         AND EXISTS (SELECT 1 FROM directory_user AS u WHERE u.user_key = o.user_key AND u.deleted_at IS NULL)
            THEN 3
        ELSE 0
    END
FROM plan_list AS l
CROSS JOIN membership AS o ON o.group_key = l.group_key
WHERE l.stored_count > l.staged_count - (
        SELECT count(*) FROM plan_member AS a WHERE a.group_key = l.group_key AND a.list_step = 1
    )
  AND NOT EXISTS (
        SELECT 1
        FROM plan_person AS p
        JOIN staged_member AS m ON m.group_no = l.group_no AND m.person_no = p.person_no
        WHERE p.user_key = o.user_key
    );
