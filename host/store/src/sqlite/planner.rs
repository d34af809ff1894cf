//! Makes plans: one ordered pass after the other over what was read and what is stored.

use std::path::Path;

use idsync_model::{Entity, ExternalId, Operation, RunId, StoredCounts, TenantName, UnixMillis};
use rusqlite::{Connection, named_params};

use super::connection::{attach, open_run_file};
use super::recent;
use super::scope::{self, RunScope};
use super::word::{operation_number, reason, signed, unreadable, unsigned};
use crate::{Plan, PlanSummary, PlannedCounts, PlannedRow, RunBasis, StoreError};

/// The passes before new users and groups have their keys.
const UNKNOWN: [&str; 2] = [
    include_str!("sql/plan/01_new_users.sql"),
    include_str!("sql/plan/02_new_groups.sql"),
];

/// The pass that gives everyone who was put a key. Its table gets its index afterwards, which is quicker than before.
const PEOPLE: &str = include_str!("sql/plan/03_people.sql");
const PEOPLE_BY_KEY: &str = "CREATE UNIQUE INDEX plan_person_by_key ON plan_person (user_key)";

/// The passes after it that look through the whole directory.
const WHOLE: [&str; 3] = [
    include_str!("sql/plan/05_absent_users.sql"),
    include_str!("sql/plan/06_staged_groups.sql"),
    include_str!("sql/plan/08_absent_groups.sql"),
];

/// The passes over what those found.
const FOUND: [&str; 7] = [
    include_str!("sql/plan/04_users.sql"),
    include_str!("sql/plan/07_groups.sql"),
    include_str!("sql/plan/09_lists.sql"),
    include_str!("sql/plan/10_listed_members.sql"),
    include_str!("sql/plan/11_unlisted_members.sql"),
    include_str!("sql/plan/12_members_of_deleted_groups.sql"),
    include_str!("sql/plan/13_members_by_user.sql"),
];

/// Makes the plan of a run in the run's own file. `take_keys` gives the first of as many keys as are asked for.
pub(super) fn make(
    run_file: &Path,
    store: &Path,
    tenant: &TenantName,
    run: &RunId,
    basis: RunBasis,
    now: UnixMillis,
    take_keys: impl Fn(i64) -> Result<i64, StoreError>,
) -> Result<Plan, StoreError> {
    let mut connection = open_run_file(run_file)?;
    attach(&connection, store, 8_192)?;
    let transaction = connection.transaction()?;
    // From here on the store is seen as of one moment.
    let scope = scope::run(&transaction, tenant, run)?;
    if unsigned(scope.generation) != basis.generation {
        return Err(StoreError::Stale {
            run: run.clone(),
            planned: basis.generation,
            found: unsigned(scope.generation),
        });
    }
    transaction.execute_batch(include_str!("sql/plan/tables.sql"))?;
    let directory = named_params! { ":directory_key": scope.directory_key };
    for pass in UNKNOWN {
        transaction.execute(pass, directory)?;
    }
    give_keys(&transaction, take_keys)?;
    transaction.execute(PEOPLE, directory)?;
    transaction.execute_batch(PEOPLE_BY_KEY)?;
    for pass in WHOLE {
        transaction.execute(pass, directory)?;
    }
    for pass in FOUND {
        transaction.execute(pass, [])?;
    }
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

fn give_keys(
    run_file: &Connection,
    take_keys: impl Fn(i64) -> Result<i64, StoreError>,
) -> Result<(), StoreError> {
    const COUNT: &str = "
        SELECT (SELECT count(*) FROM plan_new_user), (SELECT count(*) FROM plan_new_group)";
    const GIVE: &str = "
        INSERT INTO plan_head (only, user_key_base, group_key_base)
        VALUES (1, :first - 1, :first - 1 + :users)";
    let (users, groups): (i64, i64) = run_file.query_row(COUNT, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let first = if users + groups > 0 {
        take_keys(users + groups)?
    } else {
        1
    };
    run_file.execute(GIVE, named_params! { ":first": first, ":users": users })?;
    Ok(())
}

/// Takes keys for new identities from the store. Those of a plan that is never applied are lost, of 2⁶³.
pub(super) fn take_keys(store: &Connection, count: i64) -> Result<i64, StoreError> {
    const TAKE: &str = "
        UPDATE identity_counter
        SET next_key = next_key + :count
        WHERE only = 1
        RETURNING next_key - :count";
    let first = store.query_row(TAKE, named_params! { ":count": count }, |row| row.get(0))?;
    Ok(first)
}

fn summary(run_file: &Connection, scope: &RunScope, now: UnixMillis) -> Result<PlanSummary, StoreError> {
    let recent = recent::deletions(run_file, scope, now)?;
    let keys = named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key };
    let mut summary = run_file.query_row(include_str!("sql/plan/counts.sql"), keys, |row| {
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
        let moved = run_file.query_row(include_str!("sql/plan/moved.sql"), [], |row| row.get(0))?;
        summary.moved = unsigned(moved);
    }
    Ok(summary)
}

/// Rows of a plan with the names that people know them by.
pub(super) fn rows(
    run_file: &Path,
    store: &Path,
    kind: Entity,
    operation: Operation,
    limit: u64,
) -> Result<Vec<PlannedRow>, StoreError> {
    const EXISTS: &str = "SELECT count(*) FROM main.sqlite_schema WHERE name = 'plan_head'";
    let connection = open_run_file(run_file)?;
    connection.pragma_update(None, "query_only", true)?;
    attach(&connection, store, 4_096)?;
    if connection.query_row(EXISTS, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(match kind {
        Entity::User => include_str!("sql/plan/rows_users.sql"),
        Entity::Group => include_str!("sql/plan/rows_groups.sql"),
        Entity::Membership => include_str!("sql/plan/rows_members.sql"),
    })?;
    let mut found = statement.query(named_params! {
        ":operation": operation_number(operation),
        ":limit": signed(limit),
    })?;
    let id = |text: String| ExternalId::new(text).map_err(|e| unreadable("an external id", e));
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(PlannedRow {
            kind,
            operation,
            external_id: id(row.get(0)?)?,
            member: row.get::<_, Option<String>>(1)?.map(id).transpose()?,
            label: row.get(2)?,
            reason: reason(row.get(3)?)?,
        });
    }
    Ok(rows)
}
