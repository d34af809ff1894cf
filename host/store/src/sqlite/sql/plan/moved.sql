-- How many users lose an e-mail that an id without it before has after the plan. Letters count the same in both cases.
SELECT count(*)
FROM plan_user AS p
CROSS JOIN directory_user AS u ON u.user_key = p.user_key
LEFT JOIN staged_user AS s ON p.operation = 2 AND s.person_no = p.person_no
WHERE p.operation IN (2, 3)
  AND lower(u.email) IS NOT lower(s.email)
  AND lower(u.email) IN (
      SELECT lower(t.email)
      FROM plan_user AS q
      CROSS JOIN staged_user AS t ON t.person_no = q.person_no
      LEFT JOIN directory_user AS v ON q.operation = 2 AND v.user_key = q.user_key
      WHERE q.operation IN (1, 2)
        AND lower(t.email) IS NOT lower(v.email)
  );
