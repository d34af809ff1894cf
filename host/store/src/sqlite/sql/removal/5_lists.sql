-- Nobody will read these lists again.
DELETE FROM member_list
WHERE tenant_id = :tenant_id
  AND group_key IN (SELECT i.group_key FROM group_identity AS i WHERE i.directory_key = :directory_key);
