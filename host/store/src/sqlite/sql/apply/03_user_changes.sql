-- Readers are told of users who are new or read differently. Those whom the directory never saw have no identity yet.
SELECT
    p.operation, NULL, coalesce(i.external_id, n.external_id),
    u.email, u.username, u.display_name, u.given_name, u.family_name, u.status,
    s.email, s.username, s.display_name, s.given_name, s.family_name, s.status
FROM plan_user AS p
CROSS JOIN staged_user AS s ON s.person_no = p.person_no
LEFT JOIN user_identity AS i ON i.user_key = p.user_key
LEFT JOIN plan_new_user AS n ON n.n = p.user_key - (SELECT h.user_key_base FROM plan_head AS h)
LEFT JOIN directory_user AS u ON p.operation = 2 AND u.user_key = p.user_key
WHERE p.operation <> 3
ORDER BY p.user_key;
