-- The lists of groups that go.
INSERT INTO plan_member (group_key, user_key, list_step, operation)
SELECT
    g.group_key,
    o.user_key,
    -1,
    CASE
        WHEN EXISTS (SELECT 1 FROM directory_user AS u WHERE u.user_key = o.user_key AND u.deleted_at IS NULL)
            THEN 3
        ELSE 0
    END
FROM plan_group AS g
CROSS JOIN membership AS o ON o.group_key = g.group_key
WHERE g.operation = 3;
