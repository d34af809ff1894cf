-- Identities of users that are seen for the first time.
INSERT INTO user_identity (user_key, tenant_id, directory_key, external_id)
SELECT h.user_key_base + n.n, :tenant_id, :directory_key, n.external_id
FROM plan_head AS h
CROSS JOIN plan_new_user AS n
WHERE n.n > :after AND n.n <= :until;
