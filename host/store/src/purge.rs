//! What a purge is told, and what it tells.

use std::time::Duration;

use serde::Serialize;

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeOrder {
    /// Rows that readers see no longer: within this time a return is the same row (RUNS §3.2).
    pub tombstones: Duration,
    /// Changes, by the end of the run that made them. `None`: as long as was set with the store, else 30 days.
    pub changes: Option<Duration>,
}

impl Default for PurgeOrder {
    fn default() -> Self {
        Self {
            tombstones: Duration::from_hours(30 * 24),
            changes: None,
        }
    }
}

/// What a purge erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Tombstones of users.
    pub users: u64,
    /// Tombstones of groups.
    pub groups: u64,
    /// Ids of users and groups that nothing named any more.
    pub identities: u64,
    /// Changes.
    pub changes: u64,
    /// Runs.
    pub runs: u64,
    /// Files of plans and stagings whose run is gone.
    pub files: u64,
}
