-- Users whom readers see and who were not put at all.
INSERT INTO plan_user (user_key, person_no, operation, reason)
SELECT
    i.user_key,
    NULL,
    3,
    CASE
        WHEN EXISTS (SELECT 1 FROM staged_skip AS k WHERE k.kind = 1 AND k.external_id = i.external_id)
            THEN 'skipped'
        ELSE 'absent'
    END
FROM user_identity AS i
WHERE i.directory_key = :directory_key
  AND NOT EXISTS (SELECT 1 FROM plan_person AS p WHERE p.user_key = i.user_key)
  AND EXISTS (SELECT 1 FROM directory_user AS u WHERE u.user_key = i.user_key AND u.deleted_at IS NULL);
