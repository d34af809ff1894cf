-- Readers are told of groups that are new or read differently.
SELECT
    p.operation, NULL, i.external_id,
    g.name, g.description,
    s.name, s.description
FROM plan_group AS p
CROSS JOIN group_identity AS i ON i.group_key = p.group_key
CROSS JOIN staged_group AS s ON s.group_no = p.group_no
LEFT JOIN directory_group AS g ON p.operation = 2 AND g.group_key = p.group_key
WHERE p.operation <> 3
ORDER BY p.group_key;
