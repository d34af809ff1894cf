-- Users who were put and read differently now: newly seen, changed, or no longer seen.
INSERT INTO plan_user (user_key, person_no, operation, reason)
SELECT
    p.user_key,
    p.person_no,
    CASE WHEN NOT p.was_live THEN 1 WHEN p.is_live THEN 2 ELSE 3 END,
    CASE
        WHEN p.is_live THEN NULL
        WHEN s.person_no IS NOT NULL THEN 'inactive'
        WHEN EXISTS (
            SELECT 1
            FROM user_identity AS i
            JOIN staged_skip AS k ON k.kind = 1 AND k.external_id = i.external_id
            WHERE i.user_key = p.user_key
        ) THEN 'skipped'
        ELSE 'absent'
    END
FROM plan_person AS p
LEFT JOIN staged_user AS s ON s.person_no = p.person_no
LEFT JOIN directory_user AS u ON p.was_live AND p.is_live AND u.user_key = p.user_key
WHERE p.was_live <> p.is_live
   OR p.is_live
  AND (u.email, u.username, u.display_name, u.given_name, u.family_name, u.status)
      IS NOT (s.email, s.username, s.display_name, s.given_name, s.family_name, s.status);
