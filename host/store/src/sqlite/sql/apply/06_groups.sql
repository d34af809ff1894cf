-- A group that returns takes the place of its tombstone.
INSERT INTO directory_group (group_key, tenant_id, directory_key, name, description, provider_kind)
SELECT p.group_key, :tenant_id, :directory_key, s.name, s.description, s.provider_kind
FROM plan_group AS p
CROSS JOIN staged_group AS s ON s.group_no = p.group_no
WHERE p.operation <> 3
ORDER BY p.group_key
ON CONFLICT (group_key) DO UPDATE SET
    name = excluded.name,
    description = excluded.description,
    provider_kind = excluded.provider_kind,
    deleted_at = NULL,
    deleted_reason = NULL,
    deleted_run = NULL;
