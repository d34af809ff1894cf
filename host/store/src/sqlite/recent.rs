//! What went lately, for the guard: read for a plan, and kept by each apply.

use std::time::Duration;

use idsync_model::{StoredCounts, UnixMillis};
use roaring::RoaringTreemap;
use rusqlite::{Connection, Transaction, named_params};

use super::scope::RunScope;
use super::word::{milliseconds, signed, unsigned};
use super::{key_set, planner};
use crate::{PlanSummary, Recent, RecentDeletions, StoreError};

/// How far back the guard looks, from now or from the first of an unbroken series of held plans (RUNS §4.3).
const WINDOW: Duration = Duration::from_hours(24);

/// The deletions that count with those of the plan in the run's file.
pub(super) fn deletions(
    run_file: &Connection,
    scope: &RunScope,
    now: UnixMillis,
) -> Result<RecentDeletions, StoreError> {
    let keys = named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":now": now.0,
        ":window": milliseconds(WINDOW),
    };
    let (mut deletions, began_at) = run_file
        .prepare_cached(include_str!("sql/plan/recent.sql"))?
        .query_row(keys, |row| {
            let count = |column| row.get(column).map(unsigned);
            let deletions = RecentDeletions {
                users: Recent {
                    deleted: count(0)?,
                    most_stored: count(1)?,
                },
                groups: Recent {
                    deleted: count(2)?,
                    most_stored: count(3)?,
                },
                memberships: Recent {
                    deleted: 0,
                    most_stored: count(5)?,
                },
            };
            Ok((deletions, row.get(4)?))
        })?;
    deletions.memberships.deleted = memberships(run_file, scope, began_at)?;
    Ok(deletions)
}

/// How many memberships went since `began_at` and are not created by the plan. One that went twice counts once.
fn memberships(run_file: &Connection, scope: &RunScope, began_at: i64) -> Result<u64, StoreError> {
    const RECENT: &str = "
        SELECT r.group_key, r.users, p.created
        FROM recent_list_deletion AS r
        LEFT JOIN plan_member_list AS p ON p.group_key = r.group_key
        WHERE r.directory_key = :directory_key AND r.deleted_at > :began_at
        ORDER BY r.group_key";
    let mut recent = run_file.prepare_cached(RECENT)?;
    let mut recent = recent.query(named_params! {
        ":directory_key": scope.directory_key,
        ":began_at": began_at,
    })?;
    let mut count = 0;
    let mut of_group = (0, RoaringTreemap::new());
    while let Some(row) = recent.next()? {
        let group: i64 = row.get(0)?;
        if of_group.0 != group {
            count += of_group.1.len();
            of_group = (group, RoaringTreemap::new());
        }
        of_group.1 |= key_set::from_column(row, 1)? - key_set::from_column(row, 2)?;
    }
    Ok(count + of_group.1.len())
}

/// Keeps what an apply deletes, and forgets what is back or too old to count again.
pub(super) fn keep(
    transaction: &Transaction<'_>,
    scope: &RunScope,
    summary: &PlanSummary,
    now: UnixMillis,
) -> Result<(), StoreError> {
    const FORGET: &str = "
        DELETE FROM recent_list_deletion
        WHERE directory_key = :directory_key AND deleted_at <= :until";
    transaction.prepare_cached(FORGET)?.execute(named_params! {
        ":directory_key": scope.directory_key,
        ":until": now.0.saturating_sub(milliseconds(WINDOW)),
    })?;
    if summary.memberships.created > 0 {
        take_back(transaction, scope)?;
    }
    if summary.memberships.deleted > summary.memberships_deleted_with_user {
        add(transaction, scope, now)?;
    }
    Ok(())
}

/// Memberships that are back went never.
fn take_back(transaction: &Transaction<'_>, scope: &RunScope) -> Result<(), StoreError> {
    const RETURNED: &str = "
        SELECT r.group_key, r.deleted_at, r.users, p.created
        FROM recent_list_deletion AS r
        JOIN plan_member_list AS p ON p.group_key = r.group_key
        WHERE r.directory_key = :directory_key AND p.created_count > 0";
    let mut returned = transaction.prepare_cached(RETURNED)?;
    let mut returned = returned.query(named_params! { ":directory_key": scope.directory_key })?;
    let mut left = Vec::new();
    while let Some(row) = returned.next()? {
        let users = key_set::from_column(row, 2)?;
        let rest = &users - &key_set::from_column(row, 3)?;
        if rest != users {
            left.push((row.get(0)?, row.get(1)?, rest));
        }
    }
    for (group, deleted_at, users) in left {
        write(transaction, scope, group, deleted_at, &users)?;
    }
    Ok(())
}

/// Memberships that go, but for those that go with their user: the guard does not count these again.
fn add(transaction: &Transaction<'_>, scope: &RunScope, now: UnixMillis) -> Result<(), StoreError> {
    const DELETED: &str = "
        SELECT
            p.group_key,
            p.deleted,
            EXISTS (SELECT 1 FROM plan_group AS g WHERE g.group_key = p.group_key AND g.operation = 3),
            r.users
        FROM plan_member_list AS p
        LEFT JOIN recent_list_deletion AS r
            ON r.directory_key = :directory_key AND r.group_key = p.group_key AND r.deleted_at = :now
        WHERE p.deleted_count > 0";
    let gone = planner::users_who_go(transaction)?
        .into_values()
        .fold(RoaringTreemap::new(), |all, some| all | some);
    let mut deleted = transaction.prepare_cached(DELETED)?;
    let mut deleted =
        deleted.query(named_params! { ":directory_key": scope.directory_key, ":now": now.0 })?;
    let mut gone_lists = Vec::new();
    while let Some(row) = deleted.next()? {
        let mut users = key_set::from_column(row, 1)?;
        let goes_with_group: bool = row.get(2)?;
        if !goes_with_group {
            users -= &gone;
        }
        users |= key_set::from_column(row, 3)?;
        gone_lists.push((row.get(0)?, users));
    }
    for (group, users) in gone_lists {
        write(transaction, scope, group, now.0, &users)?;
    }
    Ok(())
}

/// Keeps what went of a group's list at a time; nothing where it is empty.
fn write(
    transaction: &Transaction<'_>,
    scope: &RunScope,
    group_key: i64,
    deleted_at: i64,
    users: &RoaringTreemap,
) -> Result<(), StoreError> {
    const ERASE: &str = "
        DELETE FROM recent_list_deletion
        WHERE directory_key = ?1 AND group_key = ?2 AND deleted_at = ?3";
    const WRITE: &str = "
        INSERT INTO recent_list_deletion (directory_key, group_key, deleted_at, tenant_id, users)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO UPDATE SET users = excluded.users";
    let directory = scope.directory_key;
    if users.is_empty() {
        transaction
            .prepare_cached(ERASE)?
            .execute((directory, group_key, deleted_at))?;
    } else {
        transaction.prepare_cached(WRITE)?.execute((
            directory,
            group_key,
            deleted_at,
            scope.tenant_id,
            key_set::to_bytes(users),
        ))?;
    }
    Ok(())
}

/// From now on the guard counts anew: a person has seen what went until here.
pub(super) fn begin_anew(
    transaction: &Transaction<'_>,
    scope: &RunScope,
    now: UnixMillis,
) -> Result<(), StoreError> {
    const MARK: &str = "
        UPDATE directory
        SET guard_from = :now
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    transaction.prepare_cached(MARK)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":now": now.0,
    })?;
    forget(transaction, scope.directory_key)
}

/// Forgets the memberships that a directory lost lately.
pub(super) fn forget(transaction: &Transaction<'_>, directory_key: i64) -> Result<(), StoreError> {
    transaction
        .prepare_cached("DELETE FROM recent_list_deletion WHERE directory_key = :directory_key")?
        .execute(named_params! { ":directory_key": directory_key })?;
    Ok(())
}

/// Notes with an applied run what readers see after it.
pub(super) fn note_stored(
    transaction: &Transaction<'_>,
    scope: &RunScope,
    stored: StoredCounts,
) -> Result<(), StoreError> {
    const NOTE: &str = "
        UPDATE run
        SET stored_users = :users, stored_groups = :groups, stored_memberships = :memberships
        WHERE tenant_id = :tenant_id AND run_key = :run_key";
    transaction.prepare_cached(NOTE)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":run_key": scope.run_key,
        ":users": signed(stored.users),
        ":groups": signed(stored.groups),
        ":memberships": signed(stored.memberships),
    })?;
    Ok(())
}
