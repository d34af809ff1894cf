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
    /// The ids of the parts of the org that the settings sync (Okta: apps). Empty: all of it.
    pub scope: Vec<String>,
}

impl Verification {
    /// Whether syncing can work: no check failed, and there was one that passed.
    pub fn is_verified(&self) -> bool {
        let has = |outcome| self.checks.iter().any(|check| check.outcome == outcome);
        !has(CheckOutcome::Failed) && has(CheckOutcome::Passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verification(outcomes: &[CheckOutcome]) -> Verification {
        let check = |outcome: &CheckOutcome| Check {
            id: "token".to_owned(),
            title: "A token is issued".to_owned(),
            outcome: *outcome,
            detail: String::new(),
            hint: String::new(),
        };
        Verification {
            checks: outcomes.iter().map(check).collect(),
            org_id: None,
            scope: Vec::new(),
        }
    }

    #[test]
    fn what_could_not_be_looked_at_does_not_stand_in_the_way() {
        use CheckOutcome::{Failed, Passed, Skipped, Warning};
        assert!(verification(&[Passed, Skipped, Warning]).is_verified());
        assert!(!verification(&[Passed, Failed]).is_verified());
        assert!(!verification(&[Warning, Skipped]).is_verified());
        assert!(!verification(&[]).is_verified());
    }
}
