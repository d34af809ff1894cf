-- How many users lose an e-mail that an id without it before has after the plan. Letters count the same in both cases.
-- E-mails that someone loses and that someone gets are sorted into one row of each: looking them up costs more.
SELECT coalesce(sum(lost), 0)
FROM (
    SELECT sum(is_lost) AS lost
    FROM (
        SELECT lower(u.email) AS email, 1 AS is_lost
        FROM plan_user AS p
        CROSS JOIN directory_user AS u ON u.user_key = p.user_key
        LEFT JOIN staged_user AS s ON p.operation = 2 AND s.row_no = p.row_no
        WHERE p.operation IN (2, 3) AND lower(u.email) IS NOT lower(s.email)
        UNION ALL
        SELECT lower(s.email), 0
        FROM plan_user AS p
        CROSS JOIN staged_user AS s ON s.row_no = p.row_no
        LEFT JOIN directory_user AS u ON p.operation = 2 AND u.user_key = p.user_key
        WHERE p.operation IN (1, 2) AND lower(u.email) IS NOT lower(s.email)
    )
    GROUP BY email
    HAVING min(is_lost) = 0
);
