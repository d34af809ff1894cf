//! Makes plans: one ordered pass after the other over what was read and what is stored.

mod lists;
mod people;
mod rows;

use idsync_model::{RunId, StoredCounts, TenantName, UnixMillis};
use rusqlite::{Connection, named_params};

use super::recent;
use super::scope::{self, RunScope};
use super::word::{signed, unreadable, unsigned};
use crate::{Plan, PlanSummary, PlannedCounts, RunBasis, StoreError};

pub(super) use rows::{deletes_more, rows, users_who_go};

/// Empties the tables of a plan.
pub(super) const CLEAR: [&str; 6] = [
    "DELETE FROM plan_head",
    "DELETE FROM plan_new_group",
    "DELETE FROM plan_user",
    "DELETE FROM plan_staged_group",
    "DELETE FROM plan_group",
    "DELETE FROM plan_member_list",
];

/// Makes the plan of a run beside what it read, which is attached to the store. `take_keys` gives the first of as many keys as are asked for.
pub(super) fn make(
    store: &mut Connection,
    tenant: &TenantName,
    run: &RunId,
    basis: RunBasis,
    now: UnixMillis,
    take_keys: impl Fn(i64) -> Result<i64, StoreError>,
) -> Result<Plan, StoreError> {
    let transaction = store.transaction()?;
    // From here on the store is seen as of one moment.
    let scope = scope::run(&transaction, tenant, run)?;
    if unsigned(scope.generation) != basis.generation {
        return Err(StoreError::Stale {
            run: run.clone(),
            planned: basis.generation,
            found: unsigned(scope.generation),
        });
    }
    // A run plans again when its first plan went stale.
    for statement in CLEAR {
        transaction.prepare_cached(statement)?.execute([])?;
    }
    let directory = named_params! { ":directory_key": scope.directory_key };
    // The directory may have changed since they were looked up.
    if standings_of(&transaction)? != Some(scope.generation) {
        transaction
            .prepare_cached(include_str!("../sql/plan/standings.sql"))?
            .execute(directory)?;
    }
    let met = people::meet(&transaction, scope.directory_key)?;
    let new_groups = transaction
        .prepare_cached(include_str!("../sql/plan/1_new_groups.sql"))?
        .execute(directory)?;
    let base = give_keys(
        &transaction,
        met.new_users(),
        signed(new_groups as u64),
        take_keys,
    )?;
    let people = met.with_keys(&transaction, base)?;
    transaction
        .prepare_cached(include_str!("../sql/plan/2_staged_groups.sql"))?
        .execute(directory)?;
    transaction
        .prepare_cached(include_str!("../sql/plan/3_groups.sql"))?
        .execute([])?;
    transaction
        .prepare_cached(include_str!("../sql/plan/4_absent_groups.sql"))?
        .execute(directory)?;
    lists::plan(&transaction, &people)?;
    let summary = summary(&transaction, &scope, now)?;
    transaction.commit()?;
    Ok(Plan {
        tenant: tenant.clone(),
        directory: scope
            .directory
            .parse()
            .map_err(|e| unreadable("a directory's id", e))?,
        run: run.clone(),
        generation: basis.generation,
        summary,
    })
}

/// The generation in which what the file keeps of the store holds.
fn standings_of(run_file: &Connection) -> Result<Option<i64>, StoreError> {
    Ok(run_file
        .prepare_cached("SELECT standings_of FROM staged_head")?
        .query_row([], |row| row.get(0))?)
}

/// Gives new users and groups their keys, those of users first. Returns the number that they follow.
fn give_keys(
    run_file: &Connection,
    users: i64,
    groups: i64,
    take_keys: impl Fn(i64) -> Result<i64, StoreError>,
) -> Result<i64, StoreError> {
    const GIVE: &str = "
        INSERT INTO plan_head (only, group_key_base)
        VALUES (1, :base + :users)";
    let base = if users + groups > 0 {
        take_keys(users + groups)? - 1
    } else {
        0
    };
    run_file
        .prepare_cached(GIVE)?
        .execute(named_params! { ":base": base, ":users": users })?;
    Ok(base)
}

/// Takes keys for new identities from the store. Those of a plan that is never applied are lost, of 2⁶³.
pub(super) fn take_keys(store: &Connection, count: i64) -> Result<i64, StoreError> {
    const TAKE: &str = "
        UPDATE identity_counter
        SET next_key = next_key + :count
        WHERE only = 1
        RETURNING next_key - :count";
    let first = store
        .prepare_cached(TAKE)?
        .query_row(named_params! { ":count": count }, |row| row.get(0))?;
    Ok(first)
}

fn summary(run_file: &Connection, scope: &RunScope, now: UnixMillis) -> Result<PlanSummary, StoreError> {
    let recent = recent::deletions(run_file, scope, now)?;
    let keys = named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key };
    let mut summary = run_file
        .prepare_cached(include_str!("../sql/plan/counts.sql"))?
        .query_row(keys, |row| {
            let count = |column: usize| row.get::<_, i64>(column).map(unsigned);
            let planned = |stored: u64, created, updated, deleted: u64, skipped| PlannedCounts {
                created,
                updated,
                deleted,
                unchanged: stored.saturating_sub(updated).saturating_sub(deleted),
                skipped,
            };
            let stored = StoredCounts {
                users: count(0)?,
                groups: count(1)?,
                memberships: count(2)?,
            };
            Ok(PlanSummary {
                stored,
                is_first: row.get(3)?,
                users: planned(stored.users, count(4)?, count(5)?, count(6)?, count(13)?),
                groups: planned(stored.groups, count(7)?, count(8)?, count(9)?, count(14)?),
                memberships: planned(stored.memberships, count(10)?, 0, count(11)?, count(15)?),
                memberships_deleted_with_user: count(12)?,
                recent,
                moved: 0,
            })
        })?;
    // Nobody loses an address when all are new: a first sync sorts none.
    if summary.users.updated + summary.users.deleted > 0 {
        let moved = run_file
            .prepare_cached(include_str!("../sql/plan/moved.sql"))?
            .query_row([], |row| row.get(0))?;
        summary.moved = unsigned(moved);
    }
    Ok(summary)
}
