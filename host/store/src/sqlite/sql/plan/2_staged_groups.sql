-- Every group that was put, with whether readers saw it and will see it.
INSERT INTO plan_staged_group (group_no, group_key, was_live, is_live)
SELECT s.group_no, i.group_key, g.group_key IS NOT NULL, s.is_listed AND NOT s.is_dropped
FROM staged_group AS s
CROSS JOIN group_identity AS i ON i.directory_key = :directory_key AND i.external_id = s.external_id
LEFT JOIN directory_group AS g ON g.group_key = i.group_key AND g.deleted_at IS NULL
UNION ALL
SELECT n.group_no, h.group_key_base + n.n, 0, 1
FROM plan_head AS h
CROSS JOIN plan_new_group AS n;
