//! The checklist that a verification is.

use serde::{Deserialize, Serialize};

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// A stable word for it.
    pub id: String,
    /// What is checked, as a statement that should be true.
    pub title: String,
    /// What became of it.
    pub outcome: CheckOutcome,
    /// What was seen.
    pub detail: String,
    /// What to do; empty where nothing is to be done.
    pub hint: String,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Every check, in the order in which they were made.
    pub checks: Vec<Check>,
    /// What identifies the org behind the settings. Shown to no one.
    pub org_id: Option<String>,
}

impl Verification {
    /// Whether syncing can work: no check failed, and there was one that passed.
    pub fn is_verified(&self) -> bool {
        self.checks
            .iter()
            .all(|c| matches!(c.outcome, CheckOutcome::Passed | CheckOutcome::Warning))
            && !self.checks.is_empty()
    }
}
