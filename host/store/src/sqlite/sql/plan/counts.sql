-- What the plan does, in numbers, beside what is stored.
SELECT
    d.users,
    d.groups,
    d.memberships,
    d.first_applied_at IS NULL,
    (SELECT count(*) FROM plan_user WHERE operation = 1),
    (SELECT count(*) FROM plan_user WHERE operation = 2),
    (SELECT count(*) FROM plan_user WHERE operation = 3),
    (SELECT count(*) FROM plan_group WHERE operation = 1),
    (SELECT count(*) FROM plan_group WHERE operation = 2),
    (SELECT count(*) FROM plan_group WHERE operation = 3),
    (SELECT count(*) FROM plan_member WHERE operation = 1),
    (SELECT count(*) FROM plan_member WHERE operation = 3),
    (
        SELECT count(*)
        FROM plan_user AS u
        CROSS JOIN membership_by_user AS b ON b.user_key = u.user_key
        CROSS JOIN plan_member AS m ON m.group_key = b.group_key AND m.user_key = b.user_key
        WHERE u.operation = 3
          AND m.operation = 3
          AND NOT EXISTS (SELECT 1 FROM plan_group AS g WHERE g.group_key = m.group_key AND g.operation = 3)
    ),
    (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 1),
    (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 2),
    (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 3)
FROM directory AS d
WHERE d.tenant_id = :tenant_id AND d.directory_key = :directory_key;
