-- The same, the other way round, in the order of that table.
INSERT INTO membership_by_user (user_key, group_key, tenant_id)
SELECT m.user_key, m.group_key, :tenant_id
FROM plan_member AS m
WHERE m.list_step = 1
ORDER BY m.user_key, m.group_key;
