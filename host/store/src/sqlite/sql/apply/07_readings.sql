-- The version that was read before the members were, and when they were. The time matters only beside a version that
-- is a time. The `+` has the groups of the plan looked through and the stored ones looked up, never the other way round.
UPDATE directory_group AS g
SET changed_at = s.changed_at, tag = s.tag, read_at = s.read_at
FROM plan_staged_group AS p
JOIN staged_group AS s ON s.group_no = p.group_no
WHERE g.group_key = +p.group_key
  AND p.is_live
  AND s.list_state = 2
  AND (
      (g.changed_at, g.tag) IS NOT (s.changed_at, s.tag)
      OR s.changed_at IS NOT NULL AND g.read_at IS NOT s.read_at
  );
