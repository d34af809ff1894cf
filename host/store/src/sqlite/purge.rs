//! Erases what is kept for a time only: changes of each tenant, tombstones of each directory, then the ids and runs that
//! nothing names any more.
//!
//! Each tenant's changes and each directory go in a transaction of their own: a purge that dies leaves a store that is
//! right, and the next one does the rest.

use std::time::Duration;

use idsync_model::{RunId, UnixMillis};
use roaring::RoaringTreemap;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, named_params};

use super::files::remove_database;
use super::word::{milliseconds, unsigned};
use super::{Shared, key_set, lock};
use crate::{PurgeOrder, Purged, StoreError};

/// How long runs are kept that nothing refers to.
const RUNS_KEPT: Duration = Duration::from_hours(90 * 24);

/// How long changes are kept where nobody said.
const CHANGES_KEPT: Duration = Duration::from_hours(30 * 24);

/// How long the guard may look back on memberships, with room to spare: it needs a day, counted back from the first of
/// a series of held plans.
const RECENT_KEPT: Duration = Duration::from_hours(48);

/// Whether the last purge is `every` ago, or the store itself where there was none: a new one has nothing that is old.
/// A stored time that is ahead of now counts as past (RUNS §6.7).
pub(super) fn is_due(store: &Connection, every: Duration, now: UnixMillis) -> Result<bool, StoreError> {
    const LAST: &str = "SELECT coalesce(purged_at, (SELECT min(created_at) FROM tenant)) FROM store";
    let last: Option<i64> = store.query_row(LAST, [], |row| row.get(0))?;
    Ok(last.is_none_or(|last| {
        let last = UnixMillis(last);
        last > now || now.since(last) >= every
    }))
}

/// Sets how long changes are kept.
pub(super) fn set_keep_changes(store: &Connection, keep: Duration) -> Result<(), StoreError> {
    store.execute(
        "UPDATE store SET keep_changes_ms = :keep",
        named_params! { ":keep": milliseconds(keep) },
    )?;
    Ok(())
}

fn kept_changes(store: &Connection) -> Result<Duration, StoreError> {
    let kept: Option<i64> = store.query_row("SELECT keep_changes_ms FROM store", [], |row| row.get(0))?;
    Ok(kept.map_or(CHANGES_KEPT, |kept| Duration::from_millis(unsigned(kept))))
}

/// Purges all tenants.
pub(super) fn purge(shared: &Shared, order: PurgeOrder) -> Result<Purged, StoreError> {
    let now = shared.clock.now();
    let mut purged = Purged::default();
    let keep_changes = match order.changes {
        Some(keep) => keep,
        None => kept_changes(&lock(&shared.writer))?,
    };
    let tenants = keys(&lock(&shared.writer), "SELECT tenant_id FROM tenant")?;
    for tenant_id in tenants {
        let mut store = lock(&shared.writer);
        let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let cutoff = before(believed_of_tenant(&transaction, tenant_id, now)?, keep_changes);
        purged.changes += purge_changes(&transaction, tenant_id, cutoff)?;
        transaction.commit()?;
    }
    let directories = keys(&lock(&shared.writer), "SELECT directory_key FROM directory")?;
    for directory_key in directories {
        let mut store = lock(&shared.writer);
        let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
        purge_directory(&transaction, directory_key, order, now, &mut purged)?;
        transaction.commit()?;
    }
    purged.files = purge_files(shared)?;
    lock(&shared.writer).execute(
        "UPDATE store SET purged_at = :now",
        named_params! { ":now": now.0 },
    )?;
    Ok(purged)
}

fn keys(store: &Connection, statement: &str) -> Result<Vec<i64>, StoreError> {
    let mut statement = store.prepare(statement)?;
    let keys = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(keys)
}

fn before(now: i64, kept: Duration) -> i64 {
    now.saturating_sub(milliseconds(kept))
}

/// The time for a tenant's changes: the host's, but no later than the latest that a provider of its directories told
/// (RUNS §6.7). A directory whose provider tells no time, or that was never synced, says nothing against the host's.
fn believed_of_tenant(
    transaction: &Transaction<'_>,
    tenant_id: i64,
    now: UnixMillis,
) -> Result<i64, StoreError> {
    const LATEST: &str = "
        SELECT max(coalesce(provider_time, :now))
        FROM directory
        WHERE tenant_id = :tenant_id AND removed_at IS NULL AND first_applied_at IS NOT NULL";
    let latest: Option<i64> = transaction.query_row(
        LATEST,
        named_params! { ":tenant_id": tenant_id, ":now": now.0 },
        |row| row.get(0),
    )?;
    Ok(latest.map_or(now.0, |latest| latest.min(now.0)))
}

/// Erases the blocks at the start of the feed whose runs ended before `cutoff`. The counter stays.
fn purge_changes(transaction: &Transaction<'_>, tenant_id: i64, cutoff: i64) -> Result<u64, StoreError> {
    // A block ends with the number that its run has as `applied_seq`. The run of a change is kept as long as the change.
    const ERASE: &str = "
        DELETE FROM change_block
        WHERE tenant_id = :tenant_id
          AND last_seq <= (
              SELECT max(r.applied_seq)
              FROM run AS r
              WHERE r.tenant_id = :tenant_id
                AND r.applied_seq < coalesce(
                    (
                        SELECT min(young.applied_seq)
                        FROM run AS young
                        WHERE young.tenant_id = :tenant_id
                          AND young.applied_seq >= (
                              SELECT min(c.last_seq)
                              FROM change_block AS c
                              WHERE c.tenant_id = :tenant_id
                          )
                          AND young.ended_at >= :cutoff
                    ),
                    9223372036854775807
                )
          )
        RETURNING changes";
    let mut statement = transaction.prepare(ERASE)?;
    let mut erased = statement.query(named_params! { ":tenant_id": tenant_id, ":cutoff": cutoff })?;
    let mut changes = 0;
    while let Some(row) = erased.next()? {
        changes += unsigned(row.get(0)?);
    }
    Ok(changes)
}

fn purge_directory(
    transaction: &Transaction<'_>,
    directory_key: i64,
    order: PurgeOrder,
    now: UnixMillis,
    purged: &mut Purged,
) -> Result<(), StoreError> {
    const FIND: &str = "
        SELECT
            tenant_id,
            removed_at IS NOT NULL,
            iif(removed_at IS NULL, min(:now, coalesce(provider_time, :now)), :now),
            min(:now, coalesce(provider_time, :now), coalesce(holding_since, :now))
        FROM directory
        WHERE directory_key = :directory_key";
    const USERS: &str = "
        DELETE FROM directory_user
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND deleted_at < :cutoff";
    const GROUPS: &str = "
        DELETE FROM directory_group
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND deleted_at < :cutoff";
    const RECENT: &str = "
        DELETE FROM recent_list_deletion
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND deleted_at < :cutoff";
    const RAISE: &str = "
        UPDATE directory
        SET generation = generation + 1
        WHERE directory_key = :directory_key";
    let found = transaction
        .query_row(
            FIND,
            named_params! { ":directory_key": directory_key, ":now": now.0 },
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .optional()?;
    let Some((tenant_id, is_removed, believed, guard_looks_from)) = found else {
        return Ok(());
    };
    let erase = |statement: &str, cutoff: i64| -> Result<u64, StoreError> {
        let erased = transaction.execute(
            statement,
            named_params! {
                ":tenant_id": tenant_id,
                ":directory_key": directory_key,
                ":cutoff": cutoff,
            },
        )?;
        Ok(erased as u64)
    };
    let users = erase(USERS, before(believed, order.tombstones))?;
    let groups = erase(GROUPS, before(believed, order.tombstones))?;
    erase(RECENT, before(guard_looks_from, RECENT_KEPT))?;
    let identities = purge_identities(transaction, tenant_id, directory_key)?;
    if users + groups + identities > 0 {
        transaction.execute(RAISE, named_params! { ":directory_key": directory_key })?;
    }
    purged.users += users;
    purged.groups += groups;
    purged.identities += identities;
    purged.runs += purge_runs(transaction, tenant_id, directory_key, before(believed, RUNS_KEPT))?;
    if is_removed {
        purged.runs += purge_history(transaction, tenant_id, directory_key)?;
    }
    Ok(())
}

/// Erases the ids that neither a row, a member list, a change nor the guard names. Changes of users and groups have the
/// ids themselves.
fn purge_identities(
    transaction: &Transaction<'_>,
    tenant_id: i64,
    directory_key: i64,
) -> Result<u64, StoreError> {
    const USERS: &str = "
        SELECT i.user_key
        FROM user_identity AS i
        WHERE i.tenant_id = :tenant_id AND i.directory_key = :directory_key
          AND NOT EXISTS (SELECT 1 FROM directory_user AS u WHERE u.user_key = i.user_key)";
    let of_directory = named_params! { ":tenant_id": tenant_id, ":directory_key": directory_key };
    let groups = transaction.execute(include_str!("sql/purge/1_group_identities.sql"), of_directory)?;
    let mut rowless = key_set::of_rows(&mut transaction.prepare(USERS)?.query(of_directory)?)?;
    // A directory without members outside its app has none, and then nothing need be looked through.
    if !rowless.is_empty() {
        rowless -= named_users(transaction, tenant_id, directory_key)?;
    }
    let mut erase = transaction.prepare("DELETE FROM user_identity WHERE user_key = ?1")?;
    for user in &rowless {
        erase.execute([key_set::key(user)])?;
    }
    Ok(groups as u64 + rowless.len())
}

/// The users of a directory whom a member list, a change of a membership or the guard names.
fn named_users(
    transaction: &Transaction<'_>,
    tenant_id: i64,
    directory_key: i64,
) -> Result<RoaringTreemap, StoreError> {
    const NAMED: &str = "
        SELECT l.users
        FROM group_identity AS i
        CROSS JOIN member_list AS l ON l.group_key = i.group_key
        WHERE i.tenant_id = :tenant_id AND i.directory_key = :directory_key
        UNION ALL
        SELECT c.body
        FROM change_block AS c
        WHERE c.tenant_id = :tenant_id AND c.directory_key = :directory_key AND c.kind = 3
        UNION ALL
        SELECT r.users
        FROM recent_list_deletion AS r
        WHERE r.directory_key = :directory_key";
    let mut named = transaction.prepare(NAMED)?;
    let mut named =
        named.query(named_params! { ":tenant_id": tenant_id, ":directory_key": directory_key })?;
    let mut users = RoaringTreemap::new();
    while let Some(row) = named.next()? {
        users |= key_set::from_column(row, 0)?;
    }
    Ok(users)
}

/// Erases old runs that neither a kept change, a held plan, a tombstone nor the directory's state refers to.
fn purge_runs(
    transaction: &Transaction<'_>,
    tenant_id: i64,
    directory_key: i64,
    cutoff: i64,
) -> Result<u64, StoreError> {
    const OLD: &str = include_str!("sql/purge/2_old_runs.sql");
    const SKIPS: &str = "
        DELETE FROM run_skip
        WHERE tenant_id = :tenant_id AND run_key = :run_key";
    const RUN: &str = "
        DELETE FROM run
        WHERE tenant_id = :tenant_id AND run_key = :run_key";
    let mut statement = transaction.prepare_cached(OLD)?;
    let old = statement
        .query_map(
            named_params! {
                ":tenant_id": tenant_id,
                ":directory_key": directory_key,
                ":cutoff": cutoff,
            },
            |row| row.get(0),
        )?
        .collect::<Result<Vec<i64>, _>>()?;
    for run_key in &old {
        for statement in [SKIPS, RUN] {
            transaction.prepare_cached(statement)?.execute(named_params! {
                ":tenant_id": tenant_id,
                ":run_key": run_key,
            })?;
        }
    }
    Ok(old.len() as u64)
}

/// Erases the history of a removed directory once nothing else is left of it. Its id stays, never to be used again.
fn purge_history(
    transaction: &Transaction<'_>,
    tenant_id: i64,
    directory_key: i64,
) -> Result<u64, StoreError> {
    const IS_LEFT: &str = "
        SELECT
            EXISTS (SELECT 1 FROM user_identity WHERE directory_key = :directory_key)
            OR EXISTS (SELECT 1 FROM group_identity WHERE directory_key = :directory_key)
            OR EXISTS (
                SELECT 1
                FROM run AS r
                JOIN change_block AS c ON c.tenant_id = r.tenant_id AND c.last_seq = r.applied_seq
                WHERE r.directory_key = :directory_key
            )
            OR EXISTS (SELECT 1 FROM held_plan WHERE directory_key = :directory_key)";
    const SKIPS: &str = "
        DELETE FROM run_skip
        WHERE tenant_id = :tenant_id
          AND run_key IN (SELECT r.run_key FROM run AS r WHERE r.directory_key = :directory_key)";
    const RUNS: &str = "
        DELETE FROM run
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    const FORGET: &str = "
        UPDATE directory
        SET settings = '{}', verified_settings = NULL, verified_org = NULL, verified_scope = NULL,
            hosts = NULL
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    let is_left: bool = transaction.query_row(
        IS_LEFT,
        named_params! { ":directory_key": directory_key },
        |row| row.get(0),
    )?;
    if is_left {
        return Ok(0);
    }
    let all = named_params! { ":tenant_id": tenant_id, ":directory_key": directory_key };
    transaction.execute(SKIPS, all)?;
    let runs = transaction.execute(RUNS, all)?;
    transaction.execute(FORGET, all)?;
    Ok(runs as u64)
}

/// Removes the files of plans and stagings that nothing will read: their run is gone, or its plan is not kept. A staging
/// of a run that is known is its directory's next run's to take or drop.
fn purge_files(shared: &Shared) -> Result<u64, StoreError> {
    const NEEDED: &str = "
        SELECT
            r.outcome IS NULL
            OR EXISTS (SELECT 1 FROM held_plan AS p WHERE p.run_key = r.run_key)
        FROM run AS r
        WHERE r.id = :id";
    let is_needed = |run: &RunId| -> Result<Option<bool>, StoreError> {
        let needed = lock(&shared.writer)
            .prepare_cached(NEEDED)?
            .query_row(named_params! { ":id": run.as_str() }, |row| row.get(0))
            .optional()?;
        Ok(needed)
    };
    let mut removed = 0;
    for run in shared.files.staged_runs()? {
        if is_needed(&run)?.is_none() {
            remove_database(&shared.files.staging(&run));
            removed += 1;
        }
    }
    for run in shared.files.held_runs()? {
        if is_needed(&run)? != Some(true) {
            remove_database(&shared.files.held(&run));
            removed += 1;
        }
    }
    Ok(removed)
}
