//! A directory that could be started, as it was when it was last looked at.

use std::collections::HashMap;
use std::time::Duration;

use idsync_model::{DirectoryId, UnixMillis};
use idsync_store::Scheduled;

use crate::due::{self, Due};

/// A directory that nobody runs.
pub(super) struct Idle {
    pub(super) scheduled: Scheduled,
    /// The lost lease that its run takes over.
    pub(super) takes_over: Option<u64>,
    /// It is left alone until this monotonic time.
    pub(super) rests_until: Duration,
}

impl Idle {
    /// A directory without a lease.
    pub(super) fn free(scheduled: Scheduled) -> Self {
        Self {
            scheduled,
            takes_over: None,
            rests_until: Duration::ZERO,
        }
    }

    pub(super) fn due(&self, now: UnixMillis) -> Due {
        match due::when(&self.scheduled.times, &self.scheduled.directory, now) {
            // The run that was interrupted is gone on with while what it read is still good.
            Due::At(_) if self.takes_over.is_some() => Due::Since(now),
            due => due,
        }
    }
}

/// The hosts of a directory, as far as they are known: those that are stored, else those that were told.
pub(super) fn hosts<'a>(
    told: &'a HashMap<DirectoryId, Option<Vec<String>>>,
    scheduled: &'a Scheduled,
) -> Option<&'a [String]> {
    let told = || told.get(&scheduled.directory)?.as_deref();
    scheduled.hosts.as_deref().or_else(told)
}
