//! Why a run stops before its end, in words for those who run it.

use idsync_model::{ErrorKind, Failure};
use idsync_store::{RunFacts, StoreError};

use crate::staging::with_causes;

/// Why a run stops before its end, and what is known of it by then.
#[derive(Debug)]
pub(crate) struct Halt {
    pub(crate) failure: Failure,
    pub(crate) facts: RunFacts,
}

impl Halt {
    /// A stop before anything is known.
    pub(crate) fn early(failure: Failure) -> Self {
        Self {
            failure,
            facts: RunFacts::default(),
        }
    }
}

pub(crate) const HOST_HINT: &str =
    "Look at the disk of the data directory and at idsync's log, then sync again.";
pub(crate) const PLUGIN_HINT: &str =
    "This is a fault of the plugin: tell its author, with the log of the run.";

pub(crate) fn store_failure(stage: &str, error: &StoreError) -> Failure {
    match error {
        StoreError::UnknownDirectory { .. } | StoreError::RunEnded { .. } => removed(),
        other => Failure::new(ErrorKind::Host, stage, with_causes(other), HOST_HINT),
    }
}

pub(crate) fn late_breach(error: &StoreError) -> Failure {
    Failure::new(
        ErrorKind::Plugin,
        "staging",
        format!("the plugin broke its contract: {error}"),
        PLUGIN_HINT,
    )
}

pub(crate) fn cancelled(stage: &str) -> Failure {
    Failure::new(
        ErrorKind::Cancelled,
        stage,
        "the run was cancelled before anything was changed",
        "Sync again when it suits.",
    )
}

pub(crate) fn removed() -> Failure {
    Failure::new(
        ErrorKind::Cancelled,
        "read",
        "the directory was removed while it was read",
        "",
    )
}
