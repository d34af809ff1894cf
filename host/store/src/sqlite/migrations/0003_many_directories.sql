-- The third shape: what is asked of many directories at once lies in their own rows.

-- `hosts` is a list of what the verified settings reach, each as HOST:PORT; a directory that was verified before has
-- none until its next verification. `last_success_at` is the end of its last run that succeeded, dry runs aside; it
-- outlives the run's record.
ALTER TABLE directory ADD COLUMN hosts           TEXT;
ALTER TABLE directory ADD COLUMN last_success_at INTEGER;

-- A plan that was approved ends its run at the approval, which may be after the ends of later runs.
UPDATE directory
SET last_success_at = success.ended_at
FROM (
    SELECT directory_key, max(ended_at) AS ended_at
    FROM run
    WHERE outcome = 'succeeded' AND NOT dry_run
    GROUP BY directory_key
) AS success
WHERE success.directory_key = directory.directory_key;
