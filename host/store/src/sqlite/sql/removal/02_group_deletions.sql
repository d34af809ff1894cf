-- Readers are told that every group of the directory goes.
SELECT
    2,
    3,
    NULL,
    i.group_key,
    'removed',
    json_object('external_id', i.external_id, 'name', g.name, 'description', g.description),
    NULL
FROM group_identity AS i
CROSS JOIN directory_group AS g ON g.group_key = i.group_key
WHERE i.directory_key = :directory_key AND g.deleted_at IS NULL
ORDER BY i.group_key;
