-- Whether the plan deletes a user or a group that the older one beside it does not. Rows that are stored have the same keys in
-- both.
SELECT
    EXISTS (
        SELECT 1
        FROM main.plan_user AS p
        WHERE p.operation = 3
          AND NOT EXISTS (SELECT 1 FROM beside.plan_user AS o WHERE o.user_key = p.user_key AND o.operation = 3)
    )
    OR EXISTS (
        SELECT 1
        FROM main.plan_group AS p
        WHERE p.operation = 3
          AND NOT EXISTS (SELECT 1 FROM beside.plan_group AS o WHERE o.group_key = p.group_key AND o.operation = 3)
    );
