-- Readers are told of memberships that they see newly.
SELECT 3, 1, m.user_key, m.group_key, NULL, NULL, NULL
FROM plan_member AS m
WHERE m.operation = 1
ORDER BY m.group_key, m.user_key;
