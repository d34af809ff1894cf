-- The same, the other way round.
DELETE FROM membership_by_user
WHERE (user_key, group_key) IN (SELECT m.user_key, m.group_key FROM plan_member AS m WHERE m.list_step = -1);
