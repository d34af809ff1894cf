-- Everyone who was put, be it only in a list, in the order of their ids.
SELECT
    p.external_id, p.person_no, s.active, s.email, s.username, s.display_name, s.given_name, s.family_name, s.status
FROM staged_person AS p
LEFT JOIN staged_user AS s ON s.person_no = p.person_no
ORDER BY p.external_id;
