-- The fourth shape: what is many lies together. A member list is one row, and so are changes that follow each other in
-- a block and are alike. What is stored is brought over by `member_lists.rs`, which drops the old tables after.

-- The member lists as they were read: also ids of users whom readers don't see. Readers see a membership where the user
-- and the group are live. `users` is a set of user keys. A list of nobody has no row.
CREATE TABLE member_list (
    group_key INTEGER PRIMARY KEY,
    tenant_id INTEGER NOT NULL,
    users     BLOB    NOT NULL
) STRICT;

-- Changes from `last_seq - changes + 1` to `last_seq`, all of one kind, operation and reason. `body` holds them:
--   kind 1, 2  a JSON array of {"before", "after"}
--   kind 3     a set of user keys, in whose order the memberships of `group_key` are numbered
--   kind 4     the run's counts, as JSON
CREATE TABLE change_block (
    block_key     INTEGER PRIMARY KEY,
    tenant_id     INTEGER NOT NULL,
    last_seq      INTEGER NOT NULL,
    changes       INTEGER NOT NULL,
    run_key       INTEGER NOT NULL,
    directory_key INTEGER NOT NULL,
    kind          INTEGER NOT NULL,
    operation     INTEGER,
    group_key     INTEGER,
    reason        TEXT,
    body          BLOB    NOT NULL,
    UNIQUE (tenant_id, last_seq)
) STRICT;

-- Memberships that readers saw until lately, for the guard: users and groups have their tombstones. Those that went
-- with their user are not here. `users` is a set of user keys.
CREATE TABLE recent_list_deletion (
    directory_key INTEGER NOT NULL,
    group_key     INTEGER NOT NULL,
    deleted_at    INTEGER NOT NULL,
    tenant_id     INTEGER NOT NULL,
    users         BLOB    NOT NULL,
    PRIMARY KEY (directory_key, group_key, deleted_at)
) STRICT, WITHOUT ROWID;

INSERT INTO change_block (
    tenant_id, last_seq, changes, run_key, directory_key, kind, operation, reason, body
)
SELECT
    tenant_id, seq, 1, run_key, directory_key, kind, operation, reason,
    CAST(iif(kind = 4, after, json_array(json_object('before', json(before), 'after', json(after)))) AS BLOB)
FROM change
WHERE kind <> 3
ORDER BY tenant_id, seq;

-- Plans and stagings of before are of another shape: none is applied or gone on with.
UPDATE directory SET generation = generation + 1;
