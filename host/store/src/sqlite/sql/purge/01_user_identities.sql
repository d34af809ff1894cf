-- Ids of users that neither a row, a member list, a change nor the guard names. The ids of the changes are gathered
-- once.
DELETE FROM user_identity AS i
WHERE i.tenant_id = :tenant_id
  AND i.directory_key = :directory_key
  AND NOT EXISTS (SELECT 1 FROM directory_user AS u WHERE u.user_key = i.user_key)
  AND NOT EXISTS (SELECT 1 FROM membership_by_user AS m WHERE m.user_key = i.user_key)
  AND i.user_key NOT IN (
      SELECT c.user_key
      FROM change AS c
      WHERE c.tenant_id = :tenant_id AND c.directory_key = :directory_key AND c.user_key IS NOT NULL
  )
  AND i.user_key NOT IN (
      SELECT r.user_key
      FROM recent_membership_deletion AS r
      WHERE r.directory_key = :directory_key
  );
