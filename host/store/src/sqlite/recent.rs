//! What went lately, for the guard: read for a plan, and kept by each apply.

use std::time::Duration;

use idsync_model::{StoredCounts, UnixMillis};
use rusqlite::{Connection, Transaction, named_params};

use super::scope::RunScope;
use super::word::{milliseconds, signed, unsigned};
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
    let deletions = run_file.query_row(include_str!("sql/plan/recent.sql"), keys, |row| {
        let recent = |deleted, most_stored| -> rusqlite::Result<Recent> {
            Ok(Recent {
                deleted: row.get(deleted).map(unsigned)?,
                most_stored: row.get(most_stored).map(unsigned)?,
            })
        };
        Ok(RecentDeletions {
            users: recent(0, 1)?,
            groups: recent(2, 3)?,
            memberships: recent(4, 5)?,
        })
    })?;
    Ok(deletions)
}

/// Keeps what an apply deletes, and forgets what is back or too old to count again.
pub(super) fn keep(
    transaction: &Transaction<'_>,
    scope: &RunScope,
    summary: &PlanSummary,
    now: UnixMillis,
) -> Result<(), StoreError> {
    const FORGET: &str = "
        DELETE FROM recent_membership_deletion
        WHERE directory_key = :directory_key AND deleted_at <= :until";
    transaction.execute(
        FORGET,
        named_params! {
            ":directory_key": scope.directory_key,
            ":until": now.0.saturating_sub(milliseconds(WINDOW)),
        },
    )?;
    if summary.memberships.created > 0 {
        transaction.execute(
            include_str!("sql/apply/18_recent_returns.sql"),
            named_params! { ":directory_key": scope.directory_key },
        )?;
    }
    if summary.memberships.deleted > summary.memberships_deleted_with_user {
        transaction.execute(
            include_str!("sql/apply/19_recent_deletions.sql"),
            named_params! {
                ":tenant_id": scope.tenant_id,
                ":directory_key": scope.directory_key,
                ":now": now.0,
            },
        )?;
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
    transaction.execute(
        MARK,
        named_params! {
            ":tenant_id": scope.tenant_id,
            ":directory_key": scope.directory_key,
            ":now": now.0,
        },
    )?;
    forget(transaction, scope.directory_key)
}

/// Forgets the memberships that a directory lost lately.
pub(super) fn forget(transaction: &Transaction<'_>, directory_key: i64) -> Result<(), StoreError> {
    transaction.execute(
        "DELETE FROM recent_membership_deletion WHERE directory_key = :directory_key",
        named_params! { ":directory_key": directory_key },
    )?;
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
    transaction.execute(
        NOTE,
        named_params! {
            ":tenant_id": scope.tenant_id,
            ":run_key": scope.run_key,
            ":users": signed(stored.users),
            ":groups": signed(stored.groups),
            ":memberships": signed(stored.memberships),
        },
    )?;
    Ok(())
}
