-- Users stay as tombstones.
UPDATE directory_user
SET deleted_at = :now, deleted_reason = 'removed', deleted_run = :run_key
WHERE tenant_id = :tenant_id
  AND user_key IN (SELECT i.user_key FROM user_identity AS i WHERE i.directory_key = :directory_key)
  AND deleted_at IS NULL;
