-- Users who go stay as tombstones.
UPDATE directory_user AS u
SET deleted_at = :now, deleted_reason = p.reason, deleted_run = :run_key
FROM plan_user AS p
WHERE p.operation = 3 AND u.user_key = +p.user_key;
