-- Users of a plan as people know them.
SELECT
    coalesce(i.external_id, n.external_id),
    coalesce(s.email, u.email),
    p.reason
FROM plan_user AS p
LEFT JOIN user_identity AS i ON i.user_key = p.user_key
LEFT JOIN staged_person AS n ON n.person_no = p.person_no
LEFT JOIN staged_user AS s ON s.row_no = p.row_no
LEFT JOIN directory_user AS u ON u.user_key = p.user_key
WHERE p.operation = :operation
ORDER BY p.user_key
LIMIT :limit;
