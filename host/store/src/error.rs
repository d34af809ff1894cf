//! Why the store refused or failed, with what to do about it.

use std::fmt;
use std::path::PathBuf;

use idsync_model::{ExternalId, FeedCursor, Outcome, RunId, TenantName};

use crate::{Lease, StaleWhy};

/// Why a reader's position in the change feed can't be gone on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionRefused {
    /// It is of a feed that the tenant had before its store was restored.
    AnotherFeed,
    /// It is a number alone, and the tenant had another feed before its store was restored.
    UnnamedFeed,
    /// No change has that number yet.
    Beyond {
        /// The number of the tenant's last change.
        last: u64,
    },
    /// Changes after it are no longer kept.
    Purged {
        /// The earliest position that can be gone on from.
        earliest: u64,
    },
}

impl fmt::Display for PositionRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnotherFeed => f.write_str("it is of another feed than the present one"),
            Self::UnnamedFeed => f.write_str(
                "the store was restored once, and a number alone may be of the feed before; a reader that knows its \
                 feed goes on with `NUMBER@FEED`",
            ),
            Self::Beyond { last } => write!(f, "the last change is number {last}"),
            Self::Purged { earliest } => {
                write!(f, "changes are kept only from position {earliest} on")
            }
        }
    }
}

/// What went wrong. One variant for each thing that a caller does differently.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such tenant.
    #[error("there is no tenant `{0}`; `idsync tenant list` shows those that exist")]
    UnknownTenant(TenantName),
    /// The tenant has no such directory. Another tenant's directory is answered the same way.
    #[error(
        "there is no directory `{id_or_name}` in this tenant; `idsync directory list` shows those that exist"
    )]
    UnknownDirectory {
        /// What was asked for.
        id_or_name: String,
    },
    /// The tenant has no such run. Another tenant's run is answered the same way.
    #[error("there is no run `{run}` in this tenant; `idsync run list` shows those that exist")]
    UnknownRun {
        /// What was asked for.
        run: String,
    },
    /// The name belongs to another tenant or directory.
    #[error("the name `{name}` is taken; choose another one")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The tenant still has directories.
    #[error("tenant `{tenant}` still has {directories} directories; remove these first")]
    TenantNotEmpty {
        /// The tenant.
        tenant: TenantName,
        /// How many it has.
        directories: u64,
    },
    /// The settings are not those that the new ones were made from.
    #[error("the settings were changed meanwhile; look at them and set again")]
    SettingsChanged,
    /// Another directory of the tenant syncs the same part of the same org.
    #[error(
        "recording the verification failed because directory `{directory}` syncs the same part of the same org; name \
         another app, or remove one of the two"
    )]
    SameScope {
        /// The other directory's name.
        directory: String,
    },
    /// The directory has a second key that was not verified yet.
    #[error(
        "adding a key failed because key {kid} waits to be verified already; verify it, or drop it with \
         `idsync directory rotate-key --abort`"
    )]
    NextKeyWaits {
        /// The key that waits.
        kid: String,
    },
    /// The directory has no second key.
    #[error("dropping the next key failed because there is none; `idsync directory rotate-key` makes one")]
    NoNextKey,
    /// Changes can't be read on from a position.
    #[error(
        "reading the changes after {asked} failed: {why}; export again, and go on from the export's last line"
    )]
    FeedPosition {
        /// The position.
        asked: FeedCursor,
        /// What is wrong with it.
        why: PositionRefused,
    },
    /// The file that a backup was to be written to exists.
    #[error("the backup was not written because {} exists already; name a new file", path.display())]
    BackupExists {
        /// The file.
        path: PathBuf,
    },
    /// The directory was changed by another apply, removal or disabling since the plan was begun.
    #[error(
        "the plan of {run} was made at generation {planned} of its directory, which is at {found} now; sync again"
    )]
    Stale {
        /// The run whose plan it is.
        run: RunId,
        /// The generation that the run began at.
        planned: u64,
        /// The present one.
        found: u64,
    },
    /// The run has ended already, so that nothing can be written for it.
    #[error("{run} has ended already and can write nothing more; sync again")]
    RunEnded {
        /// The run.
        run: RunId,
    },
    /// Another run has the directory.
    #[error("the directory is being synced already, by {}; wait until that run has ended", lease.run)]
    Leased {
        /// Who runs it.
        lease: Lease,
    },
    /// The run lost the directory to a later lease, so that nothing can be written for it.
    #[error("{run} lost its directory to another run and can write nothing more; sync again")]
    LeaseLost {
        /// The run.
        run: RunId,
    },
    /// There is no held plan to answer.
    #[error(
        "{run} has no plan that waits for an answer, because it {}; `idsync run list` shows the runs that are held",
        .outcome.map_or("is in progress".to_owned(), |outcome| format!("ended as {}", outcome.as_str()))
    )]
    NotHeld {
        /// The run.
        run: RunId,
        /// What became of it; `None` while it runs.
        outcome: Option<Outcome>,
    },
    /// A held plan is no longer one that can be applied.
    #[error("approving the plan of {run} was refused because {why}; sync again and look at the new plan")]
    StalePlan {
        /// The run whose plan it is.
        run: RunId,
        /// Why.
        why: StaleWhy,
    },
    /// A newer run took the place of a held one, and does more than that one would have.
    #[error(
        "the plan of {run} can't be answered any more, because {by} took its place; look at that one with \
         `idsync run show {by}`"
    )]
    SupersededBy {
        /// The run.
        run: RunId,
        /// The newer run: the one that is held now, if there is one.
        by: RunId,
    },
    /// Members were put for a group that was not. The plugin's contract rules it out.
    #[error("members were put for group `{group}`, which was not put itself; put the group first")]
    GroupNotPut {
        /// The group.
        group: ExternalId,
    },
    /// A page of members was put for a list that has no first page, or is closed. The contract rules it out.
    #[error(
        "a page of members was put for group `{group}`, whose list is not open; begin with its first page"
    )]
    ListNotOpen {
        /// The group.
        group: ExternalId,
    },
    /// A run names more users, be it only in lists.
    #[error("the run names more than {limit} users")]
    TooManyPeople {
        /// As many one run may name.
        limit: u64,
    },
    /// The values that a directory keeps would be too large.
    #[error(
        "the values kept for this directory would take {bytes} bytes, and {limit} are allowed; keep less"
    )]
    VaultFull {
        /// What all would take.
        bytes: u64,
        /// What they may.
        limit: u64,
    },
    /// The store was written by a later version of idsync.
    #[error(
        "the store {} has version {found}, and this idsync knows versions up to {known}; use the idsync that wrote it, \
         or a later one",
        path.display()
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest that is known.
        known: i64,
    },
    /// The file is no store of idsync.
    #[error("{} is not an idsync store; point --data-dir at another directory", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The data directory can't be written.
    #[error(
        "the data directory can't be written at {}; give its owner write access, or choose another --data-dir",
        path.display()
    )]
    NotWritable {
        /// What could not be written.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The data directory belongs to somebody else, or others can write to it.
    #[error(
        "the data directory {} is not this user's alone: others own it or can write to it; run `chmod go-w` on it, or choose another --data-dir",
        path.display()
    )]
    OthersCanWrite {
        /// The directory.
        path: PathBuf,
    },
    /// A kept plan is not what was written.
    #[error("the kept plan {} is damaged and can't be used; sync again to make a new one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("writing to the store failed because the disk is full; free some space and try again")]
    Full(#[source] rusqlite::Error),
    /// Another process holds the store for longer than is waited for.
    #[error("the store is locked by another process; try again when that one is done")]
    Locked(#[source] rusqlite::Error),
    /// The database failed otherwise.
    #[error(
        "the store failed; nothing that was applied is lost, so try again, and report it if it happens again"
    )]
    Sqlite(#[source] rusqlite::Error),
    /// A file beside the database failed.
    #[error("{action} {} failed; look at the disk and the access rights of the data directory", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Whoever receives an export could not take a row.
    #[error("writing the exported rows failed; look at where they are written to")]
    Sink(#[source] std::io::Error),
    /// The staging of the run is closed or lost.
    #[error("the staging of {run} can't be written any more; sync again")]
    StagingClosed {
        /// The run.
        run: RunId,
    },
    /// The process is about to end.
    #[error("the store takes no more work because the process is about to end; start it again")]
    ShuttingDown,
    /// A stored value is not what this version writes.
    #[error("the store holds {what} that can't be read; restore it from a backup")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Why it can't be read.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What SQLite says when there is no space for the file that its readers share, `-shm` (sqlite.org/rescode.html).
const NO_SPACE_TO_READ: i32 = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error().map(|error| error.extended_code) == Some(NO_SPACE_TO_READ) {
            return Self::Full(error);
        }
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full(error),
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                Self::Locked(error)
            }
            _ => Self::Sqlite(error),
        }
    }
}
