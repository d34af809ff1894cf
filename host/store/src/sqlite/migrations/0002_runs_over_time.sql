-- The second shape: what runs need that follow each other for years. Leases, failures and schedules of directories,
-- what a run left to go on from, deletions of the last day, keys and secrets that wait for their verification.

-- `every_ms` is the schedule. `failing` says how its runs fail now; `next_try_at` is a try before the schedule's time,
-- `not_before` what the provider asked for, `is_due` a run that must come at once. `fence` is raised by each lease.
-- `settings_mark` is raised by each change of settings, secrets and keys. `provider_time` is the latest time that the
-- provider told. `failing_mark` is raised by what begins the count of failures anew while a run may be in progress.
-- What the guard counts of the last day begins no earlier than `guard_from`, the last plan that a person approved;
-- `holding_since` is the first of an unbroken series of held and discarded plans. `verified_scope` names the parts of
-- the org that are synced, where it is empty all of them, and is unknown until a verification tells it.
ALTER TABLE directory ADD COLUMN every_ms          INTEGER NOT NULL DEFAULT 7200000;
ALTER TABLE directory ADD COLUMN limits            TEXT;
ALTER TABLE directory ADD COLUMN fence             INTEGER NOT NULL DEFAULT 0;
ALTER TABLE directory ADD COLUMN settings_mark     INTEGER NOT NULL DEFAULT 1;
ALTER TABLE directory ADD COLUMN failing           TEXT;
ALTER TABLE directory ADD COLUMN failing_mark      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE directory ADD COLUMN last_began_at     INTEGER;
ALTER TABLE directory ADD COLUMN next_try_at       INTEGER;
ALTER TABLE directory ADD COLUMN not_before        INTEGER;
ALTER TABLE directory ADD COLUMN not_before_reason TEXT;
ALTER TABLE directory ADD COLUMN is_due            INTEGER NOT NULL DEFAULT 0;
ALTER TABLE directory ADD COLUMN provider_time     INTEGER;
ALTER TABLE directory ADD COLUMN guard_from        INTEGER;
ALTER TABLE directory ADD COLUMN holding_since     INTEGER;
ALTER TABLE directory ADD COLUMN verified_kid      TEXT;
ALTER TABLE directory ADD COLUMN verified_scope    TEXT;
ALTER TABLE directory ADD COLUMN last_full_contract TEXT;

-- `fence` and `failing_mark` are the directory's when the run began, `read_began_at` when its oldest row was read,
-- `resumed_from` the run whose staging it took over, `usage` what it cost. The stored_ columns are what readers saw
-- after its apply. `contract` names the one that its plugin keeps.
ALTER TABLE run ADD COLUMN fence              INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN failing_mark       INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN read_began_at      INTEGER;
ALTER TABLE run ADD COLUMN resumed_from       TEXT;
ALTER TABLE run ADD COLUMN cancel_asked_at    INTEGER;
ALTER TABLE run ADD COLUMN superseded_by      INTEGER;
ALTER TABLE run ADD COLUMN usage              TEXT    NOT NULL DEFAULT '{}';
ALTER TABLE run ADD COLUMN stored_users       INTEGER;
ALTER TABLE run ADD COLUMN stored_groups      INTEGER;
ALTER TABLE run ADD COLUMN stored_memberships INTEGER;
ALTER TABLE run ADD COLUMN contract           TEXT    NOT NULL DEFAULT '';
-- The run whose plan was applied when a person approved this one: itself, or a newer one that deletes no more.
ALTER TABLE run ADD COLUMN approved_as        INTEGER;

CREATE INDEX run_by_end ON run (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX run_by_apply ON run (directory_key, ended_at, run_key) WHERE stored_users IS NOT NULL;

-- Who runs a directory. `beat` counts up while its owner lives.
CREATE TABLE lease (
    directory_key INTEGER PRIMARY KEY REFERENCES directory,
    tenant_id     INTEGER NOT NULL,
    run_key       INTEGER NOT NULL REFERENCES run,
    owner         TEXT    NOT NULL,
    fence         INTEGER NOT NULL,
    beat          INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Memberships that readers saw until lately, for the guard: users and groups have their tombstones. Those that went
-- with their user are not here.
CREATE TABLE recent_membership_deletion (
    group_key     INTEGER NOT NULL,
    user_key      INTEGER NOT NULL,
    tenant_id     INTEGER NOT NULL,
    directory_key INTEGER NOT NULL,
    deleted_at    INTEGER NOT NULL,
    PRIMARY KEY (group_key, user_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX recent_membership_deletion_by_time ON recent_membership_deletion (directory_key, deleted_at);
CREATE INDEX directory_user_deleted_in ON directory_user (directory_key, deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX directory_group_deleted_in ON directory_group (directory_key, deleted_at) WHERE deleted_at IS NOT NULL;

-- A held plan goes stale with the settings and the org that it was read with, and not with the key.
ALTER TABLE held_plan ADD COLUMN verified_settings TEXT;
ALTER TABLE held_plan ADD COLUMN verified_org      TEXT;

UPDATE held_plan AS p
SET verified_settings = d.verified_settings, verified_org = d.verified_org
FROM directory AS d
WHERE d.directory_key = p.directory_key AND d.verified_fingerprint IS p.verified_fingerprint;

ALTER TABLE held_plan DROP COLUMN verified_fingerprint;

-- Secrets that were entered and wait for their verification have the origin `setting-next`; without bytes they erase.
CREATE TABLE vault_2 (
    directory_key INTEGER NOT NULL REFERENCES directory,
    origin        TEXT    NOT NULL CHECK (origin IN ('setting', 'setting-next', 'plugin')),
    name          TEXT    NOT NULL,
    tenant_id     INTEGER NOT NULL,
    sealed        BLOB CHECK (sealed IS NOT NULL OR origin = 'setting-next'),
    plain_bytes   INTEGER NOT NULL,
    PRIMARY KEY (directory_key, origin, name)
) STRICT;

INSERT INTO vault_2 (directory_key, origin, name, tenant_id, sealed, plain_bytes)
SELECT directory_key, origin, name, tenant_id, sealed, plain_bytes
FROM vault;

DROP TABLE vault;

ALTER TABLE vault_2 RENAME TO vault;

-- This file, and how it is known that it is not an older copy of itself: its place on the disk, the token of its last
-- apply (which stands beside it too), and whether it was made as a backup. Changes are kept for `keep_changes_ms`, which
-- the service sets, whoever purges.
CREATE TABLE store (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    place       TEXT,
    apply_token TEXT,
    is_backup   INTEGER NOT NULL DEFAULT 0,
    purged_at   INTEGER,
    keep_changes_ms INTEGER
) STRICT;

INSERT INTO store (only) VALUES (1);

-- Whether the tenant's feed took the place of an earlier one: then a number alone may be of that one.
ALTER TABLE tenant ADD COLUMN feed_renewed INTEGER NOT NULL DEFAULT 0;
