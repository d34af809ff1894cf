//! A person's answer to a held plan, and to a run in progress.

use std::time::Duration;

use idsync_engine::lease::Owner;
use idsync_engine::{Cancel, EngineError};
use idsync_model::{Outcome, RunId, RunReport};
use idsync_store::StoreError;
use serde::Serialize;

use super::run::run_id;
use crate::app::App;
use crate::error::{CommandError, Kind};

/// How long the end of a cancelled run is waited for: its process looks each second, and its requests get 5 s.
const END_TIME: Duration = Duration::from_secs(15);
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What an approval did.
#[derive(Debug, Serialize)]
pub struct ApprovedView {
    /// The run whose plan is applied.
    #[serde(flatten)]
    pub report: RunReport,
    /// Whether it had been applied before, so that nothing was done now.
    pub was_already: bool,
    /// The run that was approved, where a newer plan of the same deletions was applied for it.
    pub instead_of: Option<RunId>,
}

/// What came of asking a run to end.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum CancelView {
    /// It has ended.
    Ended(Box<RunReport>),
    /// It has not ended yet.
    NotYet {
        /// The run.
        run: RunId,
        /// Null: it has none.
        outcome: Option<Outcome>,
        /// Whether the process that runs it is gone, so that only the next run can end it.
        is_orphan: bool,
    },
}

/// Applies the plan of a held run.
pub async fn approve(app: &App, run: &str) -> Result<ApprovedView, CommandError> {
    let run = run_id(run)?;
    let approved = idsync_engine::approve(app.store().as_ref(), app.tenant(), &run).await?;
    let report = approved.applied.run.report();
    Ok(ApprovedView {
        report: report.ok_or_else(|| unended(&run))?,
        was_already: approved.was_already,
        instead_of: approved.instead_of,
    })
}

/// Ends a held run; nothing of its plan is applied.
pub async fn discard(app: &App, run: &str) -> Result<RunReport, CommandError> {
    let run = run_id(run)?;
    let record = app.store().discard(app.tenant(), &run).await?;
    record.report().ok_or_else(|| unended(&run))
}

/// Asks a run in progress to end, and waits until it has.
pub async fn cancel(app: &App, run: &str) -> Result<CancelView, CommandError> {
    let run = run_id(run)?;
    if let Cancel::HadEnded(record) = idsync_engine::cancel(app.store().as_ref(), app.tenant(), &run).await? {
        let outcome = record.outcome.map_or("at its end", Outcome::as_str);
        return Err(CommandError::new(
            Kind::Conflict,
            format!("{run} can't be cancelled: it is {outcome} already"),
            match record.outcome {
                Some(Outcome::Held) => format!("Its plan waits: `idsync run discard {run}` drops it."),
                _ => format!("`idsync run show {run}` says what it did."),
            },
        ));
    }
    match tokio::time::timeout(END_TIME, until_ended(app, &run)).await {
        Ok(report) => Ok(CancelView::Ended(Box::new(report?))),
        Err(_) => Ok(CancelView::NotYet {
            is_orphan: is_orphan(app, &run).await?,
            outcome: None,
            run,
        }),
    }
}

async fn until_ended(app: &App, run: &RunId) -> Result<RunReport, StoreError> {
    loop {
        if let Some(report) = app.store().run(app.tenant(), run).await?.report() {
            return Ok(report);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn is_orphan(app: &App, run: &RunId) -> Result<bool, StoreError> {
    let directory = app.store().run(app.tenant(), run).await?.directory;
    let lease = app.store().lease(app.tenant(), &directory).await?;
    Ok(lease.is_none_or(|lease| lease.run != *run || !Owner::is_alive(&app.locks_dir(), &lease.owner)))
}

fn unended(run: &RunId) -> CommandError {
    EngineError::Unended { run: run.clone() }.into()
}
