-- Runs that ended long ago and that nothing refers to: neither a kept change, a held plan, a tombstone, nor the
-- directory's state. The newest run is that state, and the last one that was applied is what the guard compares with.
SELECT r.run_key
FROM run AS r
WHERE r.tenant_id = :tenant_id
  AND r.directory_key = :directory_key
  AND r.ended_at < :cutoff
  AND r.outcome <> 'held'
  AND NOT EXISTS (SELECT 1 FROM change_block AS c WHERE c.tenant_id = r.tenant_id AND c.last_seq = r.applied_seq)
  AND NOT EXISTS (SELECT 1 FROM held_plan AS p WHERE p.run_key = r.run_key)
  AND NOT EXISTS (SELECT 1 FROM lease AS l WHERE l.run_key = r.run_key)
  AND r.run_key NOT IN (
      SELECT u.deleted_run
      FROM directory_user AS u
      WHERE u.directory_key = :directory_key AND u.deleted_at IS NOT NULL AND u.deleted_run IS NOT NULL
  )
  AND r.run_key NOT IN (
      SELECT g.deleted_run
      FROM directory_group AS g
      WHERE g.directory_key = :directory_key AND g.deleted_at IS NOT NULL AND g.deleted_run IS NOT NULL
  )
  AND r.run_key <> (SELECT max(n.run_key) FROM run AS n WHERE n.directory_key = :directory_key)
  AND r.run_key IS NOT (
      SELECT max(a.run_key)
      FROM run AS a
      WHERE a.directory_key = :directory_key AND a.outcome = 'succeeded' AND NOT a.dry_run
  );
