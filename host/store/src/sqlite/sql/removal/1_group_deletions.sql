-- Readers are told that every group of the directory goes.
SELECT
    3, 'removed', i.external_id,
    g.name, g.description,
    NULL, NULL
FROM group_identity AS i
CROSS JOIN directory_group AS g ON g.group_key = i.group_key
WHERE i.directory_key = :directory_key AND g.deleted_at IS NULL
ORDER BY i.group_key;
