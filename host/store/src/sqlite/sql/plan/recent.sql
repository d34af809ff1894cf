-- What went lately and does not come back with the plan, and the most that was stored meanwhile. A stored time that is
-- ahead of now counts as past.
WITH since AS (
    SELECT
        d.users,
        d.groups,
        d.memberships,
        max(
            coalesce(iif(d.guard_from <= :now, d.guard_from, NULL), 0),
            min(:now, coalesce(d.holding_since, :now)) - :window
        ) AS began_at
    FROM directory AS d
    WHERE d.tenant_id = :tenant_id AND d.directory_key = :directory_key
),
applied AS (
    SELECT
        coalesce(max(r.stored_users), 0) AS users,
        coalesce(max(r.stored_groups), 0) AS groups,
        coalesce(max(r.stored_memberships), 0) AS memberships
    FROM since AS s
    CROSS JOIN run AS r
    WHERE r.directory_key = :directory_key AND r.stored_users IS NOT NULL
      AND r.ended_at >= coalesce(
          (
              SELECT max(o.ended_at)
              FROM run AS o
              WHERE o.directory_key = :directory_key AND o.stored_users IS NOT NULL AND o.ended_at <= s.began_at
          ),
          s.began_at
      )
)
SELECT
    (
        SELECT count(*)
        FROM directory_user AS u
        WHERE u.directory_key = :directory_key AND u.deleted_at > s.began_at
          AND NOT EXISTS (SELECT 1 FROM plan_user AS p WHERE p.user_key = u.user_key AND p.operation = 1)
    ),
    max(s.users, a.users),
    (
        SELECT count(*)
        FROM directory_group AS g
        WHERE g.directory_key = :directory_key AND g.deleted_at > s.began_at
          AND NOT EXISTS (SELECT 1 FROM plan_group AS p WHERE p.group_key = g.group_key AND p.operation = 1)
    ),
    max(s.groups, a.groups),
    s.began_at,
    max(s.memberships, a.memberships)
FROM since AS s
CROSS JOIN applied AS a;
