-- Groups that were put and read differently now. The provider's kind of group is shown to no reader.
INSERT INTO plan_group (group_key, group_no, operation, reason)
SELECT
    p.group_key,
    p.group_no,
    CASE WHEN NOT p.was_live THEN 1 WHEN p.is_live THEN 2 ELSE 3 END,
    CASE WHEN p.is_live THEN NULL WHEN s.is_dropped THEN 'gone' ELSE 'absent' END
FROM plan_staged_group AS p
JOIN staged_group AS s ON s.group_no = p.group_no
LEFT JOIN directory_group AS g ON p.was_live AND p.is_live AND g.group_key = p.group_key
WHERE p.was_live <> p.is_live
   OR p.is_live AND (g.name, g.description) IS NOT (s.name, s.description);
