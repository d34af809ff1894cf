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
    (SELECT coalesce(sum(created_count), 0) FROM plan_member_list),
    (SELECT coalesce(sum(deleted_count), 0) FROM plan_member_list),
    (SELECT coalesce(sum(with_user), 0) FROM plan_member_list),
    (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 1),
    (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 2),
    (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 3)
FROM directory AS d
WHERE d.tenant_id = :tenant_id AND d.directory_key = :directory_key;
