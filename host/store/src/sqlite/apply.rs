//! Applies a plan: all of it in one transaction, or nothing.

use std::sync::atomic::Ordering;
use std::{slice, thread};

use idsync_model::{Clock, Outcome, RunId, StoredCounts, UnixMillis};
use rusqlite::{Connection, ToSql, Transaction, TransactionBehavior, named_params};

use super::block::Block;
use super::connection::copy_journal;
use super::pool::Lent;
use super::runs::{self, Ending};
use super::scope::{self, RunScope};
use super::telling::{self, Paths};
use super::word::{signed, unsigned};
use super::{Shared, feed_mark, hold, lock, recent};
use crate::{Applied, AppliedCounts, Plan, PlanSummary, PlannedCounts, RunFacts, StoreError};

/// So many users are written at a time, and then what readers were told meanwhile.
const PIECE: i64 = if cfg!(test) { 2 } else { 4_096 };

/// Applies a plan, and sees to what follows its commit.
pub(super) fn apply(shared: &Shared, plan: &Plan, facts: &RunFacts) -> Result<Applied, StoreError> {
    let paths = Paths {
        store: &shared.files.database(),
        run_file: &shared.files.staging(&plan.run),
    };
    let is_large = telling::is_large(&plan.summary);
    // A run that has ended has no rows any more; which of the two it is, is what the caller wants to know.
    present(&lock(&shared.writer), plan)?;
    if is_large {
        shared.spill(&plan.run)?;
    }
    let (mut writer, (applied, dropped)) = shared.with_rows(&plan.run, |store| {
        // Whoever else writes in this process waits here, however long it takes, and not for a timeout of SQLite's: also
        // until the journal is copied, because nobody could empty it meanwhile.
        shared.applies_waiting.fetch_add(1, Ordering::SeqCst);
        let mut writer = lock(&shared.writer);
        shared.applies_waiting.fetch_sub(1, Ordering::SeqCst);
        let applied = commit(store, paths, plan, facts, &*shared.clock);
        if applied.is_err() {
            // The one before may have left it to this one.
            feed_mark::settle(&mut writer);
        }
        Ok((writer, applied?))
    })?;
    thread::scope(|scope| {
        if is_large {
            let copy = || copy_journal(paths.store);
            // Where there is no thread, a later commit does it.
            let _ = thread::Builder::new().spawn_scoped(scope, copy);
        }
        // Whoever is about to apply writes the mark anew.
        if shared.applies_waiting.load(Ordering::SeqCst) == 0 {
            feed_mark::settle(&mut writer);
        }
        shared.drop_files(slice::from_ref(&plan.run));
        shared.drop_files(&dropped);
    });
    Ok(applied)
}

/// Applies a plan that lies beside the store. Returns besides the runs whose files can go. The mark beside the store is
/// to be settled, and of a large plan the journal is to be copied.
fn commit(
    store: &mut Lent,
    paths: Paths<'_>,
    plan: &Plan,
    facts: &RunFacts,
    clock: &dyn Clock,
) -> Result<(Applied, Vec<RunId>), StoreError> {
    if telling::is_large(&plan.summary) {
        // The commit would copy the journal itself, and what can be done beside that would have to wait.
        store.pragma_update(None, "wal_autocheckpoint", 0)?;
        store.close_after_use();
    }
    let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied = write(&transaction, paths, plan, facts, clock)?;
    transaction.commit()?;
    Ok(applied)
}

/// Writes all that an apply writes. Nothing of it counts until the transaction is committed. The run ends when its rows
/// are written: an apply is a part of how long it took.
pub(super) fn write(
    transaction: &Transaction<'_>,
    paths: Paths<'_>,
    plan: &Plan,
    facts: &RunFacts,
    clock: &dyn Clock,
) -> Result<(Applied, Vec<RunId>), StoreError> {
    let now = clock.now();
    let scope = present(transaction, plan)?;
    let skips = runs::staged_skips(transaction)?;
    let told = write_block(transaction, paths, &scope, &plan.summary, now)?;
    recent::keep(transaction, &scope, &plan.summary, now)?;
    let superseded = hold::supersede(transaction, &scope)?;
    let dropped = hold::forget_all(transaction, &scope)?;
    let ending = Ending {
        outcome: Outcome::Succeeded,
        now: clock.now(),
        counts: AppliedCounts::from(&plan.summary),
        facts,
        held: None,
        error: None,
        applied_seq: told.applied_seq,
        skips: &skips,
    };
    runs::end(transaction, &scope, &ending)?;
    let applied = Applied {
        run: runs::find(transaction, &plan.tenant, &plan.run)?,
        changes: unsigned(told.changes),
        seq: unsigned(told.seq),
        superseded,
    };
    Ok((applied, dropped))
}

/// What readers were told of one apply.
pub(super) struct Told {
    /// How many changes, the closing record not counted.
    pub(super) changes: i64,
    /// The number of the closing record, where there were changes.
    pub(super) applied_seq: Option<i64>,
    /// The number of the tenant's last change.
    pub(super) seq: i64,
}

/// Writes what a plan does to the directory and what readers are told of it, whoever lets it: its run, or a person
/// later.
pub(super) fn write_block(
    transaction: &Transaction<'_>,
    paths: Paths<'_>,
    scope: &RunScope,
    summary: &PlanSummary,
    now: UnixMillis,
) -> Result<Told, StoreError> {
    let before = last_seq(transaction, scope)?;
    let mut block = Block {
        transaction,
        scope,
        seq: before,
    };
    telling::tell(&mut block, paths, summary, |between| {
        write_rows(transaction, scope, summary, now, between)
    })?;
    let changes = block.seq - before;
    let applied_seq = (changes > 0)
        .then(|| block.close(&AppliedCounts::from(summary)))
        .transpose()?;
    write_directory(&block, summary, now)?;
    Ok(Told {
        changes,
        applied_seq,
        seq: block.seq,
    })
}

/// The run of a plan, if the directory still is what the plan was made for.
pub(super) fn present(transaction: &Connection, plan: &Plan) -> Result<RunScope, StoreError> {
    let scope = scope::run(transaction, &plan.tenant, &plan.run)?;
    if unsigned(scope.generation) != plan.generation {
        return Err(StoreError::Stale {
            run: plan.run.clone(),
            planned: plan.generation,
            found: unsigned(scope.generation),
        });
    }
    Ok(scope)
}

/// The number of the tenant's last change.
pub(super) fn last_seq(transaction: &Connection, scope: &RunScope) -> Result<i64, StoreError> {
    let seq = transaction
        .prepare_cached("SELECT last_seq FROM tenant WHERE tenant_id = :tenant_id")?
        .query_row(named_params! { ":tenant_id": scope.tenant_id }, |row| row.get(0))?;
    Ok(seq)
}

/// Writes the rows of the store. `between` is called after each part that may take long.
fn write_rows(
    transaction: &Transaction<'_>,
    scope: &RunScope,
    summary: &PlanSummary,
    now: UnixMillis,
    between: &mut dyn FnMut() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let run = |statement: &str, parameters: &[(&str, &dyn ToSql)]| {
        transaction.prepare_cached(statement)?.execute(parameters)
    };
    let scoped = named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
    };
    let of_tenant = &scoped[..1];
    let gone = named_params! { ":now": now.0, ":run_key": scope.run_key };
    write_users(transaction, scope, between)?;
    run(include_str!("sql/apply/02_group_identities.sql"), scoped)?;
    if summary.groups.created + summary.groups.updated > 0 {
        run(include_str!("sql/apply/06_groups.sql"), scoped)?;
    }
    run(include_str!("sql/apply/07_readings.sql"), &[])?;
    run(include_str!("sql/apply/08_emptied_lists.sql"), &[])?;
    run(include_str!("sql/apply/09_lists.sql"), of_tenant)?;
    if summary.groups.deleted > 0 {
        run(include_str!("sql/apply/11_group_tombstones.sql"), gone)?;
    }
    if summary.users.deleted > 0 {
        run(include_str!("sql/apply/13_user_tombstones.sql"), gone)?;
    }
    Ok(())
}

/// Writes users and their identities, piece by piece.
fn write_users(
    transaction: &Transaction<'_>,
    scope: &RunScope,
    between: &mut dyn FnMut() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    const PIECE_END: &str = "
        SELECT max(user_key)
        FROM (SELECT user_key FROM plan_user WHERE user_key > :after ORDER BY user_key LIMIT :rows)";
    let mut piece_end = transaction.prepare_cached(PIECE_END)?;
    let mut identities = transaction.prepare_cached(include_str!("sql/apply/01_user_identities.sql"))?;
    let mut users = transaction.prepare_cached(include_str!("sql/apply/04_users.sql"))?;
    let mut after = 0;
    while let Some(until) = piece_end.query_row(named_params! { ":after": after, ":rows": PIECE }, |row| {
        row.get::<_, Option<i64>>(0)
    })? {
        let piece = named_params! {
            ":tenant_id": scope.tenant_id,
            ":directory_key": scope.directory_key,
            ":after": after,
            ":until": until,
        };
        identities.execute(piece)?;
        users.execute(piece)?;
        between()?;
        after = until;
    }
    Ok(())
}

/// The directory after the apply: its counts, its next generation, what is due no longer.
fn write_directory(block: &Block<'_>, summary: &PlanSummary, now: UnixMillis) -> Result<(), StoreError> {
    const WRITE: &str = "
        UPDATE directory
        SET
            generation = generation + 1,
            users = :users,
            groups = :groups,
            memberships = :memberships,
            first_applied_at = coalesce(first_applied_at, :now),
            held_since = NULL,
            holding_since = NULL,
            last_full_at = iif(:is_full, :read_began_at, last_full_at),
            last_full_plugin_version = iif(
                :is_full,
                (SELECT r.plugin_version FROM run AS r WHERE r.run_key = :run_key),
                last_full_plugin_version
            ),
            last_full_contract = iif(
                :is_full,
                (SELECT r.contract FROM run AS r WHERE r.run_key = :run_key),
                last_full_contract
            ),
            full_mark_done = iif(:is_full, max(full_mark_done, :full_mark), full_mark_done)
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    let after =
        |stored: u64, counts: &PlannedCounts| (stored + counts.created).saturating_sub(counts.deleted);
    let stored = StoredCounts {
        users: after(summary.stored.users, &summary.users),
        groups: after(summary.stored.groups, &summary.groups),
        memberships: after(summary.stored.memberships, &summary.memberships),
    };
    recent::note_stored(block.transaction, block.scope, stored)?;
    block.transaction.prepare_cached(WRITE)?.execute(named_params! {
        ":tenant_id": block.scope.tenant_id,
        ":directory_key": block.scope.directory_key,
        ":users": signed(stored.users),
        ":groups": signed(stored.groups),
        ":memberships": signed(stored.memberships),
        ":now": now.0,
        ":is_full": block.scope.mode == "full",
        ":read_began_at": block.scope.read_began_at,
        ":run_key": block.scope.run_key,
        ":full_mark": block.scope.full_mark,
    })?;
    Ok(())
}
