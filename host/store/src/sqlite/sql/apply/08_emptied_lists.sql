-- Lists that name nobody any more, and those of groups that go.
DELETE FROM member_list
WHERE group_key IN (SELECT p.group_key FROM plan_member_list AS p WHERE p.users = x'');
