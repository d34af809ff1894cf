-- Pairs that leave their list.
DELETE FROM membership
WHERE (group_key, user_key) IN (SELECT m.group_key, m.user_key FROM plan_member AS m WHERE m.list_step = -1);
