//! Why a run stops before its end, in words for those who run it.

use idsync_model::{ErrorKind, Failure, with_causes};
use idsync_store::StoreError;

use crate::spent::Spent;
use crate::text;

/// Why a run stops before its end, and what is known of it by then.
#[derive(Debug)]
pub(crate) struct Halt {
    pub(crate) failure: Failure,
    pub(crate) spent: Spent,
    /// Whether the next run may go on from its last checkpoint.
    pub(crate) keeps_staging: bool,
}

impl Halt {
    /// A stop before anything is known.
    pub(crate) fn early(failure: Failure) -> Self {
        Self::after(failure, Spent::default())
    }

    /// A stop after which the next run reads everything again.
    pub(crate) fn after(failure: Failure, spent: Spent) -> Self {
        Self {
            failure,
            spent,
            keeps_staging: false,
        }
    }
}

/// What to do about the host's own faults.
pub(crate) const HOST_HINT: &str =
    "Look at the disk of the data directory and at idsync's log, then sync again.";
/// What to do about a plugin's faults.
pub(crate) const PLUGIN_HINT: &str =
    "This is a fault of the plugin: tell its author, with the log of the run.";

/// A failure of the store: the host's, unless something else was done with the directory meanwhile.
pub(crate) fn store_failure(stage: &str, error: &StoreError) -> Failure {
    match error {
        StoreError::UnknownDirectory { .. } => removed(),
        StoreError::RunEnded { .. } => ended(stage),
        StoreError::LeaseLost { .. } => taken_over(stage),
        StoreError::Stale { .. } => Failure::new(
            ErrorKind::Cancelled,
            stage,
            "the directory was changed while the plan was made",
            "Nothing was changed. Sync again.",
        ),
        other => {
            // Some errors of the database quote a whole statement.
            let mut summary = with_causes(other);
            text::cut(&mut summary);
            Failure::new(ErrorKind::Host, stage, summary, HOST_HINT)
        }
    }
}

/// A breach of the contract that the staging's writer found.
pub(crate) fn late_breach(error: &StoreError) -> Failure {
    Failure::new(
        ErrorKind::Plugin,
        "staging",
        format!("the plugin broke its contract: {error}"),
        PLUGIN_HINT,
    )
}

/// A person or the host ended the run.
pub(crate) fn cancelled(stage: &str) -> Failure {
    Failure::new(
        ErrorKind::Cancelled,
        stage,
        "the run was cancelled before anything was changed",
        "Sync again when it suits.",
    )
}

/// The process that runs it is about to end.
pub(crate) fn stopped(stage: &str) -> Failure {
    Failure::new(
        ErrorKind::Cancelled,
        stage,
        "the run was stopped with its process before anything was changed",
        "The next run goes on from the last checkpoint, where that is younger than an hour.",
    )
}

/// Another process has the lease, because this one seemed to be dead.
pub(crate) fn taken_over(stage: &str) -> Failure {
    Failure::new(
        ErrorKind::Cancelled,
        stage,
        "another process took the run over, because nothing was heard of this one for too long",
        "Nothing was changed by this run. When that is a surprise, look at what held this process up: a full disk, a \
         machine that slept, another clock.",
    )
}

/// Something was applied while an incremental run read, so that what it left unread may not be what is stored.
pub(crate) fn overtaken(stage: &str) -> Failure {
    Failure::new(
        ErrorKind::Cancelled,
        stage,
        "the directory was changed while only what had changed before was read",
        "Nothing was changed. Sync again.",
    )
}

/// Something else ended the run: the removal or the disabling of its directory. The store knows which, and its word
/// goes before this one.
pub(crate) fn ended(stage: &str) -> Failure {
    Failure::new(
        ErrorKind::Cancelled,
        stage,
        "the run was ended by something else before it was done",
        "Nothing was changed.",
    )
}

/// There is no directory any more that could be synced.
pub(crate) fn removed() -> Failure {
    Failure::new(
        ErrorKind::Cancelled,
        "read",
        "the directory was removed while it was read",
        "",
    )
}
