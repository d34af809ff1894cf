//! What a run is, what became of it, and the report of it that scripts rely on.

use serde::{Deserialize, Serialize};

use crate::{Entity, Failure, RunId};

/// How much a run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Everything.
    Full,
    /// Users and groups entire, members of the groups that changed.
    Incremental,
}

/// Who asked for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A person.
    Manual,
    /// The schedule.
    Schedule,
    /// The removal of the directory.
    Removal,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its plan was applied, or was only to be made.
    Succeeded,
    /// It ended without a plan; nothing changed.
    Failed,
    /// The guard stopped its plan, which waits for approval.
    Held,
    /// It was held, and a newer plan took its place.
    Superseded,
    /// It was held, and a person said no.
    Discarded,
    /// A person or the host ended it; nothing changed.
    Cancelled,
}

impl Outcome {
    /// The word that commands and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Superseded => "superseded",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a plan does to the rows of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityCounts {
    /// Readers see them newly.
    pub created: u64,
    /// They read differently.
    pub updated: u64,
    /// Readers see them no longer.
    pub deleted: u64,
    /// They are as they were.
    pub unchanged: u64,
    /// Records that could not be synced.
    pub skipped: u64,
}

/// The rule of the guard that a plan broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldRule {
    /// It deletes more than the share, and at least the least number, of a kind.
    Share,
    /// It deletes more rows of a kind than the number that was set.
    Count,
    /// It deletes all of a kind.
    All,
    /// With what was deleted in the last 24 hours it breaks the limit; by itself it does not.
    Recent,
    /// More users than the limit lose an e-mail that an id without it before now has.
    Moved,
}

/// One reason for which a plan is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldReason {
    /// The kind of row.
    pub kind: Entity,
    /// The rule.
    pub rule: HoldRule,
    /// The limit in words, such as `20 % and at least 10`, or `all of at least 2`.
    pub limit: String,
    /// How many rows would go.
    pub count: u64,
    /// Of how many.
    pub of: u64,
}

/// A record that was skipped or mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// Its kind.
    pub kind: Entity,
    /// The provider's id.
    pub external_id: String,
    /// Why.
    pub reason: String,
}

/// The reasons of a held plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// All that were found.
    pub reasons: Vec<HeldReason>,
}

/// The report of a run: the JSON of `sync`, on which scripts rely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// The run.
    pub run: RunId,
    /// What became of it.
    pub outcome: Outcome,
    /// How much it read.
    pub mode: Mode,
    /// Whether it was to stop after the plan.
    pub dry_run: bool,
    /// What it did to users.
    pub users: EntityCounts,
    /// What it did to groups.
    pub groups: EntityCounts,
    /// What it did to memberships.
    pub memberships: EntityCounts,
    /// Requests that the plugin sent.
    pub requests: u64,
    /// From the lease to the end.
    pub duration_ms: u64,
    /// For how long requests were held back because of the provider's limits.
    pub waited_ms: u64,
    /// The most memory that the plugin had.
    pub peak_memory_bytes: u64,
    /// The run whose staging it went on from.
    pub resumed_from: Option<RunId>,
    /// Of a run that went on from another one, when its oldest row was read: RFC 3339.
    pub oldest_read_at: Option<String>,
    /// Why the guard stopped its plan. Of a dry run, why it would: the outcome is `succeeded` all the same.
    pub held: Option<Held>,
    /// Why it failed or was cancelled.
    pub error: Option<Failure>,
    /// The plugin's remarks.
    pub notes: Vec<String>,
}
