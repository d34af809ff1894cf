//! Leases: who runs a directory. Each has a fencing number, and what is older than the directory's writes nothing.

use idsync_model::{DirectoryId, RunId, TenantName, UnixMillis};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, named_params};

use super::runs::run_id;
use super::scope::{self, DirectoryScope, RunScope};
use super::word::{unreadable, unsigned};
use crate::{Lease, NewRun, StoreError};

/// Refuses a directory that is leased, unless its lease is the one to take over.
pub(super) fn refuse_leased(
    transaction: &Transaction<'_>,
    scope: DirectoryScope,
    takes_over: Option<u64>,
) -> Result<(), StoreError> {
    match of_directory(transaction, scope)? {
        Some(lease) if takes_over != Some(lease.fence) => Err(StoreError::Leased { lease }),
        _ => Ok(()),
    }
}

/// Raises the fencing number, so that whoever has the lease can write nothing more, and drops the lease.
pub(super) fn fence_off(transaction: &Transaction<'_>, scope: DirectoryScope) -> Result<(), StoreError> {
    const RAISE: &str = "
        UPDATE directory
        SET fence = fence + 1
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    const DROP: &str = "DELETE FROM lease WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    for statement in [RAISE, DROP] {
        transaction.execute(
            statement,
            named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key },
        )?;
    }
    Ok(())
}

/// Gives a run that was begun the lease of its directory.
pub(super) fn take(
    transaction: &Transaction<'_>,
    scope: DirectoryScope,
    new: &NewRun,
) -> Result<(), StoreError> {
    const TAKE: &str = "
        INSERT INTO lease (directory_key, tenant_id, run_key, owner, fence)
        SELECT directory_key, tenant_id, run_key, :owner, fence
        FROM run
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND id = :run";
    transaction.prepare_cached(TAKE)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":run": new.run.as_str(),
        ":owner": new.owner.as_str(),
    })?;
    Ok(())
}

/// Drops the lease of a run that ends.
pub(super) fn give_back(transaction: &Transaction<'_>, scope: &RunScope) -> Result<(), StoreError> {
    const GIVE_BACK: &str = "
        DELETE FROM lease
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND run_key = :run_key";
    transaction.prepare_cached(GIVE_BACK)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":run_key": scope.run_key,
    })?;
    Ok(())
}

pub(super) fn find(
    connection: &Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
) -> Result<Option<Lease>, StoreError> {
    let scope = scope::directory(connection, tenant, directory)?;
    of_directory(connection, scope)
}

fn of_directory(connection: &Connection, scope: DirectoryScope) -> Result<Option<Lease>, StoreError> {
    const FIND: &str = "
        SELECT r.id AS lease_run, l.owner AS lease_owner, l.fence AS lease_fence, l.beat AS lease_beat
        FROM lease AS l
        JOIN run AS r ON r.run_key = l.run_key
        WHERE l.tenant_id = :tenant_id AND l.directory_key = :directory_key";
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
    })?;
    rows.next()?.map_or(Ok(None), from_row)
}

/// The lease in the columns `lease_…` of a row, where there is one.
pub(super) fn from_row(row: &Row<'_>) -> Result<Option<Lease>, StoreError> {
    let Some(run) = row.get::<_, Option<String>>("lease_run")? else {
        return Ok(None);
    };
    Ok(Some(Lease {
        run: run_id(run)?,
        owner: row
            .get::<_, String>("lease_owner")?
            .parse()
            .map_err(|e| unreadable("the owner of a lease", e))?,
        fence: unsigned(row.get("lease_fence")?),
        beat: unsigned(row.get("lease_beat")?),
    }))
}

/// Shows that the owner of a run's lease lives.
pub(super) fn beat(connection: &mut Connection, tenant: &TenantName, run: &RunId) -> Result<(), StoreError> {
    const BEAT: &str = "
        UPDATE lease
        SET beat = beat + 1
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND run_key = :run_key";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::run(&transaction, tenant, run)?;
    transaction.prepare_cached(BEAT)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":run_key": scope.run_key,
    })?;
    transaction.commit()?;
    Ok(())
}

pub(super) fn cancel_asked(
    connection: &Connection,
    tenant: &TenantName,
    run: &RunId,
) -> Result<bool, StoreError> {
    const ASKED: &str = "
        SELECT cancel_asked_at IS NOT NULL
        FROM run
        WHERE tenant_id = :tenant_id AND run_key = :run_key";
    let scope = scope::run(connection, tenant, run)?;
    let asked = connection
        .prepare_cached(ASKED)?
        .query_row(
            named_params! { ":tenant_id": scope.tenant_id, ":run_key": scope.run_key },
            |row| row.get(0),
        )
        .optional()?;
    Ok(asked.unwrap_or(false))
}

pub(super) fn ask_cancel(
    connection: &mut Connection,
    tenant: &TenantName,
    run: &RunId,
    now: UnixMillis,
) -> Result<(), StoreError> {
    const ASK: &str = "
        UPDATE run
        SET cancel_asked_at = coalesce(cancel_asked_at, :now)
        WHERE tenant_id = :tenant_id AND run_key = :run_key";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::run(&transaction, tenant, run)?;
    transaction
        .prepare_cached(ASK)?
        .execute(named_params! { ":tenant_id": scope.tenant_id, ":run_key": scope.run_key, ":now": now.0 })?;
    transaction.commit()?;
    Ok(())
}
