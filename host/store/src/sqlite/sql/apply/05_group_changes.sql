-- Readers are told of groups that are new or read differently. Those that the directory never saw have no identity yet.
SELECT
    p.operation, NULL, coalesce(i.external_id, n.external_id),
    g.name, g.description,
    s.name, s.description
FROM plan_group AS p
CROSS JOIN staged_group AS s ON s.group_no = p.group_no
LEFT JOIN group_identity AS i ON i.group_key = p.group_key
LEFT JOIN plan_new_group AS n ON n.n = p.group_key - (SELECT h.group_key_base FROM plan_head AS h)
LEFT JOIN directory_group AS g ON p.operation = 2 AND g.group_key = p.group_key
WHERE p.operation <> 3
ORDER BY p.group_key;
