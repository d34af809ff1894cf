-- Readers are told of users who go.
SELECT
    1,
    3,
    p.user_key,
    NULL,
    p.reason,
    json_object(
        'external_id', i.external_id, 'email', u.email, 'username', u.username, 'display_name', u.display_name,
        'given_name', u.given_name, 'family_name', u.family_name, 'status', u.status
    ),
    NULL
FROM plan_user AS p
CROSS JOIN user_identity AS i ON i.user_key = p.user_key
CROSS JOIN directory_user AS u ON u.user_key = p.user_key
WHERE p.operation = 3
ORDER BY p.user_key;
