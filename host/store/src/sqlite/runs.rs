//! Runs: begun, ended, shown.

use std::time::Duration;

use idsync_model::{
    EntityCounts, ErrorKind, Failure, Mode, Outcome, RunId, Skip, StoredCounts, TenantName, Trigger,
    UnixMillis,
};
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, named_params};
use serde::{Deserialize, Serialize};

use super::scope::{self, DirectoryScope, RunScope};
use super::word::{from_json, from_word, json, kind_number, moment, signed, unreadable, unsigned, word};
use super::{leases, schedules};
use crate::{
    AppliedCounts, NewRun, PlanSummary, RunBasis, RunEnd, RunFacts, RunRecord, SkipCounts, StoreError,
};

/// How many skipped or mended records of each kind a run keeps.
const SKIPS_KEPT: i64 = 1_000;

/// Of how many of a directory's newest runs they are kept.
const RUNS_WITH_SKIPS: i64 = 20;

impl From<&PlanSummary> for AppliedCounts {
    fn from(summary: &PlanSummary) -> Self {
        Self {
            users: summary.users.into(),
            groups: summary.groups.into(),
            memberships: summary.memberships.into(),
        }
    }
}

impl From<SkipCounts> for AppliedCounts {
    fn from(skips: SkipCounts) -> Self {
        let skipped = |skipped| EntityCounts {
            skipped,
            ..EntityCounts::default()
        };
        Self {
            users: skipped(skips.users),
            groups: skipped(skips.groups),
            memberships: skipped(skips.memberships),
        }
    }
}

/// What a run cost, as it is stored beside its requests.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
struct Cost {
    waited_ms: u64,
    cpu_ms: u64,
    peak_memory_bytes: u64,
}

impl From<&RunFacts> for Cost {
    fn from(facts: &RunFacts) -> Self {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            waited_ms: milliseconds(facts.waited),
            cpu_ms: milliseconds(facts.cpu),
            peak_memory_bytes: facts.peak_memory_bytes,
        }
    }
}

/// Begins a run, which takes the lease. Returns besides the runs of the directory that it ended.
pub(super) fn begin(
    connection: &mut Connection,
    tenant: &TenantName,
    new: &NewRun,
) -> Result<(RunBasis, Vec<RunId>), StoreError> {
    const BASIS: &str = "
        SELECT generation, users, groups, memberships
        FROM directory
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::directory(&transaction, tenant, &new.directory)?;
    leases::refuse_leased(&transaction, scope, new.takes_over)?;
    leases::fence_off(&transaction, scope)?;
    if new.dry_run {
        schedules::at_dry_begin(&transaction, scope)?;
    }
    let interrupted = end_unended(&transaction, scope, new.started_at, &interruption())?;
    insert(
        &transaction,
        scope,
        &RunRow {
            run: &new.run,
            trigger: new.trigger,
            mode: new.mode,
            dry_run: new.dry_run,
            started_at: new.started_at,
            plugin_version: &new.plugin_version,
        },
    )?;
    leases::take(&transaction, scope, new)?;
    if !new.dry_run {
        schedules::at_begin(&transaction, scope, new.started_at)?;
    }
    let basis = transaction.prepare_cached(BASIS)?.query_row(
        named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key },
        |row| {
            Ok(RunBasis {
                generation: unsigned(row.get(0)?),
                stored: StoredCounts {
                    users: unsigned(row.get(1)?),
                    groups: unsigned(row.get(2)?),
                    memberships: unsigned(row.get(3)?),
                },
            })
        },
    )?;
    transaction.commit()?;
    Ok((basis, interrupted))
}

/// What is stored of a run when it begins.
pub(super) struct RunRow<'a> {
    pub(super) run: &'a RunId,
    pub(super) trigger: Trigger,
    pub(super) mode: Mode,
    pub(super) dry_run: bool,
    pub(super) started_at: UnixMillis,
    pub(super) plugin_version: &'a str,
}

/// Stores the begin of a run, with the present numbers of its directory.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    scope: DirectoryScope,
    new: &RunRow<'_>,
) -> Result<(), StoreError> {
    const INSERT: &str = "
        INSERT INTO run (
            tenant_id, directory_key, id, cause, mode, dry_run, started_at, plugin_version, full_mark, fence,
            failing_mark
        )
        SELECT
            tenant_id, directory_key, :id, :cause, :mode, :dry_run, :started_at, :plugin_version, full_mark, fence,
            failing_mark
        FROM directory
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    transaction.prepare_cached(INSERT)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":id": new.run.as_str(),
        ":cause": word(new.trigger),
        ":mode": word(new.mode),
        ":dry_run": new.dry_run,
        ":started_at": new.started_at.0,
        ":plugin_version": new.plugin_version,
    })?;
    Ok(())
}

/// Why a run has no end when the next one takes the lease: whoever ran it is gone, or stuck for too long.
fn interruption() -> Failure {
    Failure::new(
        ErrorKind::Host,
        "interrupted",
        "the process of this run ended before the run did",
        "nothing of it was applied; the next run goes on from it where it can",
    )
}

/// Ends the runs of a directory that have no end: as cancelled or failed, by the kind of the reason.
pub(super) fn end_unended(
    transaction: &Transaction<'_>,
    scope: DirectoryScope,
    now: UnixMillis,
    reason: &Failure,
) -> Result<Vec<RunId>, StoreError> {
    const END: &str = "
        UPDATE run
        SET outcome = :outcome, ended_at = max(:now, started_at), error = :error
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND outcome IS NULL
        RETURNING id";
    let outcome = outcome_of(reason);
    let mut statement = transaction.prepare_cached(END)?;
    let mut rows = statement.query(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":outcome": outcome.as_str(),
        ":now": now.0,
        ":error": json(reason),
    })?;
    let mut interrupted = Vec::new();
    while let Some(row) = rows.next()? {
        interrupted.push(run_id(row.get(0)?)?);
    }
    Ok(interrupted)
}

fn outcome_of(failure: &Failure) -> Outcome {
    match failure.kind {
        ErrorKind::Cancelled => Outcome::Cancelled,
        _ => Outcome::Failed,
    }
}

/// What is written of a run when it ends.
pub(super) struct Ending<'a> {
    pub(super) outcome: Outcome,
    pub(super) now: UnixMillis,
    pub(super) counts: AppliedCounts,
    pub(super) facts: &'a RunFacts,
    pub(super) held: Option<String>,
    pub(super) error: Option<&'a Failure>,
    pub(super) applied_seq: Option<i64>,
    pub(super) skips: &'a [Skip],
}

/// Writes the end of a run and gives its lease back.
pub(super) fn end(
    transaction: &Transaction<'_>,
    scope: &RunScope,
    ending: &Ending<'_>,
) -> Result<(), StoreError> {
    const END: &str = "
        UPDATE run
        SET
            outcome = :outcome, ended_at = max(:now, started_at), counts = :counts, requests = :requests,
            notes = :notes, usage = :usage, held = :held, error = :error, applied_seq = :applied_seq
        WHERE tenant_id = :tenant_id AND run_key = :run_key";
    const SKIP: &str = "
        INSERT OR IGNORE INTO run_skip (run_key, kind, external_id, reason, tenant_id)
        VALUES (:run_key, :kind, :external_id, :reason, :tenant_id)";
    transaction.prepare_cached(END)?.execute(named_params! {
        ":tenant_id": scope.tenant_id,
        ":run_key": scope.run_key,
        ":outcome": ending.outcome.as_str(),
        ":now": ending.now.0,
        ":counts": json(ending.counts),
        ":requests": signed(ending.facts.requests),
        ":notes": json(&ending.facts.notes),
        ":usage": json(Cost::from(ending.facts)),
        ":held": ending.held,
        ":error": ending.error.map(json),
        ":applied_seq": ending.applied_seq,
    })?;
    let mut statement = transaction.prepare_cached(SKIP)?;
    for skip in ending.skips {
        statement.execute(named_params! {
            ":run_key": scope.run_key,
            ":kind": kind_number(skip.kind),
            ":external_id": skip.external_id,
            ":reason": skip.reason,
            ":tenant_id": scope.tenant_id,
        })?;
    }
    forget_old_skips(transaction, scope)?;
    leases::give_back(transaction, scope)?;
    if ending.outcome == Outcome::Succeeded {
        schedules::after_success(transaction, scope)?;
    }
    schedules::after_run(transaction, scope, ending.facts)
}

/// Of a directory that runs every few seconds, each run's own list would soon be most of the store.
fn forget_old_skips(transaction: &Transaction<'_>, scope: &RunScope) -> Result<(), StoreError> {
    const FORGET: &str = "
        DELETE FROM run_skip
        WHERE run_key IN (
            SELECT r.run_key
            FROM run AS r
            WHERE r.directory_key = :directory_key AND r.outcome IS NOT NULL AND r.outcome <> 'held'
            ORDER BY r.run_key DESC
            LIMIT :kept OFFSET :kept
        )";
    transaction.prepare_cached(FORGET)?.execute(named_params! {
        ":directory_key": scope.directory_key,
        ":kept": RUNS_WITH_SKIPS,
    })?;
    Ok(())
}

/// Ends a run that applies nothing.
pub(super) fn end_without_apply(
    connection: &mut Connection,
    tenant: &TenantName,
    run: &RunId,
    end_of_run: &RunEnd,
    facts: &RunFacts,
    skipped: &(SkipCounts, Vec<Skip>),
    now: UnixMillis,
) -> Result<RunRecord, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::run(&transaction, tenant, run)?;
    let (outcome, counts, held, error) = match end_of_run {
        RunEnd::Planned { summary, held } => (
            Outcome::Succeeded,
            AppliedCounts::from(&**summary),
            held.as_ref(),
            None,
        ),
        RunEnd::Failed { failure, .. } => (
            outcome_of(failure),
            AppliedCounts::from(skipped.0),
            None,
            Some(failure),
        ),
    };
    let ending = Ending {
        outcome,
        now,
        counts,
        facts,
        held: held.map(json),
        error,
        applied_seq: None,
        skips: &skipped.1,
    };
    end(&transaction, &scope, &ending)?;
    let record = find(&transaction, tenant, run)?;
    transaction.commit()?;
    Ok(record)
}

/// The statement that shows runs, with what follows the join: which of them, and in which order.
macro_rules! select_runs {
    ($which:literal) => {
        concat!(
            "
            SELECT
                r.id, d.id AS directory, d.name AS directory_name, r.cause, r.mode, r.dry_run, r.started_at, r.ended_at,
                r.outcome, r.plugin_version, r.counts, r.requests, r.notes, r.usage, r.held, r.error, r.applied_seq,
                r.resumed_from, r.read_began_at
            FROM run AS r
            JOIN directory AS d ON d.directory_key = r.directory_key
            ",
            $which
        )
    };
}

pub(super) fn find(
    connection: &Connection,
    tenant: &TenantName,
    run: &RunId,
) -> Result<RunRecord, StoreError> {
    const FIND: &str = select_runs!("WHERE r.tenant_id = :tenant_id AND r.id = :id");
    let tenant_id = scope::tenant_id(connection, tenant)?;
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query(named_params! { ":tenant_id": tenant_id, ":id": run.as_str() })?;
    match rows.next()? {
        Some(row) => from_row(row),
        None => Err(StoreError::UnknownRun { run: run.to_string() }),
    }
}

pub(super) fn newest(connection: &Connection, directory_key: i64) -> Result<Option<RunRecord>, StoreError> {
    const NEWEST: &str = select_runs!(
        "WHERE r.directory_key = :directory_key
        ORDER BY r.run_key DESC
        LIMIT 1"
    );
    let mut statement = connection.prepare_cached(NEWEST)?;
    let mut rows = statement.query(named_params! { ":directory_key": directory_key })?;
    rows.next()?.map(from_row).transpose()
}

/// The newest runs of a directory. The plus keeps SQLite from looking at all runs of the tenant, which are in the same
/// order.
pub(super) const OF_DIRECTORY: &str = select_runs!(
    "WHERE +r.tenant_id = :tenant_id AND r.directory_key = :directory_key
    ORDER BY r.run_key DESC
    LIMIT :limit"
);

pub(super) fn list(
    connection: &Connection,
    tenant: &TenantName,
    directory: Option<&idsync_model::DirectoryId>,
    limit: u64,
) -> Result<Vec<RunRecord>, StoreError> {
    const OF_TENANT: &str = select_runs!(
        "WHERE r.tenant_id = :tenant_id
        ORDER BY r.run_key DESC
        LIMIT :limit"
    );
    let mut records = Vec::new();
    if let Some(directory) = directory {
        let scope = scope::directory(connection, tenant, directory)?;
        let mut statement = connection.prepare_cached(OF_DIRECTORY)?;
        let mut rows = statement.query(named_params! {
            ":tenant_id": scope.tenant_id,
            ":directory_key": scope.directory_key,
            ":limit": signed(limit),
        })?;
        while let Some(row) = rows.next()? {
            records.push(from_row(row)?);
        }
    } else {
        let tenant_id = scope::tenant_id(connection, tenant)?;
        let mut statement = connection.prepare_cached(OF_TENANT)?;
        let mut rows = statement.query(named_params! { ":tenant_id": tenant_id, ":limit": signed(limit) })?;
        while let Some(row) = rows.next()? {
            records.push(from_row(row)?);
        }
    }
    Ok(records)
}

pub(super) fn skips(
    connection: &Connection,
    tenant: &TenantName,
    run: &RunId,
) -> Result<Vec<Skip>, StoreError> {
    const SKIPS: &str = "
        SELECT s.kind, s.external_id, s.reason
        FROM run AS r
        JOIN run_skip AS s ON s.run_key = r.run_key
        WHERE r.tenant_id = :tenant_id AND r.id = :id
        ORDER BY s.kind, s.external_id, s.reason";
    find(connection, tenant, run)?;
    let tenant_id = scope::tenant_id(connection, tenant)?;
    let mut statement = connection.prepare_cached(SKIPS)?;
    let skips = statement
        .query_map(
            named_params! { ":tenant_id": tenant_id, ":id": run.as_str() },
            skip_from_row,
        )?
        .collect::<Result<_, _>>()?;
    Ok(skips)
}

/// The skips of a run's own file that are kept: the first of each kind.
pub(super) fn staged_skips(run_file: &Connection) -> Result<Vec<Skip>, StoreError> {
    const FIRST: &str = "
        SELECT kind, external_id, reason
        FROM staged_skip
        WHERE kind = :kind
        ORDER BY external_id, reason
        LIMIT :limit";
    let mut statement = run_file.prepare_cached(FIRST)?;
    let mut skips = Vec::new();
    for kind in 1..=3 {
        let of_kind = statement.query_map(
            named_params! { ":kind": kind, ":limit": SKIPS_KEPT },
            skip_from_row,
        )?;
        for skip in of_kind {
            skips.push(skip?);
        }
    }
    Ok(skips)
}

fn skip_from_row(row: &Row<'_>) -> rusqlite::Result<Skip> {
    use idsync_model::Entity;
    Ok(Skip {
        kind: match row.get::<_, i64>(0)? {
            1 => Entity::User,
            2 => Entity::Group,
            _ => Entity::Membership,
        },
        external_id: row.get(1)?,
        reason: row.get(2)?,
    })
}

/// The id that a text is.
pub(super) fn run_id(text: String) -> Result<RunId, StoreError> {
    text.try_into().map_err(|e| unreadable("a run's id", e))
}

fn from_row(row: &Row<'_>) -> Result<RunRecord, StoreError> {
    let text = |column| row.get::<_, Option<String>>(column);
    let counts: AppliedCounts = from_json("a run's counts", &row.get::<_, String>("counts")?)?;
    let cost: Cost = from_json("a run's cost", &row.get::<_, String>("usage")?)?;
    Ok(RunRecord {
        run: run_id(row.get("id")?)?,
        directory: row
            .get::<_, String>("directory")?
            .parse()
            .map_err(|e| unreadable("a directory's id", e))?,
        directory_name: row.get("directory_name")?,
        trigger: from_word("a run's trigger", row.get("cause")?)?,
        mode: from_word("a run's mode", row.get("mode")?)?,
        dry_run: row.get("dry_run")?,
        started_at: UnixMillis(row.get("started_at")?),
        ended_at: moment(row, "ended_at")?,
        outcome: text("outcome")?
            .map(|outcome| from_word("a run's outcome", outcome))
            .transpose()?,
        plugin_version: row.get("plugin_version")?,
        users: counts.users,
        groups: counts.groups,
        memberships: counts.memberships,
        requests: unsigned(row.get("requests")?),
        notes: from_json("a run's notes", &row.get::<_, String>("notes")?)?,
        waited: Duration::from_millis(cost.waited_ms),
        cpu: Duration::from_millis(cost.cpu_ms),
        peak_memory_bytes: cost.peak_memory_bytes,
        resumed_from: text("resumed_from")?.map(run_id).transpose()?,
        read_began_at: moment(row, "read_began_at")?,
        held: text("held")?
            .map(|text| from_json("why a run is held", &text))
            .transpose()?,
        error: text("error")?
            .map(|text| from_json("why a run failed", &text))
            .transpose()?,
        applied_seq: row.get::<_, Option<i64>>("applied_seq")?.map(unsigned),
    })
}
