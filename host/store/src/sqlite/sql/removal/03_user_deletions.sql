-- Readers are told that every user of the directory goes.
SELECT
    1,
    3,
    i.user_key,
    NULL,
    'removed',
    json_object(
        'external_id', i.external_id, 'email', u.email, 'username', u.username, 'display_name', u.display_name,
        'given_name', u.given_name, 'family_name', u.family_name, 'status', u.status
    ),
    NULL
FROM user_identity AS i
CROSS JOIN directory_user AS u ON u.user_key = i.user_key
WHERE i.directory_key = :directory_key AND u.deleted_at IS NULL
ORDER BY i.user_key;
