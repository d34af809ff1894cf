//! What `verify`, `sync` and `explain` report.

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is as it must be.
    Passed,
    /// It works, but something should be looked at.
    Warning,
    /// Syncing can't work until this is mended.
    Failed,
    /// It could not be looked at.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A stable word for it.
    pub id: &'static str,
    /// What is checked, as a statement that should be true.
    pub title: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What was seen.
    pub detail: String,
    /// What to do; empty where nothing is to be done.
    pub hint: String,
}

impl Check {
    /// A check in which all is as it must be.
    pub fn passed(id: &'static str, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(id, title, Outcome::Passed, detail, "")
    }

    /// A check that failed.
    pub fn failed(
        id: &'static str,
        title: impl Into<String>,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::new(id, title, Outcome::Failed, detail, hint)
    }

    /// A check with any outcome.
    pub fn new(
        id: &'static str,
        title: impl Into<String>,
        outcome: Outcome,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            id,
            title: title.into(),
            outcome,
            detail: detail.into(),
            hint: hint.into(),
        }
    }
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Every check, in the order in which they were made.
    pub checks: Vec<Check>,
    /// The org's id at Okta.
    pub org_id: Option<String>,
    /// The ids of the apps that would be read.
    pub scope: Vec<String>,
}

/// How much must be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Full,
    /// Users and groups entire, members only where the host asks for them.
    Incremental,
}

/// What a run is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// How much must be read.
    pub mode: Mode,
    /// The state of the checkpoint to go on from.
    pub resume: Option<Vec<u8>>,
    /// The org that must answer.
    pub expected_org: Option<String>,
}

/// What a run has done, besides what it put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncSummary {
    /// Requests that were sent, retries included.
    pub requests: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Milliseconds for which requests were held back because of Okta's limits.
    pub waited_ms: u64,
    /// Remarks for the admin.
    pub notes: Vec<String>,
}
