//! When a directory runs next, how its runs fail now, and what the end of a run makes of both.

use std::time::Duration;

use idsync_model::{DirectoryId, ErrorKind, Failure, TenantName, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::Lease;

/// What decides when a directory runs next. All times are the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// The schedule: this long after the begin of the last run.
    pub every: Duration,
    /// When the last run began that was no dry run.
    pub last_began_at: Option<UnixMillis>,
    /// A try before the schedule's time.
    pub next_try_at: Option<UnixMillis>,
    /// What the provider asked for.
    pub not_before: Option<NotBefore>,
    /// Whether a run must come at once.
    pub is_due: bool,
}

/// A provider's wish that the next run begin no earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotBefore {
    /// When, by the host's clock.
    pub at: UnixMillis,
    /// Why, as admins read it.
    pub reason: String,
}

/// How a directory's runs fail now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The last failure.
    pub failure: Failure,
    /// When the first run of the row failed.
    pub since: UnixMillis,
    /// When the last one did.
    pub last: UnixMillis,
    /// How many failed one after the other.
    pub in_a_row: u32,
    /// The row that may disable the directory.
    pub row: Option<KindRow>,
}

/// Failures of one kind, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindRow {
    /// The kind.
    pub kind: ErrorKind,
    /// When the first one was seen.
    pub first: UnixMillis,
    /// When the last one was.
    pub last: UnixMillis,
    /// How many.
    pub count: u32,
}

/// What the end of a run does to its directory, in the transaction that ends it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aftermath {
    /// How its runs fail now. `None` after a success and after a hold.
    pub failing: Option<Failing>,
    /// A try before the schedule's time.
    pub next_try_at: Option<UnixMillis>,
    /// What the provider asked for.
    pub not_before: Option<NotBefore>,
    /// Whether the next run follows at once. One that was asked for during the run follows all the same.
    pub is_due: bool,
    /// Disables an active directory for failures of this kind.
    pub disable: Option<ErrorKind>,
}

/// An active directory, as whoever starts its runs sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Its tenant.
    pub tenant: TenantName,
    /// Its id.
    pub directory: DirectoryId,
    /// The kind of provider.
    pub provider: String,
    /// The hosts that its verified settings reach, each as `HOST:PORT`. Unknown where the verification is older than
    /// their keeping.
    pub hosts: Option<Vec<String>>,
    /// What decides when it runs next.
    pub times: Times,
    /// Who runs it now.
    pub lease: Option<Lease>,
}
