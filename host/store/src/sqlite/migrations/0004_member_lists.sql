-- The fourth shape: what is many lies together. A member list is one row, and so are changes that follow each other in
-- a block and are alike. What is stored is brought over by `to_version_4.rs`, which drops the old tables after.

-- The member lists as they were read: also ids of users whom readers don't see. Readers see a membership where the user
-- and the group are live. `users` is a set of user keys. A list of nobody has no row.
CREATE TABLE member_list (
    group_key INTEGER PRIMARY KEY,
    tenant_id INTEGER NOT NULL,
    users     BLOB    NOT NULL
) STRICT;

-- Changes from `last_seq - changes + 1` to `last_seq`, all of one kind, operation and reason. `body` holds them:
--   kind 1, 2  a JSON array of pairs, the row before and the row after, each null or an array of its columns:
--              external id, e-mail, login, display, given and family name, status; or external id, name, description
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

WITH step AS (
    SELECT
        tenant_id, seq, kind, run_key, directory_key, operation, reason,
        iif(before IS NULL, 'null', CASE kind
            WHEN 1 THEN json_array(
                before ->> 'external_id', before ->> 'email', before ->> 'username', before ->> 'display_name',
                before ->> 'given_name', before ->> 'family_name', before ->> 'status'
            )
            ELSE json_array(before ->> 'external_id', before ->> 'name', before ->> 'description')
        END) AS before,
        iif(after IS NULL, 'null', CASE kind
            WHEN 1 THEN json_array(
                after ->> 'external_id', after ->> 'email', after ->> 'username', after ->> 'display_name',
                after ->> 'given_name', after ->> 'family_name', after ->> 'status'
            )
            ELSE json_array(after ->> 'external_id', after ->> 'name', after ->> 'description')
        END) AS after
    FROM change
    WHERE kind IN (1, 2)
)
INSERT INTO change_block (tenant_id, last_seq, changes, run_key, directory_key, kind, operation, reason, body)
SELECT
    tenant_id, seq, 1, run_key, directory_key, kind, operation, reason,
    CAST(json_array(json_array(json(before), json(after))) AS BLOB)
FROM step
UNION ALL
SELECT tenant_id, seq, 1, run_key, directory_key, kind, NULL, NULL, CAST(after AS BLOB)
FROM change
WHERE kind = 4
ORDER BY 1, 2;

-- Plans and stagings of before are of another shape: none is applied or gone on with.
UPDATE directory SET generation = generation + 1;
