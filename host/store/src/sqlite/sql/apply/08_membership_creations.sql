-- Readers are told of memberships that they see newly.
INSERT INTO change (tenant_id, seq, run_key, directory_key, kind, operation, user_key, group_key)
SELECT
    :tenant_id, :seq + row_number() OVER (ORDER BY m.group_key, m.user_key), :run_key, :directory_key, 3, 1,
    m.user_key, m.group_key
FROM plan_member AS m
WHERE m.operation = 1
ORDER BY m.group_key, m.user_key;
