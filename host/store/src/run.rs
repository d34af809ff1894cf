//! Runs as the store keeps them.

use idsync_model::{
    DirectoryId, EntityCounts, Failure, Held, Mode, Outcome, RunId, RunReport, StoredCounts, Trigger,
    UnixMillis,
};

/// What a run begins with.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub run: RunId,
    /// The directory.
    pub directory: DirectoryId,
    /// Who asked for it.
    pub trigger: Trigger,
    /// How much it reads.
    pub mode: Mode,
    /// Whether it stops after the plan.
    pub dry_run: bool,
    /// When it got the directory's lock.
    pub started_at: UnixMillis,
    /// The version of the plugin that reads.
    pub plugin_version: String,
}

/// What a run is measured against: the state of the directory at its begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunBasis {
    /// The directory's generation.
    pub generation: u64,
    /// What readers see.
    pub stored: StoredCounts,
}

/// What is known of a run at its end besides its outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Requests that the plugin sent.
    pub requests: u64,
    /// The plugin's remarks.
    pub notes: Vec<String>,
}

/// An end without an apply and without a held plan.
#[derive(Debug, Clone)]
pub enum RunEnd {
    /// It was to stop after the plan, and did.
    Planned {
        /// What the plan does.
        summary: Box<crate::PlanSummary>,
        /// Why the guard would hold it.
        held: Option<Held>,
    },
    /// It failed, or was cancelled when that is the failure's kind.
    Failed(Failure),
}

/// How many records were skipped or mended, each id counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SkipCounts {
    /// Users.
    pub users: u64,
    /// Groups.
    pub groups: u64,
    /// Memberships.
    pub memberships: u64,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Its id.
    pub run: RunId,
    /// The directory.
    pub directory: DirectoryId,
    /// The directory's name.
    pub directory_name: String,
    /// Who asked for it.
    pub trigger: Trigger,
    /// How much it reads.
    pub mode: Mode,
    /// Whether it was to stop after the plan.
    pub dry_run: bool,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// What became of it. `None` while it runs, or when its process died and no later run has noticed.
    pub outcome: Option<Outcome>,
    /// The version of the plugin.
    pub plugin_version: String,
    /// What it did to users, or would.
    pub users: EntityCounts,
    /// What it did to groups, or would.
    pub groups: EntityCounts,
    /// What it did to memberships, or would.
    pub memberships: EntityCounts,
    /// Requests that the plugin sent.
    pub requests: u64,
    /// The plugin's remarks.
    pub notes: Vec<String>,
    /// Why the guard stopped it; of a dry run, why it would.
    pub held: Option<Held>,
    /// Why it failed or was cancelled.
    pub error: Option<Failure>,
    /// The number of its `applied` record, where it changed something that readers see.
    pub applied_seq: Option<u64>,
}

impl RunRecord {
    /// The report of a run that has ended.
    pub fn report(&self) -> Option<RunReport> {
        let (outcome, ended_at) = (self.outcome?, self.ended_at?);
        Some(RunReport {
            run: self.run.clone(),
            outcome,
            mode: self.mode,
            dry_run: self.dry_run,
            users: self.users,
            groups: self.groups,
            memberships: self.memberships,
            requests: self.requests,
            duration_ms: u64::try_from(ended_at.since(self.started_at).as_millis()).unwrap_or(u64::MAX),
            held: self.held.clone(),
            error: self.error.clone(),
            notes: self.notes.clone(),
        })
    }
}

/// What an apply left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The run as it is stored now.
    pub run: RunRecord,
    /// How many changes readers were told of, the closing record not counted.
    pub changes: u64,
    /// The number of the tenant's last change.
    pub seq: u64,
    /// The held run that this one took the place of.
    pub superseded: Option<RunId>,
}
