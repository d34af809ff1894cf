-- Memberships of a plan as people know them.
SELECT
    coalesce(gi.external_id, gn.external_id),
    coalesce(ui.external_id, un.external_id),
    NULL,
    CASE WHEN m.operation = 3 THEN coalesce(g.reason, u.reason, 'absent') END
FROM plan_head AS h
CROSS JOIN plan_member AS m
LEFT JOIN group_identity AS gi ON gi.group_key = m.group_key
LEFT JOIN plan_new_group AS gn ON gn.n = m.group_key - h.group_key_base
LEFT JOIN user_identity AS ui ON ui.user_key = m.user_key
LEFT JOIN plan_new_user AS un ON un.n = m.user_key - h.user_key_base
LEFT JOIN plan_group AS g ON g.group_key = m.group_key AND g.operation = 3
LEFT JOIN plan_user AS u ON u.user_key = m.user_key AND u.operation = 3
WHERE m.operation = :operation
ORDER BY m.group_key, m.user_key
LIMIT :limit;
