-- Readers are told of users who go.
SELECT
    3, p.reason, i.external_id,
    u.email, u.username, u.display_name, u.given_name, u.family_name, u.status,
    NULL, NULL, NULL, NULL, NULL, NULL
FROM plan_user AS p
CROSS JOIN user_identity AS i ON i.user_key = p.user_key
CROSS JOIN directory_user AS u ON u.user_key = p.user_key
WHERE p.operation = 3
ORDER BY p.user_key;
