-- What one run reads, in its file or in memory. Each table has one index, its key; that of people gets another one when they are
-- too many to be kept in memory.

-- What the file was read with and by whom: `fence` is the number of the writer's lease, `boot_id` the boot of the
-- machine in which all of it was written. `standings_of` is the generation in which what is kept of the store beside
-- users holds; none where another run put some of them, since what lay on the disk meanwhile is not believed. `is_finished`
-- says that nothing can be put any more.
CREATE TABLE staged_head (
    only          INTEGER PRIMARY KEY CHECK (only = 1),
    fence         INTEGER NOT NULL,
    boot_id       TEXT,
    mode          TEXT    NOT NULL,
    fingerprint   TEXT    NOT NULL,
    plugin_digest TEXT    NOT NULL,
    contract      TEXT    NOT NULL,
    generation    INTEGER NOT NULL,
    standings_of  INTEGER,
    read_began_at INTEGER NOT NULL,
    is_finished   INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Every user id that was put, also in member lists, with a short number for it.
CREATE TABLE staged_person (
    person_no   INTEGER PRIMARY KEY,
    external_id TEXT    NOT NULL
) STRICT;

-- Those who were put as users, in the order in which they first were; a later answer takes the place of an earlier one.
-- The last three are what the directory knew of them when they were put: the key of one it has ever seen, whether readers
-- saw the user, and whether they saw another row.
CREATE TABLE staged_user (
    row_no       INTEGER PRIMARY KEY,
    person_no    INTEGER NOT NULL,
    external_id  TEXT    NOT NULL,
    email        TEXT    NOT NULL,
    username     TEXT    NOT NULL,
    display_name TEXT,
    given_name   TEXT,
    family_name  TEXT,
    active       INTEGER NOT NULL,
    status       TEXT    NOT NULL,
    user_key     INTEGER,
    was_live     INTEGER,
    differs      INTEGER
) STRICT;

-- `list_state`: 0 unread, 1 open, 2 closed.
CREATE TABLE staged_group (
    group_no      INTEGER PRIMARY KEY,
    external_id   TEXT    NOT NULL UNIQUE,
    name          TEXT    NOT NULL,
    description   TEXT,
    provider_kind TEXT,
    changed_at    INTEGER,
    tag           TEXT,
    must_fetch    INTEGER NOT NULL,
    is_listed     INTEGER NOT NULL DEFAULT 1,
    is_dropped    INTEGER NOT NULL DEFAULT 0,
    list_state    INTEGER NOT NULL DEFAULT 0,
    read_at       INTEGER
) STRICT;

-- Member lists, a row for each part that was put: `people` is a set of person numbers, of which other parts may have
-- some too.
CREATE TABLE staged_list_part (
    group_no INTEGER NOT NULL,
    part_no  INTEGER NOT NULL,
    members  INTEGER NOT NULL,
    people   BLOB    NOT NULL,
    PRIMARY KEY (group_no, part_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE staged_skip (
    kind        INTEGER NOT NULL,
    external_id TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    PRIMARY KEY (kind, external_id, reason)
) STRICT, WITHOUT ROWID;

-- The plugin's own state at the last checkpoint.
CREATE TABLE staged_checkpoint (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    state    BLOB    NOT NULL,
    taken_at INTEGER NOT NULL
) STRICT;
