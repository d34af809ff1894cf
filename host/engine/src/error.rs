//! Why there is no run, or no record of its end. What goes wrong within a run stands in its report.

use idsync_model::{Failure, RunId, UnixMillis};
use idsync_store::StoreError;

use crate::lease::OwnerError;

/// What prevents a run, a verification or a removal.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another run has the directory's lease, in this process or in another one.
    #[error(
        "directory `{name}` can't be synced now: {run} has been doing that since {since}; wait until it has ended, or \
         end it with `idsync run cancel {run}`"
    )]
    Busy {
        /// The directory's name.
        name: String,
        /// The run.
        run: RunId,
        /// When it began.
        since: UnixMillis,
    },
    /// The process could not become an owner of leases.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The directory was never verified, so there are no settings to sync with.
    #[error("directory `{name}` can't be synced before it is verified: run `idsync directory verify {name}`")]
    NotVerified {
        /// The directory's name.
        name: String,
    },
    /// The store refused or failed before there was a run.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plugin could not be asked to verify, or broke while it did.
    #[error(transparent)]
    Plugin(Box<Failure>),
    /// The run's end could not be stored. Nothing that readers see was changed; the next run records this one as
    /// failed.
    #[error("{run} failed ({}), and this could not be stored; mend the store and sync again", .failure.summary)]
    Unrecorded {
        /// The run.
        run: RunId,
        /// Why it failed.
        failure: Box<Failure>,
        /// Why its end could not be stored.
        #[source]
        source: StoreError,
    },
    /// The store shows a run that has ended as one that has not: a fault of idsync.
    #[error("the store shows no end of {run}, which has ended; please report this with the log")]
    Unended {
        /// The run.
        run: RunId,
    },
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        Self::Plugin(Box::new(failure))
    }
}
