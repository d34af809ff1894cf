-- Ids of groups that the directory has never seen, in their order.
INSERT INTO plan_new_group (external_id, group_no)
SELECT g.external_id, g.group_no
FROM staged_group AS g
WHERE g.is_listed AND NOT g.is_dropped
  AND NOT EXISTS (
      SELECT 1
      FROM group_identity AS i
      WHERE i.directory_key = :directory_key AND i.external_id = g.external_id
  )
ORDER BY g.external_id;
