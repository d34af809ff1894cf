-- The tables of a plan, in the run's file. Numbers for words are those of the store.

-- A run plans again when its first plan went stale.
DROP TABLE IF EXISTS plan_new_user;
DROP TABLE IF EXISTS plan_new_group;
DROP TABLE IF EXISTS plan_person;
DROP TABLE IF EXISTS plan_user;
DROP TABLE IF EXISTS plan_staged_group;
DROP TABLE IF EXISTS plan_group;
DROP TABLE IF EXISTS plan_list;
DROP TABLE IF EXISTS plan_member;
DROP TABLE IF EXISTS plan_head;

CREATE TABLE plan_new_user (
    n           INTEGER PRIMARY KEY,
    external_id TEXT    NOT NULL,
    person_no   INTEGER NOT NULL
) STRICT;

CREATE TABLE plan_new_group (
    n           INTEGER PRIMARY KEY,
    external_id TEXT    NOT NULL,
    group_no    INTEGER NOT NULL
) STRICT;

-- Everyone who was put: their key, and whether readers saw them and will see them.
CREATE TABLE plan_person (
    person_no INTEGER PRIMARY KEY,
    user_key  INTEGER NOT NULL,
    was_live  INTEGER NOT NULL,
    is_live   INTEGER NOT NULL
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

-- The groups whose list was read to its end.
CREATE TABLE plan_list (
    group_key    INTEGER PRIMARY KEY,
    group_no     INTEGER NOT NULL,
    was_live     INTEGER NOT NULL,
    staged_count INTEGER NOT NULL,
    stored_count INTEGER NOT NULL
) STRICT;

-- `list_step` is 1 where the pair joins the stored list, -1 where it leaves it, 0 where it stays and only what readers
-- see changes. `operation` is 0 where readers see no difference.
CREATE TABLE plan_member (
    group_key INTEGER NOT NULL,
    user_key  INTEGER NOT NULL,
    list_step INTEGER NOT NULL,
    operation INTEGER NOT NULL,
    PRIMARY KEY (group_key, user_key)
) STRICT, WITHOUT ROWID;

-- The keys of new users and groups are their `n` plus these.
CREATE TABLE plan_head (
    only           INTEGER PRIMARY KEY CHECK (only = 1),
    user_key_base  INTEGER NOT NULL,
    group_key_base INTEGER NOT NULL
) STRICT;
