//! From names to the store's own keys. Whatever a tenant does not have is unknown to it: every other statement works on
//! keys that were found here.

use idsync_model::{DirectoryId, RunId, TenantName};
use rusqlite::{Connection, OptionalExtension, named_params};

use crate::StoreError;

/// The key of a tenant.
pub(super) fn tenant_id(connection: &Connection, tenant: &TenantName) -> Result<i64, StoreError> {
    connection
        .prepare_cached("SELECT tenant_id FROM tenant WHERE name = :name")?
        .query_row(named_params! { ":name": tenant.as_str() }, |row| row.get(0))
        .optional()?
        .ok_or_else(|| StoreError::UnknownTenant(tenant.clone()))
}

/// A directory of a tenant that was not removed.
#[derive(Debug, Clone, Copy)]
pub(super) struct DirectoryScope {
    pub(super) tenant_id: i64,
    pub(super) directory_key: i64,
}

/// The keys of a directory.
pub(super) fn directory(
    connection: &Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
) -> Result<DirectoryScope, StoreError> {
    const FIND: &str = "
        SELECT directory_key
        FROM directory
        WHERE tenant_id = :tenant_id AND id = :id AND removed_at IS NULL";
    let tenant_id = tenant_id(connection, tenant)?;
    connection
        .prepare_cached(FIND)?
        .query_row(
            named_params! { ":tenant_id": tenant_id, ":id": directory.as_str() },
            |row| {
                Ok(DirectoryScope {
                    tenant_id,
                    directory_key: row.get(0)?,
                })
            },
        )
        .optional()?
        .ok_or_else(|| StoreError::UnknownDirectory {
            id_or_name: directory.to_string(),
        })
}

/// A run with its directory.
#[derive(Debug, Clone)]
pub(super) struct RunScope {
    pub(super) tenant_id: i64,
    pub(super) directory_key: i64,
    pub(super) directory: String,
    pub(super) run_key: i64,
    pub(super) generation: i64,
    pub(super) fence: i64,
    /// When its oldest row was read, or when it began.
    pub(super) read_began_at: i64,
    pub(super) dry_run: bool,
    pub(super) mode: String,
    pub(super) full_mark: i64,
    /// The directory's when the run began: how runs failed began anew where it is another one by now.
    pub(super) failing_mark: i64,
}

/// The keys of a run in progress. Whatever a run writes is looked up here in the same transaction, so that one that has
/// ended or lost its lease writes nothing (RUNS §6.3).
pub(super) fn run(connection: &Connection, tenant: &TenantName, run: &RunId) -> Result<RunScope, StoreError> {
    let (scope, state) = any_run(connection, tenant, run)?;
    match state {
        RunState::InProgress => Ok(scope),
        RunState::Ended => Err(StoreError::RunEnded { run: run.clone() }),
        RunState::Fenced => Err(StoreError::LeaseLost { run: run.clone() }),
    }
}

/// The keys of a run that a person answers, although it has ended.
pub(super) fn ended_run(
    connection: &Connection,
    tenant: &TenantName,
    run: &RunId,
) -> Result<RunScope, StoreError> {
    any_run(connection, tenant, run).map(|(scope, _)| scope)
}

/// Whether a run may write.
enum RunState {
    InProgress,
    /// It or its directory is at its end.
    Ended,
    /// A later lease has the directory.
    Fenced,
}

/// The keys of a run, and whether it may write.
fn any_run(
    connection: &Connection,
    tenant: &TenantName,
    run: &RunId,
) -> Result<(RunScope, RunState), StoreError> {
    const FIND: &str = "
        SELECT
            r.outcome IS NOT NULL OR d.removed_at IS NOT NULL, r.fence <> d.fence, r.directory_key, d.id, r.run_key,
            d.generation, coalesce(r.read_began_at, r.started_at), r.mode, r.full_mark, r.dry_run, r.fence, r.failing_mark
        FROM run AS r
        JOIN directory AS d ON d.directory_key = r.directory_key
        WHERE r.tenant_id = :tenant_id AND r.id = :id";
    let tenant_id = tenant_id(connection, tenant)?;
    connection
        .prepare_cached(FIND)?
        .query_row(
            named_params! { ":tenant_id": tenant_id, ":id": run.as_str() },
            |row| {
                let state = match (row.get(0)?, row.get(1)?) {
                    (true, _) => RunState::Ended,
                    (false, true) => RunState::Fenced,
                    (false, false) => RunState::InProgress,
                };
                Ok((
                    RunScope {
                        tenant_id,
                        directory_key: row.get(2)?,
                        directory: row.get(3)?,
                        run_key: row.get(4)?,
                        generation: row.get(5)?,
                        read_began_at: row.get(6)?,
                        mode: row.get(7)?,
                        full_mark: row.get(8)?,
                        dry_run: row.get(9)?,
                        fence: row.get(10)?,
                        failing_mark: row.get(11)?,
                    },
                    state,
                ))
            },
        )
        .optional()?
        .ok_or_else(|| StoreError::UnknownRun { run: run.to_string() })
}
