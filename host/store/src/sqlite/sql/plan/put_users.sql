-- Everyone who was put as a user, in the order of putting, with what the directory knows of them.
SELECT
    s.person_no,
    s.row_no,
    s.active,
    i.user_key,
    u.user_key IS NOT NULL,
    (u.email, u.username, u.display_name, u.given_name, u.family_name, u.status)
        IS NOT (s.email, s.username, s.display_name, s.given_name, s.family_name, s.status)
FROM staged_user AS s
LEFT JOIN user_identity AS i ON i.directory_key = :directory_key AND i.external_id = s.external_id
LEFT JOIN directory_user AS u ON u.user_key = i.user_key AND u.deleted_at IS NULL
ORDER BY s.row_no;
