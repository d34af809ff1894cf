-- Ids of groups that neither a row, a member list, a change of a membership nor the guard names.
DELETE FROM group_identity AS i
WHERE i.tenant_id = :tenant_id
  AND i.directory_key = :directory_key
  AND NOT EXISTS (SELECT 1 FROM directory_group AS g WHERE g.group_key = i.group_key)
  AND NOT EXISTS (SELECT 1 FROM member_list AS m WHERE m.group_key = i.group_key)
  AND i.group_key NOT IN (
      SELECT c.group_key
      FROM change_block AS c
      WHERE c.tenant_id = :tenant_id AND c.directory_key = :directory_key AND c.group_key IS NOT NULL
  )
  AND i.group_key NOT IN (
      SELECT r.group_key
      FROM recent_list_deletion AS r
      WHERE r.directory_key = :directory_key
  );
