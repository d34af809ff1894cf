//! What a plugin's call used, and what it said of the next run.

use std::time::Duration;

use idsync_model::{SyncEnd, Wake};
use idsync_store::RunFacts;

use crate::again::{Attempt, AttemptEnd};

/// What is known of a run once its plugin has ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spent {
    pub(crate) facts: RunFacts,
    wake: Option<Wake>,
    host_minus_provider_ms: i64,
}

impl Spent {
    pub(crate) fn of(end: &SyncEnd) -> Self {
        let usage = &end.usage;
        Self {
            facts: RunFacts {
                requests: usage.requests,
                waited: end
                    .result
                    .as_ref()
                    .map_or(Duration::ZERO, |summary| summary.waited),
                cpu: usage.cpu,
                peak_memory_bytes: usage.peak_memory_bytes,
                provider_time: usage.provider_time.map(|time| time.provider),
                ..RunFacts::default()
            },
            wake: usage.wake.clone(),
            host_minus_provider_ms: usage
                .provider_time
                .map_or(0, |time| time.host.0.saturating_sub(time.provider.0)),
        }
    }

    /// The run with this end.
    pub(crate) fn attempt<'a>(&'a self, end: AttemptEnd<'a>) -> Attempt<'a> {
        Attempt {
            end,
            wake: self.wake.as_ref(),
            host_minus_provider_ms: self.host_minus_provider_ms,
        }
    }
}
