-- Readers are told of groups that go.
SELECT
    3, p.reason, i.external_id,
    g.name, g.description,
    NULL, NULL
FROM plan_group AS p
CROSS JOIN group_identity AS i ON i.group_key = p.group_key
CROSS JOIN directory_group AS g ON g.group_key = p.group_key
WHERE p.operation = 3
ORDER BY p.group_key;
