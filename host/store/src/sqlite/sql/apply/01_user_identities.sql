-- Identities of users that are seen for the first time.
INSERT INTO user_identity (user_key, tenant_id, directory_key, external_id)
SELECT p.user_key, :tenant_id, :directory_key, n.external_id
FROM plan_user AS p
CROSS JOIN staged_person AS n ON n.person_no = p.person_no
WHERE p.user_key > :after AND p.user_key <= :until
ORDER BY p.user_key;
