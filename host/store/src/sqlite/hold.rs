//! Keeps a plan that the guard stopped: its file is on the disk, with a known digest, before its run is called held.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use idsync_model::{Held, Outcome, RunId, UnixMillis};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, named_params};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::apply::present;
use super::files::DataDir;
use super::runs::{self, Ending, RunCounts};
use super::word::json;
use crate::{Plan, PlanSummary, PlannedCounts, RunFacts, RunRecord, StoreError};

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

/// Ends a run as held. An older held run of the directory is superseded, and returned.
pub(super) fn hold(
    connection: &mut Connection,
    plan: &Plan,
    reasons: &Held,
    facts: &RunFacts,
    digest: &[u8],
    skips: &[idsync_model::Skip],
    now: UnixMillis,
) -> Result<(RunRecord, Option<RunId>), StoreError> {
    const KEEP: &str = "
        INSERT INTO held_plan (
            run_key, tenant_id, directory_key, generation, verified_fingerprint, made_at, summary, digest
        )
        SELECT
            :run_key, tenant_id, directory_key, generation, verified_fingerprint, :now, :summary, :digest
        FROM directory
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    const MARK: &str = "
        UPDATE directory
        SET held_since = coalesce(held_since, :now), full_mark = full_mark + 1
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = present(&transaction, plan)?;
    let superseded = runs::supersede(&transaction, &scope)?;
    transaction.execute(
        KEEP,
        named_params! {
            ":run_key": scope.run_key,
            ":now": now.0,
            ":summary": summary_json(&plan.summary),
            ":digest": digest,
            ":tenant_id": scope.tenant_id,
            ":directory_key": scope.directory_key,
        },
    )?;
    transaction.execute(
        MARK,
        named_params! {
            ":now": now.0,
            ":tenant_id": scope.tenant_id,
            ":directory_key": scope.directory_key,
        },
    )?;
    let ending = Ending {
        outcome: Outcome::Held,
        now,
        counts: RunCounts::from(&plan.summary),
        facts,
        held: Some(json(reasons)),
        error: None,
        applied_seq: None,
        skips,
    };
    runs::end(&transaction, &scope, &ending)?;
    let record = runs::find(&transaction, &plan.tenant, &plan.run)?;
    transaction.commit()?;
    Ok((record, superseded))
}

/// The whole of a summary, from which the plan is known again.
fn summary_json(summary: &PlanSummary) -> String {
    let counts = |counts: &PlannedCounts| {
        json!({
            "created": counts.created,
            "updated": counts.updated,
            "deleted": counts.deleted,
            "unchanged": counts.unchanged,
            "skipped": counts.skipped,
        })
    };
    json(json!({
        "stored": summary.stored,
        "users": counts(&summary.users),
        "groups": counts(&summary.groups),
        "memberships": counts(&summary.memberships),
        "memberships_deleted_with_user": summary.memberships_deleted_with_user,
        "is_first": summary.is_first,
    }))
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
        .query_row(DIGEST, named_params! { ":id": run.as_str() }, |row| row.get(0))
        .optional()?;
    match written {
        Some(written) if path.exists() && digest(&path)? == written => Ok(()),
        _ => Err(StoreError::Damaged { path }),
    }
}
