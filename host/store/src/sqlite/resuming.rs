//! What a run leaves in its file for the next one to go on from, and how that one takes it over (RUNS §6.4).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use idsync_model::{DirectoryId, RunId, TenantName, UnixMillis};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, named_params};

use super::connection::open_run_file_within;
use super::files::{DataDir, move_database};
use super::run_file;
use super::scope;
use super::staging::Staging;
use super::word::{from_word, unsigned};
use super::writer::{LeaseCheck, Rows, Writer};
use super::{Shared, lock};
use crate::{ReadWith, Resumable, StoreError};

/// How long a file is waited for whose writer may be about to close it. One that is held for longer is given up.
const CLOSING_TIMEOUT: Duration = Duration::from_millis(250);

/// Names this boot of the machine; `None` where the system does not tell.
pub(super) fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// What a staging says of itself.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// The fencing number of the run that writes it.
    pub(super) fence: i64,
    /// The boot of the machine that all of it was written in.
    pub(super) boot: Option<String>,
    pub(super) with: ReadWith,
    /// The generation of the directory when the reading began.
    pub(super) generation: i64,
    pub(super) read_began_at: UnixMillis,
}

/// A staging at its last checkpoint.
struct Left {
    head: Head,
    state: Vec<u8>,
    checkpoint_at: UnixMillis,
}

/// An empty staging of a run.
pub(super) fn create(
    store: &mut Connection,
    shared: &Shared,
    tenant: &TenantName,
    run: &RunId,
    with: ReadWith,
) -> Result<Arc<Staging>, StoreError> {
    let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::run(&transaction, tenant, run)?;
    note_contract(&transaction, &scope, &with.contract)?;
    // A dry run only looks: what an earlier run left is for the next one that applies, unless that was a dry one too.
    drop_stagings(&transaction, shared, &scope.directory, |of| {
        of.is_dry || !scope.dry_run
    })?;
    let path = shared.files.staging(run);
    let head = Head {
        fence: scope.fence,
        boot: shared.boot.clone(),
        with,
        generation: scope.generation,
        read_began_at: UnixMillis(scope.read_began_at),
    };
    let rows = Rows::none(&path, &shared.small, shared.small_pages)?;
    let writer = Writer::begin(rows, &path, &head, lease_check(shared, tenant, run)?)?;
    transaction.commit()?;
    start(shared, writer, run)
}

/// Notes with the run by which contract it reads: what is applied of it is known by that.
fn note_contract(
    transaction: &Transaction<'_>,
    scope: &scope::RunScope,
    contract: &str,
) -> Result<(), StoreError> {
    const NOTE: &str = "
        UPDATE run
        SET contract = :contract
        WHERE tenant_id = :tenant_id AND run_key = :run_key";
    transaction.prepare_cached(NOTE)?.execute(named_params! {
        ":contract": contract,
        ":tenant_id": scope.tenant_id,
        ":run_key": scope.run_key,
    })?;
    Ok(())
}

/// The newest staging that a run of the directory left with a checkpoint.
pub(super) fn resumable(
    store: &Connection,
    files: &DataDir,
    boot: Option<&str>,
    tenant: &TenantName,
    directory: &DirectoryId,
) -> Result<Option<Resumable>, StoreError> {
    scope::directory(store, tenant, directory)?;
    let newest = staged_runs(store, files, directory.as_str())?
        .into_iter()
        .filter_map(|of| Some((left(files, &of)?, of)))
        .max_by_key(|(_, of)| of.fence);
    Ok(newest.map(|(left, of)| Resumable {
        run: of.run,
        generation: unsigned(left.head.generation),
        read_began_at: left.head.read_began_at,
        checkpoint_at: left.checkpoint_at,
        is_same_boot: is_boot(&left.head, boot),
        with: left.head.with,
    }))
}

/// Whether a run that ends leaves something to go on from.
pub(super) fn is_left(store: &Connection, files: &DataDir, run: &RunId) -> Result<bool, StoreError> {
    Ok(staged_run(store, run)?.is_some_and(|of| left(files, &of).is_some()))
}

/// Rolls the file of a run that died back to its last checkpoint, which may take long, before anything waits for it.
pub(super) fn roll_back(files: &DataDir, run: &RunId) {
    if let Err(error) = read_left(&files.staging(run)) {
        tracing::debug!(%run, %error, "the staging can't be gone on from");
    }
}

/// A staging that was taken over, and the plugin's own state at its last checkpoint.
type Resumed = (Arc<Staging>, Vec<u8>);

/// Takes over what `from` left. Drops every other staging of the directory, and this one if it is of no use.
pub(super) fn resume(
    store: &mut Connection,
    shared: &Shared,
    tenant: &TenantName,
    run: &RunId,
    from: &RunId,
) -> Result<Option<Resumed>, StoreError> {
    const MARK: &str = "
        UPDATE run
        SET resumed_from = :from, read_began_at = :read_began_at
        WHERE tenant_id = :tenant_id AND run_key = :run_key";
    let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::run(&transaction, tenant, run)?;
    let usable = staged_run(&transaction, from)?
        .filter(|of| of.directory == scope.directory)
        .and_then(|of| left(&shared.files, &of))
        .filter(|left| {
            left.head.generation == scope.generation && is_boot(&left.head, shared.boot.as_deref())
        });
    drop_stagings(&transaction, shared, &scope.directory, |of| {
        usable.is_none() || of.run != *from
    })?;
    let Some(left) = usable else {
        return Ok(None);
    };
    shared.forget_staging(from);
    let path = shared.files.staging(run);
    move_database(&shared.files.staging(from), &path)?;
    let writer = Writer::resume(&path, scope.fence, lease_check(shared, tenant, run)?)?;
    note_contract(&transaction, &scope, &left.head.with.contract)?;
    transaction.prepare_cached(MARK)?.execute(named_params! {
        ":from": from.as_str(),
        ":read_began_at": left.head.read_began_at.0,
        ":tenant_id": scope.tenant_id,
        ":run_key": scope.run_key,
    })?;
    transaction.commit()?;
    Ok(Some((start(shared, writer, run)?, left.state)))
}

/// Drops those stagings of a directory that are `needless`.
pub(super) fn drop_stagings(
    store: &Connection,
    shared: &Shared,
    directory: &str,
    needless: impl Fn(&StagedRun) -> bool,
) -> Result<(), StoreError> {
    let dropped: Vec<_> = staged_runs(store, &shared.files, directory)?
        .into_iter()
        .filter(needless)
        .map(|of| of.run)
        .collect();
    shared.drop_stagings(&dropped);
    Ok(())
}

fn start(shared: &Shared, writer: Writer, run: &RunId) -> Result<Arc<Staging>, StoreError> {
    let path = shared.files.staging(run);
    let staging = Arc::new(Staging::start(
        writer,
        &path,
        run.clone(),
        Arc::clone(&shared.clock),
    )?);
    lock(&shared.stagings).insert(run.clone(), Arc::clone(&staging));
    Ok(staging)
}

fn lease_check(shared: &Shared, tenant: &TenantName, run: &RunId) -> Result<LeaseCheck, StoreError> {
    Ok(LeaseCheck {
        store: shared.readers.take()?,
        tenant: tenant.clone(),
        run: run.clone(),
    })
}

/// Pages that were never synced are lost when the machine restarts, so a staging of before is not trusted.
fn is_boot(head: &Head, boot: Option<&str>) -> bool {
    boot.is_some() && head.boot.as_deref() == boot
}

/// A run that has a file.
pub(super) struct StagedRun {
    run: RunId,
    directory: String,
    fence: i64,
    is_dry: bool,
}

fn staged_runs(store: &Connection, files: &DataDir, directory: &str) -> Result<Vec<StagedRun>, StoreError> {
    let mut found = Vec::new();
    for run in files.staged_runs()? {
        found.extend(staged_run(store, &run)?.filter(|of| of.directory == directory));
    }
    Ok(found)
}

fn staged_run(store: &Connection, run: &RunId) -> Result<Option<StagedRun>, StoreError> {
    const FIND: &str = "
        SELECT d.id, r.fence, r.dry_run
        FROM run AS r
        JOIN directory AS d ON d.directory_key = r.directory_key
        WHERE r.id = :run";
    let found = store
        .prepare_cached(FIND)?
        .query_row(named_params! { ":run": run.as_str() }, |row| {
            Ok(StagedRun {
                run: run.clone(),
                directory: row.get(0)?,
                fence: row.get(1)?,
                is_dry: row.get(2)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// What a run left, where it is of use. A file that can't be read is not: a writer holds it, or it was never completed.
fn left(files: &DataDir, of: &StagedRun) -> Option<Left> {
    match read_left(&files.staging(&of.run)) {
        // An older number is that of whom the run took it over from: it died before it wrote its own, and so before it
        // wrote anything.
        Ok(left) => left.filter(|left| left.head.fence <= of.fence),
        Err(error) => {
            tracing::debug!(run = %of.run, %error, "the staging can't be gone on from");
            None
        }
    }
}

/// Opens a file that its writer left, which rolls it back to its last checkpoint, and reads what it says of itself.
/// `None` when it has no checkpoint, was closed to be planned from, or is not of this program.
fn read_left(path: &Path) -> Result<Option<Left>, StoreError> {
    const READ: &str = "
        SELECT
            h.fence, h.boot_id, h.mode, h.fingerprint, h.plugin_digest, h.contract, h.generation, h.read_began_at,
            c.state, c.taken_at
        FROM staged_head AS h
        JOIN staged_checkpoint AS c
        WHERE NOT h.is_finished";
    let file = open_run_file_within(path, CLOSING_TIMEOUT)?;
    // A writer that lives holds the file from its begin to its end.
    file.execute_batch("BEGIN EXCLUSIVE")?;
    if !run_file::is_of_this_version(&file)? {
        return Ok(None);
    }
    let mut statement = file.prepare_cached(READ)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(Left {
        head: Head {
            fence: row.get("fence")?,
            boot: row.get("boot_id")?,
            with: ReadWith {
                mode: from_word("the mode of a staging", row.get("mode")?)?,
                fingerprint: row.get("fingerprint")?,
                plugin_digest: row.get("plugin_digest")?,
                contract: row.get("contract")?,
            },
            generation: row.get("generation")?,
            read_began_at: UnixMillis(row.get("read_began_at")?),
        },
        state: row.get("state")?,
        checkpoint_at: UnixMillis(row.get("taken_at")?),
    }))
}
