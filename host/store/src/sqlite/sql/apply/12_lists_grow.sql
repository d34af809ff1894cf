-- Pairs that join their list.
INSERT INTO membership (group_key, user_key, tenant_id)
SELECT m.group_key, m.user_key, :tenant_id
FROM plan_member AS m
WHERE m.list_step = 1
ORDER BY m.group_key, m.user_key;
