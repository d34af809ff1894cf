-- The version that was read before the members were, and when they were. The time matters only beside a version that
-- is a time.
UPDATE directory_group AS g
SET changed_at = s.changed_at, tag = s.tag, read_at = s.read_at
FROM plan_list AS l
JOIN staged_group AS s ON s.group_no = l.group_no
WHERE g.group_key = l.group_key
  AND (
      (g.changed_at, g.tag) IS NOT (s.changed_at, s.tag)
      OR s.changed_at IS NOT NULL AND g.read_at IS NOT s.read_at
  );
