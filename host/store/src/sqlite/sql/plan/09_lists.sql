-- The groups whose list was read to its end, with how long the lists are.
INSERT INTO plan_list (group_key, group_no, was_live, staged_count, stored_count)
SELECT
    p.group_key,
    p.group_no,
    p.was_live,
    (SELECT count(*) FROM staged_member AS m WHERE m.group_no = p.group_no),
    (SELECT count(*) FROM membership AS o WHERE o.group_key = p.group_key)
FROM plan_staged_group AS p
JOIN staged_group AS s ON s.group_no = p.group_no
WHERE p.is_live AND s.list_state = 2
ORDER BY p.group_key;
