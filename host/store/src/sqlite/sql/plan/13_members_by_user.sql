-- Users who come or go, in groups that stay and whose list was not read: the stored list holds.
INSERT INTO plan_member (group_key, user_key, list_step, operation)
SELECT m.group_key, u.user_key, 0, u.operation
FROM plan_user AS u
CROSS JOIN membership_by_user AS m ON m.user_key = u.user_key
CROSS JOIN directory_group AS g ON g.group_key = m.group_key
WHERE u.operation <> 2
  AND g.deleted_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM plan_list AS l WHERE l.group_key = m.group_key)
  AND NOT EXISTS (SELECT 1 FROM plan_group AS p WHERE p.group_key = m.group_key AND p.operation = 3);
