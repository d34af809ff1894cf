//! Runs: listing them, and showing one with what it skipped and what it would delete. The export of what is stored.

use idsync_model::{DeleteReason, Entity, Mode, Operation, Outcome, RunId, RunReport, Skip, Trigger};
use idsync_store::{ExportSink, PlannedRow, RunRecord, StoreError};
use serde::Serialize;

use crate::app::App;
use crate::error::CommandError;

/// How many rows of a held plan are shown for each kind.
const PLANNED_ROWS_SHOWN: u64 = 1000;

/// A run as a list shows it.
#[derive(Debug, Serialize)]
pub struct RunLine {
    /// Its id.
    pub run: RunId,
    /// The directory's name.
    pub directory: String,
    /// Who asked for it.
    pub trigger: Trigger,
    /// How much it read.
    pub mode: Mode,
    /// Whether it stopped after the plan.
    pub dry_run: bool,
    /// When it began.
    pub started_at: String,
    /// When it ended; null while it runs.
    pub ended_at: Option<String>,
    /// What became of it; null while it runs.
    pub outcome: Option<Outcome>,
    /// Rows of all kinds that it created, updated and deleted, or would.
    pub changes: u64,
    /// Why it failed, in one sentence.
    pub error: Option<String>,
}

impl From<&RunRecord> for RunLine {
    fn from(record: &RunRecord) -> Self {
        let changes = [record.users, record.groups, record.memberships]
            .iter()
            .map(|counts| counts.created + counts.updated + counts.deleted)
            .sum();
        Self {
            run: record.run.clone(),
            directory: record.directory_name.clone(),
            trigger: record.trigger,
            mode: record.mode,
            dry_run: record.dry_run,
            started_at: record.started_at.to_string(),
            ended_at: record.ended_at.map(|at| at.to_string()),
            outcome: record.outcome,
            changes,
            error: record.error.as_ref().map(|failure| failure.summary.clone()),
        }
    }
}

/// A row that a held plan would delete.
#[derive(Debug, Serialize)]
pub struct Deletion {
    /// Its kind.
    pub kind: Entity,
    /// The user's or group's id; of a membership, the group's.
    pub external_id: String,
    /// Of a membership, the user's id.
    pub member: Option<String>,
    /// The user's e-mail, or the group's name.
    pub label: Option<String>,
    /// Why it would go.
    pub reason: Option<DeleteReason>,
}

impl From<PlannedRow> for Deletion {
    fn from(row: PlannedRow) -> Self {
        Self {
            kind: row.kind,
            external_id: row.external_id.to_string(),
            member: row.member.map(|id| id.to_string()),
            label: row.label,
            reason: row.reason,
        }
    }
}

/// One run, whole.
#[derive(Debug, Serialize)]
pub struct RunView {
    /// As in a list.
    #[serde(flatten)]
    pub line: RunLine,
    /// The report, once it has ended.
    pub report: Option<RunReport>,
    /// What it skipped or mended, at most 1,000 of a kind.
    pub skipped: Vec<Skip>,
    /// What a held plan would delete, at most 1,000 of a kind.
    pub would_delete: Vec<Deletion>,
}

/// The newest runs of one directory, or of all of the tenant's.
pub async fn list(app: &App, directory: Option<&str>, limit: u32) -> Result<Vec<RunLine>, CommandError> {
    let directory = match directory {
        Some(id_or_name) => Some(app.store().directory(app.tenant(), id_or_name).await?.id),
        None => None,
    };
    let runs = app
        .store()
        .runs(app.tenant(), directory.as_ref(), limit.into())
        .await?;
    Ok(runs.iter().map(RunLine::from).collect())
}

/// One run.
pub async fn show(app: &App, run: &str) -> Result<RunView, CommandError> {
    let run = run_id(run)?;
    let record = app.store().run(app.tenant(), &run).await?;
    let mut would_delete = Vec::new();
    if record.outcome == Some(Outcome::Held) {
        for kind in [Entity::User, Entity::Group, Entity::Membership] {
            let rows = app
                .store()
                .planned_rows(app.tenant(), &run, kind, Operation::Delete, PLANNED_ROWS_SHOWN)
                .await?;
            would_delete.extend(rows.into_iter().map(Deletion::from));
        }
    }
    Ok(RunView {
        line: RunLine::from(&record),
        report: record.report(),
        skipped: app.store().skips(app.tenant(), &run).await?,
        would_delete,
    })
}

/// A run's id. What does not look like one can't be one of this tenant's either.
pub fn run_id(text: &str) -> Result<RunId, StoreError> {
    text.parse()
        .map_err(|_| StoreError::UnknownRun { run: text.to_owned() })
}

/// Hands over all that readers see of a directory, from one moment.
pub async fn export(app: &App, id_or_name: &str, sink: ExportSink) -> Result<(), CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    match app.store().export(app.tenant(), &directory.id, sink).await {
        // A reader that has seen enough (`… | head`) is no failure.
        Err(StoreError::Sink(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}
