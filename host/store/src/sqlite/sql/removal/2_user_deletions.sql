-- Readers are told that every user of the directory goes.
SELECT
    3, 'removed', i.external_id,
    u.email, u.username, u.display_name, u.given_name, u.family_name, u.status,
    NULL, NULL, NULL, NULL, NULL, NULL
FROM user_identity AS i
CROSS JOIN directory_user AS u ON u.user_key = i.user_key
WHERE i.directory_key = :directory_key AND u.deleted_at IS NULL
ORDER BY i.user_key;
