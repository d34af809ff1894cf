-- Groups of a plan as people know them.
SELECT
    coalesce(i.external_id, n.external_id),
    coalesce(s.name, g.name),
    p.reason
FROM plan_head AS h
CROSS JOIN plan_group AS p
LEFT JOIN group_identity AS i ON i.group_key = p.group_key
LEFT JOIN plan_new_group AS n ON n.n = p.group_key - h.group_key_base
LEFT JOIN staged_group AS s ON s.group_no = p.group_no
LEFT JOIN directory_group AS g ON g.group_key = p.group_key
WHERE p.operation = :operation
ORDER BY p.group_key
LIMIT :limit;
