//! Schedules: when directories run next, and what the end of a run makes of that.

use std::time::Duration;

use idsync_model::{DeleteLimits, DirectoryId, DisabledReason, TenantName, UnixMillis};
use rusqlite::{Connection, Row, Transaction, named_params};

use super::leases;
use super::scope::{DirectoryScope, RunScope};
use super::word::{from_json, json, milliseconds, moment, unreadable, unsigned};
use crate::{Failing, NotBefore, RunFacts, Scheduled, StoreError, Times};

/// What a run's end does to its directory. A dry run leaves it as it is.
pub(super) fn after_run(
    transaction: &Transaction<'_>,
    scope: &RunScope,
    facts: &RunFacts,
) -> Result<(), StoreError> {
    // `is_due` may have been set during the run, by someone who did not mean this one. How runs fail was counted from
    // what stood there when this one began: where it began anew since, the run says nothing of it.
    const AFTER: &str = "
        UPDATE directory
        SET
            failing = iif(failing_mark = :failing_mark, :failing, failing),
            next_try_at = iif(failing_mark = :failing_mark, :next_try_at, next_try_at),
            not_before = :not_before,
            not_before_reason = :not_before_reason,
            is_due = max(is_due, :is_due),
            provider_time = max(coalesce(:provider_time, provider_time), coalesce(provider_time, :provider_time))
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    const DISABLE: &str = "
        UPDATE directory
        SET state = 'disabled', disabled_reason = :reason
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND state = 'active'
          AND failing_mark = :failing_mark";
    if scope.dry_run {
        return Ok(());
    }
    let after = &facts.after;
    transaction.prepare_cached(AFTER)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":failing_mark": scope.failing_mark,
        ":failing": after.failing.as_ref().map(json),
        ":next_try_at": after.next_try_at.map(|at| at.0),
        ":not_before": after.not_before.as_ref().map(|wish| wish.at.0),
        ":not_before_reason": after.not_before.as_ref().map(|wish| &wish.reason),
        ":is_due": after.is_due,
        ":provider_time": facts.provider_time.map(|at| at.0),
    })?;
    if let Some(kind) = after.disable {
        transaction.prepare_cached(DISABLE)?.execute(named_params! {
            ":tenant_id": scope.tenant_id,
            ":directory_key": scope.directory_key,
            ":reason": json(DisabledReason::Host { kind }),
            ":failing_mark": scope.failing_mark,
        })?;
    }
    Ok(())
}

/// What the end of a run that succeeded does besides, once its end is written. Of a dry run nothing was applied.
pub(super) fn after_success(transaction: &Transaction<'_>, scope: &RunScope) -> Result<(), StoreError> {
    const SUCCESS: &str = "
        UPDATE directory
        SET last_success_at = r.ended_at
        FROM run AS r
        WHERE directory.tenant_id = :tenant_id AND directory.directory_key = :directory_key
          AND r.run_key = :run_key AND NOT r.dry_run";
    transaction.prepare_cached(SUCCESS)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":run_key": scope.run_key,
    })?;
    Ok(())
}

/// What the begin of a run does: it is no longer due. A dry run leaves the directory as it is.
pub(super) fn at_begin(
    transaction: &Transaction<'_>,
    scope: DirectoryScope,
    started_at: UnixMillis,
) -> Result<(), StoreError> {
    const BEGIN: &str = "
        UPDATE directory
        SET last_began_at = :started_at, is_due = 0
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    transaction.prepare_cached(BEGIN)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":started_at": started_at.0,
    })?;
    Ok(())
}

/// What the begin of a dry run does: a run that it interrupts, and whose work it does not do, is due again.
pub(super) fn at_dry_begin(transaction: &Transaction<'_>, scope: DirectoryScope) -> Result<(), StoreError> {
    const BEGIN: &str = "
        UPDATE directory
        SET is_due = 1
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key
          AND EXISTS (
              SELECT 1
              FROM run AS r
              WHERE r.directory_key = :directory_key AND r.outcome IS NULL AND NOT r.dry_run
          )";
    transaction
        .prepare_cached(BEGIN)?
        .execute(named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key })?;
    Ok(())
}

/// What enabling does: a run is due, and how runs failed before is forgotten.
pub(super) fn at_enabling(transaction: &Transaction<'_>, scope: DirectoryScope) -> Result<(), StoreError> {
    const ENABLE: &str = "
        UPDATE directory
        SET
            is_due = 1, failing = NULL, failing_mark = failing_mark + 1, next_try_at = NULL, not_before = NULL,
            not_before_reason = NULL
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    transaction
        .prepare_cached(ENABLE)?
        .execute(named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key })?;
    Ok(())
}

pub(super) fn set_every(
    transaction: &Transaction<'_>,
    scope: DirectoryScope,
    every: Duration,
) -> Result<(), StoreError> {
    const SET: &str = "
        UPDATE directory
        SET every_ms = :every_ms
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    transaction.prepare_cached(SET)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":every_ms": milliseconds(every),
    })?;
    Ok(())
}

pub(super) fn set_limits(
    transaction: &Transaction<'_>,
    scope: DirectoryScope,
    limits: &DeleteLimits,
) -> Result<(), StoreError> {
    const SET: &str = "
        UPDATE directory
        SET limits = :limits
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    transaction.prepare_cached(SET)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":limits": json(limits),
    })?;
    Ok(())
}

/// The statement that shows active directories, with what more is asked of them.
macro_rules! select_scheduled {
    ($which:literal) => {
        concat!(
            "
            SELECT
                t.name AS tenant, d.id, d.provider, d.every_ms, d.last_began_at, d.next_try_at, d.not_before,
                d.not_before_reason, d.is_due, d.hosts,
                r.id AS lease_run, l.owner AS lease_owner, l.fence AS lease_fence, l.beat AS lease_beat
            FROM directory AS d
            JOIN tenant AS t ON t.tenant_id = d.tenant_id
            LEFT JOIN lease AS l ON l.directory_key = d.directory_key
            LEFT JOIN run AS r ON r.run_key = l.run_key
            WHERE d.state = 'active' AND d.removed_at IS NULL AND d.verified_settings IS NOT NULL
            ",
            $which
        )
    };
}

/// The active directories of all tenants.
pub(super) fn all(connection: &Connection) -> Result<Vec<Scheduled>, StoreError> {
    const ALL: &str = select_scheduled!("");
    let mut statement = connection.prepare_cached(ALL)?;
    let mut rows = statement.query([])?;
    let mut scheduled = Vec::new();
    while let Some(row) = rows.next()? {
        scheduled.push(from_row(row)?);
    }
    Ok(scheduled)
}

/// One directory, where it is active.
pub(super) fn find(
    connection: &Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
) -> Result<Option<Scheduled>, StoreError> {
    const FIND: &str = select_scheduled!("AND d.id = :id AND t.name = :tenant");
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows =
        statement.query(named_params! { ":id": directory.as_str(), ":tenant": tenant.as_str() })?;
    rows.next()?.map(from_row).transpose()
}

fn from_row(row: &Row<'_>) -> Result<Scheduled, StoreError> {
    Ok(Scheduled {
        tenant: row
            .get::<_, String>("tenant")?
            .parse::<TenantName>()
            .map_err(|e| unreadable("a tenant's name", e))?,
        directory: row
            .get::<_, String>("id")?
            .parse()
            .map_err(|e| unreadable("a directory's id", e))?,
        provider: row.get("provider")?,
        hosts: hosts(row)?,
        times: times(row)?,
        lease: leases::from_row(row)?,
    })
}

/// The times in a row of a directory.
pub(super) fn times(row: &Row<'_>) -> Result<Times, StoreError> {
    Ok(Times {
        every: Duration::from_millis(unsigned(row.get("every_ms")?)),
        last_began_at: moment(row, "last_began_at")?,
        next_try_at: moment(row, "next_try_at")?,
        not_before: moment(row, "not_before")?
            .map(|at| {
                let reason: Option<String> = row.get("not_before_reason")?;
                Ok::<_, rusqlite::Error>(NotBefore {
                    at,
                    reason: reason.unwrap_or_default(),
                })
            })
            .transpose()?,
        is_due: row.get("is_due")?,
    })
}

/// The hosts in a row of a directory, where they are known.
pub(super) fn hosts(row: &Row<'_>) -> Result<Option<Vec<String>>, StoreError> {
    row.get::<_, Option<String>>("hosts")?
        .map(|text| from_json("a directory's hosts", &text))
        .transpose()
}

/// The limits in a row of a directory; the defaults where none were set.
pub(super) fn limits(row: &Row<'_>) -> Result<DeleteLimits, StoreError> {
    let text: Option<String> = row.get("limits")?;
    text.map_or(Ok(DeleteLimits::default()), |text| {
        from_json("limits of deletions", &text)
    })
}

/// How runs fail, in a row of a directory.
pub(super) fn failing(row: &Row<'_>) -> Result<Option<Failing>, StoreError> {
    row.get::<_, Option<String>>("failing")?
        .map(|text| from_json("how runs fail", &text))
        .transpose()
}
