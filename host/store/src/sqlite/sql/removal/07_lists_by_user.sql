-- The same, the other way round.
DELETE FROM membership_by_user
WHERE tenant_id = :tenant_id
  AND user_key IN (SELECT i.user_key FROM user_identity AS i WHERE i.directory_key = :directory_key);
