//! Applies a plan: all of it in one transaction, or nothing.

use std::path::Path;

use idsync_model::{Clock, Outcome, RunId, StoredCounts, UnixMillis};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql, Transaction, TransactionBehavior, named_params};

use super::connection::{attach, open_for_apply};
use super::feed_mark;
use super::runs::{self, Ending};
use super::scope::{self, RunScope};
use super::word::{json, signed, unsigned};
use super::{hold, recent};
use crate::{Applied, AppliedCounts, Plan, PlanSummary, PlannedCounts, RunFacts, StoreError};

/// Applies a plan that lies in the run's file. Returns besides the runs whose files can go.
pub(super) fn apply(
    store: &Path,
    run_file: &Path,
    plan: &Plan,
    facts: &RunFacts,
    clock: &dyn Clock,
) -> Result<(Applied, Vec<RunId>), StoreError> {
    let mut connection = open_for_apply(store)?;
    // A run that has ended has no file any more; which of the two it is, is what the caller wants to know.
    present(&connection, plan)?;
    attach(&connection, run_file, 8_192)?;
    let applied = {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let applied = write(&transaction, plan, facts, clock)?;
        transaction.commit()?;
        applied
    };
    feed_mark::settle(&mut connection);
    Ok(applied)
}

/// Writes all that an apply writes. Nothing of it counts until the transaction is committed. The run ends when its rows
/// are written: an apply is a part of how long it took.
pub(super) fn write(
    transaction: &Transaction<'_>,
    plan: &Plan,
    facts: &RunFacts,
    clock: &dyn Clock,
) -> Result<(Applied, Vec<RunId>), StoreError> {
    let now = clock.now();
    let scope = present(transaction, plan)?;
    let skips = runs::staged_skips(transaction)?;
    let told = write_block(transaction, &scope, &plan.summary, now)?;
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
    scope: &RunScope,
    summary: &PlanSummary,
    now: UnixMillis,
) -> Result<Told, StoreError> {
    let before = last_seq(transaction, scope)?;
    let mut block = Block {
        transaction,
        scope,
        now,
        seq: before,
    };
    write_rows(&mut block, summary)?;
    let changes = block.seq - before;
    let applied_seq = (changes > 0)
        .then(|| block.close(&AppliedCounts::from(summary)))
        .transpose()?;
    write_directory(&block, summary)?;
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
    let seq = transaction.query_row(
        "SELECT last_seq FROM tenant WHERE tenant_id = :tenant_id",
        named_params! { ":tenant_id": scope.tenant_id },
        |row| row.get(0),
    )?;
    Ok(seq)
}

/// The changes of one run, which readers see together.
pub(super) struct Block<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) scope: &'a RunScope,
    pub(super) now: UnixMillis,
    /// The number of the last change that was written.
    pub(super) seq: i64,
}

impl Block<'_> {
    /// Writes the changes that a statement finds, in its order, numbered on from the last one. Its columns are kind,
    /// operation, user key, group key, reason, the row before and the row after. SQLite would number them by itself, but
    /// only after it has kept all of them once more.
    pub(super) fn tell(&mut self, statement: &str) -> Result<(), StoreError> {
        const TELL: &str = "
            INSERT INTO change (
                tenant_id, seq, run_key, directory_key, kind, operation, user_key, group_key, reason, before, after
            )
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let mut find = self.transaction.prepare(statement)?;
        if let Some(directory) = find.parameter_index(":directory_key")? {
            find.raw_bind_parameter(directory, self.scope.directory_key)?;
        }
        let mut tell = self.transaction.prepare_cached(TELL)?;
        let mut found = find.raw_query();
        while let Some(row) = found.next()? {
            let column = |place| row.get_ref(place).map(ToSqlOutput::Borrowed);
            self.seq += 1;
            tell.execute((
                self.scope.tenant_id,
                self.seq,
                self.scope.run_key,
                self.scope.directory_key,
                column(0)?,
                column(1)?,
                column(2)?,
                column(3)?,
                column(4)?,
                column(5)?,
                column(6)?,
            ))?;
        }
        Ok(())
    }

    /// Writes the closing record and keeps the tenant's counter. Returns the record's number.
    pub(super) fn close(&mut self, counts: &AppliedCounts) -> Result<i64, StoreError> {
        const CLOSE: &str = "
            INSERT INTO change (tenant_id, seq, run_key, directory_key, kind, after)
            VALUES (:tenant_id, :seq, :run_key, :directory_key, 4, :counts)";
        const COUNT: &str = "
            UPDATE tenant
            SET last_seq = :seq
            WHERE tenant_id = :tenant_id";
        self.seq += 1;
        self.transaction.execute(
            CLOSE,
            named_params! {
                ":tenant_id": self.scope.tenant_id,
                ":seq": self.seq,
                ":run_key": self.scope.run_key,
                ":directory_key": self.scope.directory_key,
                ":counts": json(counts),
            },
        )?;
        self.transaction.execute(
            COUNT,
            named_params! { ":tenant_id": self.scope.tenant_id, ":seq": self.seq },
        )?;
        feed_mark::announce(self.transaction)?;
        Ok(self.seq)
    }

    fn run(&self, statement: &str, parameters: &[(&str, &dyn ToSql)]) -> Result<(), StoreError> {
        self.transaction.execute(statement, parameters)?;
        Ok(())
    }
}

/// Rows and changes, in the order of RUNS §3.3: users and groups created or updated, memberships created, memberships
/// deleted, groups deleted, users deleted.
fn write_rows(block: &mut Block<'_>, summary: &PlanSummary) -> Result<(), StoreError> {
    let tenant = block.scope.tenant_id;
    let directory = block.scope.directory_key;
    let (run, now) = (block.scope.run_key, block.now.0);
    let scoped: &[(&str, &dyn ToSql)] = &[(":tenant_id", &tenant), (":directory_key", &directory)];
    let of_tenant: &[(&str, &dyn ToSql)] = &[(":tenant_id", &tenant)];
    let gone: &[(&str, &dyn ToSql)] = &[(":now", &now), (":run_key", &run)];

    block.run(include_str!("sql/apply/01_user_identities.sql"), scoped)?;
    block.run(include_str!("sql/apply/02_group_identities.sql"), scoped)?;
    if summary.users.created + summary.users.updated > 0 {
        block.tell(include_str!("sql/apply/03_user_changes.sql"))?;
        block.run(include_str!("sql/apply/04_users.sql"), scoped)?;
    }
    if summary.groups.created + summary.groups.updated > 0 {
        block.tell(include_str!("sql/apply/05_group_changes.sql"))?;
        block.run(include_str!("sql/apply/06_groups.sql"), scoped)?;
    }
    block.run(include_str!("sql/apply/07_readings.sql"), &[])?;
    if summary.memberships.created > 0 {
        block.tell(include_str!("sql/apply/08_membership_creations.sql"))?;
    }
    if summary.memberships.deleted > 0 {
        block.tell(include_str!("sql/apply/09_membership_deletions.sql"))?;
    }
    block.run(include_str!("sql/apply/10_lists_shrink.sql"), &[])?;
    block.run(include_str!("sql/apply/11_lists_shrink_by_user.sql"), &[])?;
    block.run(include_str!("sql/apply/12_lists_grow.sql"), of_tenant)?;
    block.run(include_str!("sql/apply/13_lists_grow_by_user.sql"), of_tenant)?;
    if summary.groups.deleted > 0 {
        block.tell(include_str!("sql/apply/14_group_deletions.sql"))?;
        block.run(include_str!("sql/apply/15_group_tombstones.sql"), gone)?;
    }
    if summary.users.deleted > 0 {
        block.tell(include_str!("sql/apply/16_user_deletions.sql"))?;
        block.run(include_str!("sql/apply/17_user_tombstones.sql"), gone)?;
    }
    Ok(())
}

/// The directory after the apply: its counts, its next generation, what is due no longer.
fn write_directory(block: &Block<'_>, summary: &PlanSummary) -> Result<(), StoreError> {
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
    block.run(
        WRITE,
        named_params! {
            ":tenant_id": block.scope.tenant_id,
            ":directory_key": block.scope.directory_key,
            ":users": signed(stored.users),
            ":groups": signed(stored.groups),
            ":memberships": signed(stored.memberships),
            ":now": block.now.0,
            ":is_full": block.scope.mode == "full",
            ":read_began_at": block.scope.read_began_at,
            ":run_key": block.scope.run_key,
            ":full_mark": block.scope.full_mark,
        },
    )
}
