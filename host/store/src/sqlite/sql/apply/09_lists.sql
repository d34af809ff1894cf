-- Lists that name others now. A list of nobody has no row.
INSERT INTO member_list (group_key, tenant_id, users)
SELECT p.group_key, :tenant_id, p.users
FROM plan_member_list AS p
WHERE p.users <> x''
ORDER BY p.group_key
ON CONFLICT (group_key) DO UPDATE SET users = excluded.users;
