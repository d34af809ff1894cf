-- The tables of a plan, beside those of what its run reads. Numbers for words are those of the store.

CREATE TABLE plan_new_group (
    n           INTEGER PRIMARY KEY,
    external_id TEXT    NOT NULL,
    group_no    INTEGER NOT NULL
) STRICT;

-- Users whom readers see newly, differently or no longer, with their rows in the staging; besides those who are new and
-- whom no reader sees, who have no operation. `person_no` is that of those who are new.
CREATE TABLE plan_user (
    user_key  INTEGER PRIMARY KEY,
    person_no INTEGER,
    row_no    INTEGER,
    operation INTEGER,
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

-- The keys of new groups are their `n` plus this.
CREATE TABLE plan_head (
    only           INTEGER PRIMARY KEY CHECK (only = 1),
    group_key_base INTEGER NOT NULL
) STRICT;
