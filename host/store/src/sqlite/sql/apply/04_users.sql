-- A user who returns takes the place of his tombstone.
INSERT INTO directory_user (
    user_key, tenant_id, directory_key, email, username, display_name, given_name, family_name, status
)
SELECT
    p.user_key, :tenant_id, :directory_key, s.email, s.username, s.display_name, s.given_name, s.family_name, s.status
FROM plan_user AS p
CROSS JOIN staged_user AS s ON s.row_no = p.row_no
WHERE p.operation <> 3 AND p.user_key > :after AND p.user_key <= :until
ORDER BY p.user_key
ON CONFLICT (user_key) DO UPDATE SET
    email = excluded.email,
    username = excluded.username,
    display_name = excluded.display_name,
    given_name = excluded.given_name,
    family_name = excluded.family_name,
    status = excluded.status,
    deleted_at = NULL,
    deleted_reason = NULL,
    deleted_run = NULL;
