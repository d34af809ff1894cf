-- Memberships that go, but for those that go with their user: the guard does not count these again.
INSERT INTO recent_membership_deletion (group_key, user_key, tenant_id, directory_key, deleted_at)
SELECT m.group_key, m.user_key, :tenant_id, :directory_key, :now
FROM plan_member AS m
WHERE m.operation = 3
  AND (
      NOT EXISTS (SELECT 1 FROM plan_user AS u WHERE u.user_key = m.user_key AND u.operation = 3)
      OR EXISTS (SELECT 1 FROM plan_group AS g WHERE g.group_key = m.group_key AND g.operation = 3)
  )
ORDER BY m.group_key, m.user_key
ON CONFLICT DO UPDATE SET deleted_at = excluded.deleted_at;
