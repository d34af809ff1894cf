-- Identities of groups that are seen for the first time.
INSERT INTO group_identity (group_key, tenant_id, directory_key, external_id)
SELECT h.group_key_base + n.n, :tenant_id, :directory_key, n.external_id
FROM plan_head AS h
CROSS JOIN plan_new_group AS n
ORDER BY n.n;
