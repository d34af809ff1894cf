-- A group that returns is read anew, so its version goes with its list.
UPDATE directory_group AS g
SET deleted_at = :now, deleted_reason = p.reason, deleted_run = :run_key,
    changed_at = NULL, tag = NULL, read_at = NULL
FROM plan_group AS p
WHERE p.operation = 3 AND g.group_key = +p.group_key;
