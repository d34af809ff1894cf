-- Groups stay as tombstones.
UPDATE directory_group
SET deleted_at = :now, deleted_reason = 'removed', deleted_run = :run_key,
    changed_at = NULL, tag = NULL, read_at = NULL
WHERE tenant_id = :tenant_id
  AND group_key IN (SELECT i.group_key FROM group_identity AS i WHERE i.directory_key = :directory_key)
  AND deleted_at IS NULL;
