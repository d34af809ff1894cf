-- Readers are told of users who are new or read differently.
SELECT
    p.operation, NULL, s.external_id,
    u.email, u.username, u.display_name, u.given_name, u.family_name, u.status,
    s.email, s.username, s.display_name, s.given_name, s.family_name, s.status
FROM plan_user AS p
CROSS JOIN staged_user AS s ON s.row_no = p.row_no
LEFT JOIN directory_user AS u ON p.operation = 2 AND u.user_key = p.user_key
WHERE p.operation <> 3
ORDER BY p.user_key;
