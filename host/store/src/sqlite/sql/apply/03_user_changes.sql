-- Readers are told of users who are new or read differently.
SELECT
    1,
    p.operation,
    p.user_key,
    NULL,
    NULL,
    CASE WHEN p.operation = 2 THEN json_object(
        'external_id', i.external_id, 'email', u.email, 'username', u.username, 'display_name', u.display_name,
        'given_name', u.given_name, 'family_name', u.family_name, 'status', u.status
    ) END,
    json_object(
        'external_id', i.external_id, 'email', s.email, 'username', s.username, 'display_name', s.display_name,
        'given_name', s.given_name, 'family_name', s.family_name, 'status', s.status
    )
FROM plan_user AS p
CROSS JOIN user_identity AS i ON i.user_key = p.user_key
CROSS JOIN staged_user AS s ON s.person_no = p.person_no
LEFT JOIN directory_user AS u ON p.operation = 2 AND u.user_key = p.user_key
WHERE p.operation <> 3
ORDER BY p.user_key;
