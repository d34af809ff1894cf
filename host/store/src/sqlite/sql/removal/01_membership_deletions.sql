-- Readers are told that every membership of the directory goes.
INSERT INTO change (tenant_id, seq, run_key, directory_key, kind, operation, user_key, group_key, reason)
SELECT
    :tenant_id, :seq + row_number() OVER (ORDER BY m.group_key, m.user_key), :run_key, :directory_key, 3, 3,
    m.user_key, m.group_key, 'removed'
FROM group_identity AS i
CROSS JOIN directory_group AS g ON g.group_key = i.group_key
CROSS JOIN membership AS m ON m.group_key = i.group_key
CROSS JOIN directory_user AS u ON u.user_key = m.user_key
WHERE i.directory_key = :directory_key
  AND g.deleted_at IS NULL
  AND u.deleted_at IS NULL
ORDER BY m.group_key, m.user_key;
