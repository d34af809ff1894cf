//! A person's answer to a held plan: exactly what was shown is applied, or it ends.
//!
//! Neither needs the directory's lease. A run in progress is left alone: after an approval it finds the directory at
//! another generation and plans anew.

use std::path::Path;
use std::time::Duration;

use idsync_model::{EntityCounts, Outcome, RunId, TenantName, UnixMillis};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, named_params};

use super::connection::{attach, open_for_apply};
use super::feed_mark;
use super::files::DataDir;
use super::scope::{self, RunScope};
use super::telling::Paths;
use super::word::{from_json, from_word, milliseconds, unsigned};
use super::{apply, hold, planner, recent, runs, schedules};
use crate::{Applied, Approved, PlanSummary, RunRecord, StaleWhy, StoreError};

/// A plan that lies in a file of its own.
#[derive(Debug, Clone)]
struct Kept {
    run: RunId,
    scope: RunScope,
    summary: PlanSummary,
    generation: i64,
    made_at: UnixMillis,
    has_its_settings: bool,
}

impl Kept {
    /// Errs with `StalePlan` when its settings are other ones, or when it is older than `max_age` or from the future.
    fn check_shown(&self, max_age: Duration, now: UnixMillis) -> Result<(), StoreError> {
        if !self.has_its_settings {
            return Err(self.stale(StaleWhy::Settings));
        }
        if self.made_at > now || now.0.saturating_sub(self.made_at.0) > milliseconds(max_age) {
            return Err(self.stale(StaleWhy::Age));
        }
        Ok(())
    }

    /// Errs with `StalePlan` besides when the directory has moved on.
    fn check_present(&self, max_age: Duration, now: UnixMillis) -> Result<(), StoreError> {
        self.check_shown(max_age, now)?;
        if self.generation != self.scope.generation {
            return Err(self.stale(StaleWhy::Generation));
        }
        Ok(())
    }

    /// The plan of a run, where it is kept.
    fn find(connection: &Connection, tenant: &TenantName, run: &RunId) -> Result<Option<Self>, StoreError> {
        const FIND: &str = "
            SELECT
                p.summary, p.generation, p.made_at,
                (d.verified_settings, d.verified_org) IS (p.verified_settings, p.verified_org)
            FROM held_plan AS p
            JOIN directory AS d ON d.directory_key = p.directory_key
            WHERE p.run_key = :run_key AND p.tenant_id = :tenant_id";
        type Columns = (String, i64, i64, bool);
        let scope = scope::ended_run(connection, tenant, run)?;
        let keys = named_params! { ":run_key": scope.run_key, ":tenant_id": scope.tenant_id };
        let found: Option<Columns> = connection
            .prepare_cached(FIND)?
            .query_row(keys, |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((summary, generation, made_at, has_its_settings)) = found else {
            return Ok(None);
        };
        Ok(Some(Self {
            run: run.clone(),
            scope,
            summary: from_json("a held plan", &summary)?,
            generation,
            made_at: UnixMillis(made_at),
            has_its_settings,
        }))
    }

    fn stale(&self, why: StaleWhy) -> StoreError {
        StoreError::StalePlan {
            run: self.run.clone(),
            why,
        }
    }
}

/// What an approval comes to.
enum Choice {
    /// An earlier one has applied this run.
    Done(RunId),
    /// This plan is to be applied, where it is not the shown one only if it deletes no more than that.
    Apply { plan: Box<Kept>, shown: Box<Kept> },
}

impl Choice {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Done(one), Self::Done(two)) => one == two,
            (Self::Apply { plan, shown }, Self::Apply { plan: p, shown: s }) => {
                (&plan.run, &shown.run) == (&p.run, &s.run)
            }
            _ => false,
        }
    }
}

/// Applies a held plan. Returns besides the runs whose files can go.
pub(super) fn approve(
    store: &Path,
    files: &DataDir,
    tenant: &TenantName,
    run: &RunId,
    max_age: Duration,
    now: UnixMillis,
) -> Result<(Approved, Vec<RunId>), StoreError> {
    loop {
        let mut connection = open_for_apply(store)?;
        let choice = choose(&connection, tenant, run, max_age, now)?;
        if let Choice::Apply { plan, shown } = &choice {
            check_files(&connection, files, plan, shown)?;
            attach(&connection, &files.held(&plan.run), 8_192)?;
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // A newer plan may have been held while the files were read.
        if !choose(&transaction, tenant, run, max_age, now)?.is_same(&choice) {
            continue;
        }
        let (applied_run, was_already, dropped) = match &choice {
            Choice::Done(applied) => (applied, true, Vec::new()),
            Choice::Apply { plan, shown } => {
                let paths = Paths {
                    store,
                    run_file: &files.held(&plan.run),
                };
                (&plan.run, false, write(&transaction, paths, plan, shown, now)?)
            }
        };
        let approved = Approved {
            applied: applied(&transaction, tenant, applied_run)?,
            was_already,
            instead_of: (applied_run != run).then(|| run.clone()),
        };
        transaction.commit()?;
        feed_mark::settle(&mut connection);
        return Ok((approved, dropped));
    }
}

/// Which plan an approval of a run is about.
fn choose(
    connection: &Connection,
    tenant: &TenantName,
    run: &RunId,
    max_age: Duration,
    now: UnixMillis,
) -> Result<Choice, StoreError> {
    let asked = Asked::find(connection, tenant, run)?;
    if let Some(applied) = asked.approved_as {
        return Ok(Choice::Done(applied));
    }
    let kept = |run: &RunId| Kept::find(connection, tenant, run);
    if asked.outcome == Some(Outcome::Held)
        && let Some(shown) = kept(run)?
    {
        shown.check_present(max_age, now)?;
        let plan = Box::new(shown);
        return Ok(Choice::Apply {
            shown: plan.clone(),
            plan,
        });
    }
    if let Some(newer) = &asked.newer
        && let (Some(shown), Some(plan)) = (kept(run)?, kept(newer)?)
    {
        shown.check_shown(max_age, now)?;
        plan.check_present(max_age, now)?;
        return Ok(Choice::Apply {
            plan: Box::new(plan),
            shown: Box::new(shown),
        });
    }
    Err(asked.refusal(run))
}

/// What became of a run that a person answers.
struct Asked {
    outcome: Option<Outcome>,
    /// Of a superseded run, the one that waits in its place, else the one that took it.
    newer: Option<RunId>,
    approved_as: Option<RunId>,
}

impl Asked {
    fn find(connection: &Connection, tenant: &TenantName, run: &RunId) -> Result<Self, StoreError> {
        const FIND: &str = "
            SELECT
                r.outcome,
                CASE WHEN r.outcome = 'superseded' THEN coalesce(
                    (SELECT h.id FROM run AS h WHERE h.directory_key = r.directory_key AND h.outcome = 'held'),
                    (SELECT s.id FROM run AS s WHERE s.run_key = r.superseded_by)
                ) END,
                (SELECT a.id FROM run AS a WHERE a.run_key = r.approved_as)
            FROM run AS r
            WHERE r.tenant_id = :tenant_id AND r.id = :id";
        type Columns = (Option<String>, Option<String>, Option<String>);
        let tenant_id = scope::tenant_id(connection, tenant)?;
        let keys = named_params! { ":tenant_id": tenant_id, ":id": run.as_str() };
        let found: Option<Columns> = connection
            .prepare_cached(FIND)?
            .query_row(keys, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((outcome, newer, approved_as)) = found else {
            return Err(StoreError::UnknownRun { run: run.to_string() });
        };
        Ok(Self {
            outcome: outcome
                .map(|outcome| from_word("a run's outcome", outcome))
                .transpose()?,
            newer: newer.map(runs::run_id).transpose()?,
            approved_as: approved_as.map(runs::run_id).transpose()?,
        })
    }

    /// Why there is nothing to answer.
    fn refusal(self, run: &RunId) -> StoreError {
        match self.newer {
            Some(by) => StoreError::SupersededBy { run: run.clone(), by },
            None => StoreError::NotHeld {
                run: run.clone(),
                outcome: self.outcome,
            },
        }
    }
}

/// Errs with `Damaged` when a file is not what was written, and with `SupersededBy` when the newer plan deletes
/// something that the shown one does not, or moves more addresses from one user to another.
fn check_files(store: &Connection, files: &DataDir, plan: &Kept, shown: &Kept) -> Result<(), StoreError> {
    hold::check(store, files, &plan.run)?;
    if plan.run == shown.run {
        return Ok(());
    }
    hold::check(store, files, &shown.run)?;
    let deletes_more = planner::deletes_more(&files.held(&plan.run), &files.held(&shown.run))?;
    if deletes_more || plan.summary.moved > shown.summary.moved {
        return Err(StoreError::SupersededBy {
            run: shown.run.clone(),
            by: plan.run.clone(),
        });
    }
    Ok(())
}

/// Writes the plan, and the ends of its run and of the shown one. Returns the runs whose files can go.
fn write(
    transaction: &Transaction<'_>,
    paths: Paths<'_>,
    plan: &Kept,
    shown: &Kept,
    now: UnixMillis,
) -> Result<Vec<RunId>, StoreError> {
    const END: &str = "
        UPDATE run
        SET outcome = 'succeeded', ended_at = max(:now, started_at), applied_seq = :applied_seq
        WHERE tenant_id = :tenant_id AND run_key = :run_key";
    const APPROVE: &str = "
        UPDATE run
        SET approved_as = :applied
        WHERE tenant_id = :tenant_id AND run_key IN (:applied, :shown)";
    let told = apply::write_block(transaction, paths, &plan.scope, &plan.summary, now)?;
    recent::begin_anew(transaction, &plan.scope, now)?;
    transaction.execute(
        END,
        named_params! {
            ":tenant_id": plan.scope.tenant_id,
            ":run_key": plan.scope.run_key,
            ":now": now.0,
            ":applied_seq": told.applied_seq,
        },
    )?;
    schedules::after_success(transaction, &plan.scope)?;
    transaction.execute(
        APPROVE,
        named_params! {
            ":tenant_id": plan.scope.tenant_id,
            ":applied": plan.scope.run_key,
            ":shown": shown.scope.run_key,
        },
    )?;
    hold::forget_all(transaction, &plan.scope)
}

/// The apply of a run that was approved, as it stands in the store.
fn applied(transaction: &Transaction<'_>, tenant: &TenantName, run: &RunId) -> Result<Applied, StoreError> {
    let changes = |counts: EntityCounts| counts.created + counts.updated + counts.deleted;
    let scope = scope::ended_run(transaction, tenant, run)?;
    let run = runs::find(transaction, tenant, run)?;
    Ok(Applied {
        changes: changes(run.users) + changes(run.groups) + changes(run.memberships),
        seq: unsigned(apply::last_seq(transaction, &scope)?),
        superseded: None,
        run,
    })
}

/// Ends a held plan. Returns besides the runs whose files can go.
pub(super) fn discard(
    connection: &mut Connection,
    tenant: &TenantName,
    run: &RunId,
) -> Result<(RunRecord, Vec<RunId>), StoreError> {
    const DISCARD: &str = "
        UPDATE run
        SET outcome = 'discarded'
        WHERE tenant_id = :tenant_id AND run_key = :run_key";
    const MARK: &str = "
        UPDATE directory
        SET held_since = NULL
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let asked = Asked::find(&transaction, tenant, run)?;
    let dropped = match asked.outcome {
        Some(Outcome::Discarded) => Vec::new(),
        Some(Outcome::Held) => {
            let scope = scope::ended_run(&transaction, tenant, run)?;
            transaction.execute(
                DISCARD,
                named_params! { ":tenant_id": scope.tenant_id, ":run_key": scope.run_key },
            )?;
            transaction.execute(
                MARK,
                named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key },
            )?;
            hold::forget_all(&transaction, &scope)?
        }
        _ => return Err(asked.refusal(run)),
    };
    let record = runs::find(&transaction, tenant, run)?;
    transaction.commit()?;
    Ok((record, dropped))
}
