-- Ids of users that the directory has never seen, in their order.
INSERT INTO plan_new_user (external_id, person_no)
SELECT p.external_id, p.person_no
FROM staged_person AS p
WHERE NOT EXISTS (
    SELECT 1
    FROM user_identity AS i
    WHERE i.directory_key = :directory_key AND i.external_id = p.external_id
)
ORDER BY p.external_id;
