//! Runs as the store keeps them.

use std::time::Duration;

use idsync_model::{
    DirectoryId, EntityCounts, Failure, Held, Mode, Outcome, OwnerId, RunId, RunReport, StoredCounts,
    Trigger, UnixMillis,
};

use crate::Aftermath;

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
    /// When it begins.
    pub started_at: UnixMillis,
    /// The version of the plugin that reads.
    pub plugin_version: String,
    /// The process that runs it.
    pub owner: OwnerId,
    /// The lease that the caller saw to be lost, by its fencing number. It is taken over.
    pub takes_over: Option<u64>,
}

/// Who runs a directory (RUNS §6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// The process that runs it.
    pub owner: OwnerId,
    /// Its fencing number: each lease of a directory has a higher one than those before.
    pub fence: u64,
    /// Counts up while its owner lives.
    pub beat: u64,
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
    /// For how long requests were held back because of the provider's limits.
    pub waited: Duration,
    /// Time on the processor inside the plugin.
    pub cpu: Duration,
    /// The most memory that the plugin had.
    pub peak_memory_bytes: u64,
    /// The latest time that the provider told, by its own clock.
    pub provider_time: Option<UnixMillis>,
    /// What the run's end does to its directory. A dry run does nothing to it, whatever stands here.
    pub after: Aftermath,
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
    Failed {
        /// Why.
        failure: Failure,
        /// Whether a later run may go on from what it read: its staging stays, back at its last checkpoint, when it
        /// has one and was not planned from.
        keeps_staging: bool,
    },
}

/// What a staging was read with. A run goes on only from one that was read with the same as its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadWith {
    /// How much is read.
    pub mode: Mode,
    /// The fingerprint of the verified settings and the key.
    pub fingerprint: String,
    /// The digest of the plugin's component.
    pub plugin_digest: String,
    /// The contract that it speaks: the package's name and version.
    pub contract: String,
}

/// What a run that ended early left to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumable {
    /// The run that read it.
    pub run: RunId,
    /// What it was read with.
    pub with: ReadWith,
    /// The directory's generation when the reading began.
    pub generation: u64,
    /// When the reading began, which may be several runs ago.
    pub read_began_at: UnixMillis,
    /// When its last checkpoint was taken.
    pub checkpoint_at: UnixMillis,
    /// Whether the machine runs since then. What a restart left may lack pages.
    pub is_same_boot: bool,
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
    /// For how long requests were held back because of the provider's limits.
    pub waited: Duration,
    /// Time on the processor inside the plugin.
    pub cpu: Duration,
    /// The most memory that the plugin had.
    pub peak_memory_bytes: u64,
    /// The run whose staging it went on from.
    pub resumed_from: Option<RunId>,
    /// When the reading began that it went on with. `None` when it began itself.
    pub read_began_at: Option<UnixMillis>,
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
            duration_ms: milliseconds(ended_at.since(self.started_at)),
            waited_ms: milliseconds(self.waited),
            peak_memory_bytes: self.peak_memory_bytes,
            resumed_from: self.resumed_from.clone(),
            oldest_read_at: self.read_began_at.map(|at| at.to_string()),
            held: self.held.clone(),
            error: self.error.clone(),
            notes: self.notes.clone(),
        })
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
