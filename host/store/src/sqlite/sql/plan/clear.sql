-- A run plans again when its first plan went stale.
DELETE FROM plan_new_group;
DELETE FROM plan_user;
DELETE FROM plan_staged_group;
DELETE FROM plan_group;
DELETE FROM plan_member_list;
DELETE FROM plan_head;
