-- Everyone whom the directory knows, with the row that readers see of them, in the order of their ids.
SELECT
    i.external_id, i.user_key, u.user_key IS NOT NULL, u.email, u.username, u.display_name, u.given_name,
    u.family_name, u.status
FROM user_identity AS i
LEFT JOIN directory_user AS u ON u.user_key = i.user_key AND u.deleted_at IS NULL
WHERE i.directory_key = :directory_key
ORDER BY i.external_id;
