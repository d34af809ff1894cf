-- The first shape of the store: tenants, directories, keys, runs, what is read, and the changes readers are told of.
--
-- Keys that end in _key or _id are integers of the store's own; outside only ids and the provider's external ids are
-- seen. Times are Unix milliseconds. Numbers for words, where rows are many:
--   kind       1 user, 2 group, 3 membership, 4 the closing record of an applied run
--   operation  1 create, 2 update, 3 delete

CREATE TABLE tenant (
    tenant_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL UNIQUE,
    feed_id    TEXT    NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    last_seq   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT;

-- `full_mark` is raised by whatever asks for a full run; a full run that is applied sets `full_mark_done` to the mark
-- that it began with.
CREATE TABLE directory (
    directory_key            INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id                INTEGER NOT NULL REFERENCES tenant,
    id                       TEXT    NOT NULL UNIQUE,
    provider                 TEXT    NOT NULL,
    name                     TEXT    NOT NULL,
    state                    TEXT    NOT NULL,
    disabled_reason          TEXT,
    settings                 TEXT    NOT NULL,
    verified_settings        TEXT,
    verified_fingerprint     TEXT,
    verified_plugin_version  TEXT,
    verified_org             TEXT,
    verified_at              INTEGER,
    held_since               INTEGER,
    last_full_at             INTEGER,
    last_full_plugin_version TEXT,
    full_mark                INTEGER NOT NULL DEFAULT 1,
    full_mark_done           INTEGER NOT NULL DEFAULT 0,
    first_applied_at         INTEGER,
    generation               INTEGER NOT NULL DEFAULT 1,
    users                    INTEGER NOT NULL DEFAULT 0,
    groups                   INTEGER NOT NULL DEFAULT 0,
    memberships              INTEGER NOT NULL DEFAULT 0,
    created_at               INTEGER NOT NULL,
    removed_at               INTEGER
) STRICT;

CREATE UNIQUE INDEX directory_by_name ON directory (tenant_id, name) WHERE removed_at IS NULL;

CREATE TABLE signing_key (
    directory_key  INTEGER NOT NULL REFERENCES directory,
    kid            TEXT    NOT NULL,
    tenant_id      INTEGER NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('current', 'next')),
    algorithm      TEXT    NOT NULL,
    public_jwk     TEXT    NOT NULL,
    sealed_private BLOB    NOT NULL,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (directory_key, kid)
) STRICT;

CREATE UNIQUE INDEX signing_key_by_state ON signing_key (directory_key, state);

-- Sealed values: secret settings, which a person enters, and what the plugin keeps.
CREATE TABLE vault (
    directory_key INTEGER NOT NULL REFERENCES directory,
    origin        TEXT    NOT NULL CHECK (origin IN ('setting', 'plugin')),
    name          TEXT    NOT NULL,
    tenant_id     INTEGER NOT NULL,
    sealed        BLOB    NOT NULL,
    plain_bytes   INTEGER NOT NULL,
    PRIMARY KEY (directory_key, origin, name)
) STRICT;

CREATE TABLE run (
    run_key        INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id      INTEGER NOT NULL REFERENCES tenant,
    directory_key  INTEGER NOT NULL REFERENCES directory,
    id             TEXT    NOT NULL UNIQUE,
    cause          TEXT    NOT NULL,
    mode           TEXT    NOT NULL,
    dry_run        INTEGER NOT NULL,
    started_at     INTEGER NOT NULL,
    ended_at       INTEGER,
    outcome        TEXT,
    plugin_version TEXT    NOT NULL,
    full_mark      INTEGER NOT NULL,
    counts         TEXT    NOT NULL DEFAULT '{}',
    requests       INTEGER NOT NULL DEFAULT 0,
    notes          TEXT    NOT NULL DEFAULT '[]',
    held           TEXT,
    error          TEXT,
    applied_seq    INTEGER
) STRICT;

CREATE INDEX run_by_directory ON run (directory_key, run_key);
CREATE INDEX run_by_tenant ON run (tenant_id, run_key);
CREATE INDEX run_unended ON run (directory_key) WHERE outcome IS NULL;
CREATE INDEX run_held ON run (directory_key) WHERE outcome = 'held';

-- What a run skipped or mended, at most 1,000 of a kind.
CREATE TABLE run_skip (
    run_key     INTEGER NOT NULL REFERENCES run,
    kind        INTEGER NOT NULL,
    external_id TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    tenant_id   INTEGER NOT NULL,
    PRIMARY KEY (run_key, kind, external_id, reason)
) STRICT, WITHOUT ROWID;

-- A plan that the guard stopped. The plan itself is the file held/RUN.db, whose SHA-256 is `digest`.
CREATE TABLE held_plan (
    run_key              INTEGER PRIMARY KEY REFERENCES run,
    tenant_id            INTEGER NOT NULL,
    directory_key        INTEGER NOT NULL REFERENCES directory,
    generation           INTEGER NOT NULL,
    verified_fingerprint TEXT,
    made_at              INTEGER NOT NULL,
    summary              TEXT    NOT NULL,
    digest               BLOB    NOT NULL
) STRICT;

-- Where the next keys of identities come from: a plan takes as many as it needs at once. Unused ones are lost.
CREATE TABLE identity_counter (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    next_key INTEGER NOT NULL
) STRICT;

INSERT INTO identity_counter (only, next_key) VALUES (1, 1);

-- Every user id ever seen in a directory, be it only in a member list. A row may go when neither a list nor a change
-- names its key.
CREATE TABLE user_identity (
    user_key      INTEGER PRIMARY KEY,
    tenant_id     INTEGER NOT NULL,
    directory_key INTEGER NOT NULL,
    external_id   TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX user_identity_by_external_id ON user_identity (directory_key, external_id);

CREATE TABLE group_identity (
    group_key     INTEGER PRIMARY KEY,
    tenant_id     INTEGER NOT NULL,
    directory_key INTEGER NOT NULL,
    external_id   TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX group_identity_by_external_id ON group_identity (directory_key, external_id);

-- What readers see, and for a time what they saw: a row with `deleted_at` is a tombstone.
CREATE TABLE directory_user (
    user_key       INTEGER PRIMARY KEY,
    tenant_id      INTEGER NOT NULL,
    directory_key  INTEGER NOT NULL,
    email          TEXT    NOT NULL,
    username       TEXT    NOT NULL,
    display_name   TEXT,
    given_name     TEXT,
    family_name    TEXT,
    status         TEXT    NOT NULL,
    deleted_at     INTEGER,
    deleted_reason TEXT,
    deleted_run    INTEGER
) STRICT;

CREATE INDEX directory_user_deleted ON directory_user (deleted_at) WHERE deleted_at IS NOT NULL;

-- `changed_at` or `tag` is the version that was read before the members were, `read_at` when they were read; all by
-- the provider's clock.
CREATE TABLE directory_group (
    group_key      INTEGER PRIMARY KEY,
    tenant_id      INTEGER NOT NULL,
    directory_key  INTEGER NOT NULL,
    name           TEXT    NOT NULL,
    description    TEXT,
    provider_kind  TEXT,
    changed_at     INTEGER,
    tag            TEXT,
    read_at        INTEGER,
    deleted_at     INTEGER,
    deleted_reason TEXT,
    deleted_run    INTEGER
) STRICT;

CREATE INDEX directory_group_deleted ON directory_group (deleted_at) WHERE deleted_at IS NOT NULL;

-- The member lists as they were read: also ids of users whom readers don't see. Readers see a membership where the
-- user and the group are live.
CREATE TABLE membership (
    group_key INTEGER NOT NULL,
    user_key  INTEGER NOT NULL,
    tenant_id INTEGER NOT NULL,
    PRIMARY KEY (group_key, user_key)
) STRICT, WITHOUT ROWID;

-- The same pairs the other way round. A table and no index, so that millions of rows can be added in its own order.
CREATE TABLE membership_by_user (
    user_key  INTEGER NOT NULL,
    group_key INTEGER NOT NULL,
    tenant_id INTEGER NOT NULL,
    PRIMARY KEY (user_key, group_key)
) STRICT, WITHOUT ROWID;

-- What readers are told, without a gap in each tenant. Users and groups carry the row after the change and, for
-- updates and deletions, the row before. A membership is named by its two keys alone, and the closing record carries
-- the run's counts.
CREATE TABLE change (
    tenant_id     INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    run_key       INTEGER NOT NULL,
    directory_key INTEGER NOT NULL,
    kind          INTEGER NOT NULL,
    operation     INTEGER,
    user_key      INTEGER,
    group_key     INTEGER,
    reason        TEXT,
    before        TEXT,
    after         TEXT,
    PRIMARY KEY (tenant_id, seq)
) STRICT, WITHOUT ROWID;
