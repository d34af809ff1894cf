//! Runs: listing them, and showing one with what it skipped and what it would delete. The export of what is stored.

use std::collections::HashSet;

use idsync_model::{
    DeleteReason, Entity, EntityCounts, Held, Mode, Operation, Outcome, RunId, RunReport, Skip, Trigger,
};
use idsync_store::{ExportSink, PlannedRow, RunRecord, StoreError};
use serde::Serialize;

use crate::app::App;
use crate::error::CommandError;

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
    /// Why the guard stopped its plan; of a dry run, why it would.
    pub held: Option<Held>,
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
            held: record.held.clone(),
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

/// How many rows there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Users.
    pub users: u64,
    /// Groups.
    pub groups: u64,
    /// Memberships.
    pub memberships: u64,
}

impl Totals {
    /// What is counted of each kind of a run.
    fn of(record: &RunRecord, count: impl Fn(EntityCounts) -> u64) -> Self {
        Self {
            users: count(record.users),
            groups: count(record.groups),
            memberships: count(record.memberships),
        }
    }

    /// Of all kinds together.
    fn sum(self) -> u64 {
        self.users + self.groups + self.memberships
    }

    /// How many there are of one kind.
    pub fn of_kind(self, kind: Entity) -> u64 {
        match kind {
            Entity::User => self.users,
            Entity::Group => self.groups,
            Entity::Membership => self.memberships,
        }
    }
}

/// One run, with as much of its lists as was asked for.
#[derive(Debug, Serialize)]
pub struct RunView {
    /// As in a list.
    #[serde(flatten)]
    pub line: RunLine,
    /// The report, once it has ended.
    pub report: Option<RunReport>,
    /// What it skipped or mended.
    pub skipped: Vec<Skip>,
    /// How many records of each kind it skipped or mended.
    pub skipped_total: Totals,
    /// How many records are left out of `skipped` because fewer were asked for.
    #[serde(skip)]
    pub skipped_cut: usize,
    /// Of how many records nothing is kept but that they were.
    #[serde(skip)]
    pub skipped_unkept: u64,
    /// What a held plan would delete.
    pub would_delete: Vec<Deletion>,
    /// How many rows of each kind a held plan would delete.
    pub would_delete_total: Totals,
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

/// One run. Each of its lists has at most `limit` rows of each kind, and all of them without one.
pub async fn show(app: &App, run: &str, limit: Option<u32>) -> Result<RunView, CommandError> {
    let limit = limit.map_or(u64::MAX, u64::from);
    let run = run_id(run)?;
    let record = app.store().run(app.tenant(), &run).await?;
    let is_held = record.outcome == Some(Outcome::Held);
    let mut would_delete = Vec::new();
    if is_held {
        for kind in Entity::ALL {
            let rows = app
                .store()
                .planned_rows(app.tenant(), &run, kind, Operation::Delete, limit)
                .await?;
            would_delete.extend(rows.into_iter().map(Deletion::from));
        }
    }
    let kept = app.store().skips(app.tenant(), &run).await?;
    let kept_rows = kept.len();
    let skipped_total = Totals::of(&record, |counts| counts.skipped);
    let skipped_unkept = skipped_total.sum().saturating_sub(records(&kept));
    let skipped = first_of_each_kind(kept, limit);
    Ok(RunView {
        line: RunLine::from(&record),
        skipped_cut: kept_rows - skipped.len(),
        skipped_unkept,
        skipped,
        skipped_total,
        would_delete,
        would_delete_total: if is_held {
            Totals::of(&record, |counts| counts.deleted)
        } else {
            Totals::default()
        },
        report: record.report(),
    })
}

/// How many records these are: one that was mended twice is in two rows.
fn records(skips: &[Skip]) -> u64 {
    let ids: HashSet<(Entity, &str)> = skips
        .iter()
        .map(|skip| (skip.kind, skip.external_id.as_str()))
        .collect();
    ids.len() as u64
}

fn first_of_each_kind(skips: Vec<Skip>, limit: u64) -> Vec<Skip> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut users, mut groups, mut memberships) = (0, 0, 0);
    skips
        .into_iter()
        .filter(|skip| {
            let seen = match skip.kind {
                Entity::User => &mut users,
                Entity::Group => &mut groups,
                Entity::Membership => &mut memberships,
            };
            *seen += 1;
            *seen <= limit
        })
        .collect()
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
