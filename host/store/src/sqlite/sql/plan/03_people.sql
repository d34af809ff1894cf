-- Everyone who was put, with whether readers saw them and will see them.
INSERT INTO plan_person (person_no, user_key, was_live, is_live)
SELECT p.person_no, i.user_key, u.user_key IS NOT NULL, coalesce(s.active, 0)
FROM staged_person AS p
CROSS JOIN user_identity AS i ON i.directory_key = :directory_key AND i.external_id = p.external_id
LEFT JOIN directory_user AS u ON u.user_key = i.user_key AND u.deleted_at IS NULL
LEFT JOIN staged_user AS s ON s.person_no = p.person_no
UNION ALL
SELECT n.person_no, h.user_key_base + n.n, 0, coalesce(s.active, 0)
FROM plan_head AS h
CROSS JOIN plan_new_user AS n
LEFT JOIN staged_user AS s ON s.person_no = n.person_no
ORDER BY 1;
