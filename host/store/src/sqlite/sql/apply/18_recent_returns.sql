-- Memberships that are back went never.
DELETE FROM recent_membership_deletion AS r
WHERE r.directory_key = :directory_key
  AND EXISTS (
      SELECT 1
      FROM plan_member AS m
      WHERE m.group_key = r.group_key AND m.user_key = r.user_key AND m.operation = 1
  );
