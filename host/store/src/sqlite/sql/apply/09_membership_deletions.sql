-- The reason is the user's or the group's where one of them goes.
SELECT
    3,
    3,
    m.user_key,
    m.group_key,
    coalesce(
        (SELECT g.reason FROM plan_group AS g WHERE g.group_key = m.group_key AND g.operation = 3),
        (SELECT u.reason FROM plan_user AS u WHERE u.user_key = m.user_key AND u.operation = 3),
        'absent'
    ),
    NULL,
    NULL
FROM plan_member AS m
WHERE m.operation = 3
ORDER BY m.group_key, m.user_key;
