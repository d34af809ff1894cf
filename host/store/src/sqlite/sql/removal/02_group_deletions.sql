-- Readers are told that every group of the directory goes.
INSERT INTO change (tenant_id, seq, run_key, directory_key, kind, operation, group_key, reason, before)
SELECT
    :tenant_id, :seq + row_number() OVER (ORDER BY i.group_key), :run_key, :directory_key, 2, 3, i.group_key, 'removed',
    json_object('external_id', i.external_id, 'name', g.name, 'description', g.description)
FROM group_identity AS i
CROSS JOIN directory_group AS g ON g.group_key = i.group_key
WHERE i.directory_key = :directory_key AND g.deleted_at IS NULL
ORDER BY i.group_key;
