//! Keeps plans that the guard stopped: the file is on the disk, with a known digest, before its run is called held.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::slice;
use std::time::Duration;

use idsync_model::{Held, Outcome, RunId, UnixMillis};
use rusqlite::{Connection, OptionalExtension, ToSql, Transaction, TransactionBehavior, named_params};
use sha2::{Digest, Sha256};

use super::apply::present;
use super::connection::open_run_file;
use super::files::{DataDir, has_journal};
use super::runs::{self, Ending};
use super::scope::RunScope;
use super::word::{json, milliseconds};
use super::{Shared, lock};
use crate::{AppliedCounts, Plan, RunFacts, RunRecord, StoreError};

/// How long a plan that was superseded is kept, and how many of a directory: by then whoever has seen it looks again.
const KEPT_FOR: Duration = Duration::from_hours(24);
const SUPERSEDED_KEPT: i64 = 24;

/// Moves the file of a plan to where held ones lie. Returns its digest.
pub(super) fn keep_file(files: &DataDir, run: &RunId) -> Result<Vec<u8>, StoreError> {
    let (from, to) = (files.staging(run), files.held(run));
    let digest = digest(&from)?;
    File::open(&from)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&from, &to))
        .map_err(|source| StoreError::File {
            action: "keeping the plan",
            path: from,
            source,
        })?;
    files.sync_held()?;
    Ok(digest)
}

/// Moves the file of a plan that went stale meanwhile back to where its run can plan anew.
pub(super) fn give_back(files: &DataDir, run: &RunId) -> Result<(), StoreError> {
    let (from, to) = (files.held(run), files.staging(run));
    fs::rename(&from, &to).map_err(|source| StoreError::File {
        action: "taking back the plan",
        path: from,
        source,
    })
}

fn digest(path: &Path) -> Result<Vec<u8>, StoreError> {
    let failed = |source| StoreError::File {
        action: "reading the plan",
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut part = vec![0; 64 * 1024];
    loop {
        let length = file.read(&mut part).map_err(failed)?;
        if length == 0 {
            return Ok(hash.finalize().to_vec());
        }
        hash.update(&part[..length]);
    }
}

/// Keeps a plan, and ends its run as held. One that goes stale meanwhile can be made anew.
pub(super) fn hold(
    shared: &Shared,
    plan: &Plan,
    reasons: &Held,
    facts: &RunFacts,
) -> Result<RunRecord, StoreError> {
    present(&lock(&shared.writer), plan)?;
    shared.spill(&plan.run)?;
    let skips = {
        let file = open_run_file(&shared.files.staging(&plan.run))?;
        runs::staged_skips(&file)?
    };
    let digest = keep_file(&shared.files, &plan.run)?;
    let now = shared.clock.now();
    let ended = end_as_held(
        &mut lock(&shared.writer),
        plan,
        reasons,
        facts,
        &digest,
        &skips,
        now,
    );
    match ended {
        Ok((record, dropped)) => {
            shared.forget_staging(&plan.run);
            shared.drop_files(&dropped);
            Ok(record)
        }
        Err(stale @ StoreError::Stale { .. }) => {
            give_back(&shared.files, &plan.run)?;
            Err(stale)
        }
        Err(error) => {
            shared.drop_files(slice::from_ref(&plan.run));
            Err(error)
        }
    }
}

/// Ends a run as held. An older held run of the directory is superseded. Returns besides the runs whose files can go.
fn end_as_held(
    connection: &mut Connection,
    plan: &Plan,
    reasons: &Held,
    facts: &RunFacts,
    digest: &[u8],
    skips: &[idsync_model::Skip],
    now: UnixMillis,
) -> Result<(RunRecord, Vec<RunId>), StoreError> {
    const KEEP: &str = "
        INSERT INTO held_plan (
            run_key, tenant_id, directory_key, generation, verified_settings, verified_org, made_at, summary, digest
        )
        SELECT
            :run_key, tenant_id, directory_key, generation, verified_settings, verified_org, :now, :summary, :digest
        FROM directory
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    const MARK: &str = "
        UPDATE directory
        SET
            held_since = coalesce(held_since, :now),
            holding_since = coalesce(holding_since, :now),
            full_mark = full_mark + 1
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = present(&transaction, plan)?;
    supersede(&transaction, &scope)?;
    let dropped = forget_old(&transaction, &scope, now)?;
    transaction.prepare_cached(KEEP)?.execute(named_params! {
        ":run_key": scope.run_key,
        ":now": now.0,
        ":summary": json(plan.summary),
        ":digest": digest,
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
    })?;
    transaction.prepare_cached(MARK)?.execute(named_params! {
        ":now": now.0,
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
    })?;
    let ending = Ending {
        outcome: Outcome::Held,
        now,
        counts: AppliedCounts::from(&plan.summary),
        facts,
        held: Some(json(reasons)),
        error: None,
        applied_seq: None,
        skips,
    };
    runs::end(&transaction, &scope, &ending)?;
    let record = runs::find(&transaction, &plan.tenant, &plan.run)?;
    transaction.commit()?;
    Ok((record, dropped))
}

/// Ends the held runs of a directory, but for one, because a newer plan or the removal took their place. Their files
/// stay, so that whoever has seen one of them can still approve what the newer one has in common with it.
pub(super) fn supersede(
    transaction: &Transaction<'_>,
    scope: &RunScope,
) -> Result<Option<RunId>, StoreError> {
    const SUPERSEDE: &str = "
        UPDATE run
        SET outcome = 'superseded', superseded_by = :run_key
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND outcome = 'held'
          AND run_key <> :run_key
        RETURNING id";
    let mut statement = transaction.prepare_cached(SUPERSEDE)?;
    let mut rows = statement.query(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":run_key": scope.run_key,
    })?;
    let mut superseded = None;
    while let Some(row) = rows.next()? {
        superseded = Some(runs::run_id(row.get(0)?)?);
    }
    Ok(superseded)
}

/// Forgets all plans of a directory, because one was answered or the directory has moved on. Returns the runs whose
/// files can go.
pub(super) fn forget_all(transaction: &Transaction<'_>, scope: &RunScope) -> Result<Vec<RunId>, StoreError> {
    const FORGET: &str = "
        DELETE FROM held_plan
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key
        RETURNING (SELECT r.id FROM run AS r WHERE r.run_key = held_plan.run_key)";
    forgotten(
        transaction,
        FORGET,
        named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key },
    )
}

/// Forgets the plans that were superseded too long or too many runs ago, so that a plan that nobody answers does not
/// fill the disk. Returns the runs whose files can go.
fn forget_old(
    transaction: &Transaction<'_>,
    scope: &RunScope,
    now: UnixMillis,
) -> Result<Vec<RunId>, StoreError> {
    const FORGET: &str = "
        DELETE FROM held_plan
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key
          AND (
              made_at NOT BETWEEN :since AND :now
              OR run_key NOT IN (
                  SELECT p.run_key
                  FROM held_plan AS p
                  WHERE p.directory_key = :directory_key
                  ORDER BY p.run_key DESC
                  LIMIT :kept
              )
          )
        RETURNING (SELECT r.id FROM run AS r WHERE r.run_key = held_plan.run_key)";
    forgotten(
        transaction,
        FORGET,
        named_params! {
            ":tenant_id": scope.tenant_id,
            ":directory_key": scope.directory_key,
            ":since": now.0.saturating_sub(milliseconds(KEPT_FOR)),
            ":now": now.0,
            ":kept": SUPERSEDED_KEPT,
        },
    )
}

fn forgotten(
    transaction: &Transaction<'_>,
    statement: &str,
    parameters: &[(&str, &dyn ToSql)],
) -> Result<Vec<RunId>, StoreError> {
    let mut statement = transaction.prepare_cached(statement)?;
    let mut rows = statement.query(parameters)?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        runs.push(runs::run_id(row.get(0)?)?);
    }
    Ok(runs)
}

/// Whether the plan of a run is kept: it is held, or was superseded by one that is.
pub(super) fn is_kept(connection: &Connection, run: &RunId) -> Result<bool, StoreError> {
    const IS_KEPT: &str = "
        SELECT EXISTS (SELECT 1 FROM held_plan AS p WHERE p.run_key = r.run_key)
        FROM run AS r
        WHERE r.id = :id";
    let kept = connection
        .prepare_cached(IS_KEPT)?
        .query_row(named_params! { ":id": run.as_str() }, |row| row.get(0))
        .optional()?;
    Ok(kept == Some(true))
}

/// Errs with `Damaged` when the file of a held plan is not what was written.
pub(super) fn check(store: &Connection, files: &DataDir, run: &RunId) -> Result<(), StoreError> {
    const DIGEST: &str = "
        SELECT p.digest
        FROM run AS r
        JOIN held_plan AS p ON p.run_key = r.run_key
        WHERE r.id = :id";
    let path = files.held(run);
    let written: Option<Vec<u8>> = store
        .prepare_cached(DIGEST)?
        .query_row(named_params! { ":id": run.as_str() }, |row| row.get(0))
        .optional()?;
    match written {
        Some(written) if path.exists() && !has_journal(&path) && digest(&path)? == written => Ok(()),
        _ => Err(StoreError::Damaged { path }),
    }
}
