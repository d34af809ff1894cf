-- The tables of a plan, in the run's file. Numbers for words are those of the store.

-- A run plans again when its first plan went stale.
DROP TABLE IF EXISTS plan_new_user;
DROP TABLE IF EXISTS plan_new_group;
DROP TABLE IF EXISTS plan_user;
DROP TABLE IF EXISTS plan_staged_group;
DROP TABLE IF EXISTS plan_group;
DROP TABLE IF EXISTS plan_member_list;
DROP TABLE IF EXISTS plan_head;

CREATE TABLE plan_new_user (
    n           INTEGER PRIMARY KEY,
    external_id TEXT    NOT NULL,
    person_no   INTEGER NOT NULL,
    is_live     INTEGER NOT NULL
) STRICT;

CREATE TABLE plan_new_group (
    n           INTEGER PRIMARY KEY,
    external_id TEXT    NOT NULL,
    group_no    INTEGER NOT NULL
) STRICT;

CREATE TABLE plan_user (
    user_key  INTEGER PRIMARY KEY,
    person_no INTEGER,
    operation INTEGER NOT NULL,
    reason    TEXT
) STRICT;

CREATE TABLE plan_staged_group (
    group_no  INTEGER PRIMARY KEY,
    group_key INTEGER NOT NULL UNIQUE,
    was_live  INTEGER NOT NULL,
    is_live   INTEGER NOT NULL
) STRICT;

CREATE TABLE plan_group (
    group_key INTEGER PRIMARY KEY,
    group_no  INTEGER,
    operation INTEGER NOT NULL,
    reason    TEXT
) STRICT;

-- Member lists that are other ones now, or of which readers see something else. `users` is the list as it was read, where
-- it is another one than the stored; `created` and `deleted` are what readers see newly and no longer. All three are
-- sets of user keys. Of the deleted, `with_user` go with their user.
CREATE TABLE plan_member_list (
    group_key     INTEGER PRIMARY KEY,
    users         BLOB,
    created       BLOB    NOT NULL,
    deleted       BLOB    NOT NULL,
    created_count INTEGER NOT NULL,
    deleted_count INTEGER NOT NULL,
    with_user     INTEGER NOT NULL
) STRICT;

-- The keys of new users and groups are their `n` plus these.
CREATE TABLE plan_head (
    only           INTEGER PRIMARY KEY CHECK (only = 1),
    user_key_base  INTEGER NOT NULL,
    group_key_base INTEGER NOT NULL
) STRICT;
