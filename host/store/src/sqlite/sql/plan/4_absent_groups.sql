-- Groups that readers see and that were not put at all.
INSERT INTO plan_group (group_key, group_no, operation, reason)
SELECT
    i.group_key,
    NULL,
    3,
    CASE
        WHEN EXISTS (SELECT 1 FROM staged_skip AS k WHERE k.kind = 2 AND k.external_id = i.external_id)
            THEN 'skipped'
        ELSE 'absent'
    END
FROM group_identity AS i
WHERE i.directory_key = :directory_key
  AND NOT EXISTS (SELECT 1 FROM plan_staged_group AS p WHERE p.group_key = i.group_key)
  AND EXISTS (SELECT 1 FROM directory_group AS g WHERE g.group_key = i.group_key AND g.deleted_at IS NULL);
