-- Readers are told that every membership of the directory goes.
SELECT 3, 3, m.user_key, m.group_key, 'removed', NULL, NULL
FROM group_identity AS i
CROSS JOIN directory_group AS g ON g.group_key = i.group_key
CROSS JOIN membership AS m ON m.group_key = i.group_key
CROSS JOIN directory_user AS u ON u.user_key = m.user_key
WHERE i.directory_key = :directory_key
  AND g.deleted_at IS NULL
  AND u.deleted_at IS NULL
ORDER BY m.group_key, m.user_key;
