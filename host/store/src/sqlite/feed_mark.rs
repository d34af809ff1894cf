//! Knows a store that is an older copy of itself: its readers would go on from numbers that it gives out a second time,
//! so that their feeds begin anew.
//!
//! A store is the one that its readers know when its file lies where it lay, was not made as a backup, and has the token
//! of its last apply, which stands in `feed.mark` beside it too. An apply writes the mark before it commits, as the
//! token that is and the one that will be, so that whichever the commit leaves is known.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::{Connection, Transaction, TransactionBehavior, named_params};
use uuid::Uuid;

use super::connection::BUSY_TIMEOUT;
use super::files::make_private;
use crate::StoreError;

/// How long settling the mark after an apply waits for other writers: whoever applies settles it as well.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

/// The tokens of which the store has one: two while an apply is being committed, one otherwise.
#[derive(Debug, PartialEq, Eq)]
struct Mark(Vec<String>);

impl Mark {
    fn path(store: &Path) -> PathBuf {
        store.with_file_name("feed.mark")
    }

    fn read(store: &Path) -> Result<Self, StoreError> {
        let path = Self::path(store);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self(text.split_whitespace().map(str::to_owned).collect())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(Vec::new())),
            Err(source) => Err(StoreError::File {
                action: "reading",
                path,
                source,
            }),
        }
    }

    /// Puts it in the place of the last one; it is on the disk when this returns. Only who holds the store's write lock
    /// may write it.
    fn write(&self, store: &Path) -> Result<(), StoreError> {
        let path = Self::path(store);
        let new = store.with_file_name("feed.mark.new");
        let text = format!("{}\n", self.0.join(" "));
        let folder = store.parent().unwrap_or(Path::new("."));
        let mut file = make_private(&new)?;
        file.set_len(0)
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|source| StoreError::File {
                action: "writing",
                path,
                source,
            })
    }

    fn has(&self, token: Option<&str>) -> bool {
        match token {
            Some(token) => self.0.iter().any(|known| known == token),
            // Nothing was ever applied: then there is no mark, or the one of a first apply that was not committed.
            None => self.0.is_empty() || self.0[0] == NO_TOKEN,
        }
    }
}

/// Stands in a mark for the token of a store that was never applied to.
const NO_TOKEN: &str = "-";

/// What a store says of itself.
struct Known {
    place: Option<String>,
    token: Option<String>,
    is_backup: bool,
}

impl Known {
    fn read(connection: &Connection) -> Result<Self, StoreError> {
        let known = connection
            .prepare_cached("SELECT place, apply_token, is_backup FROM store")?
            .query_row([], |row| {
                Ok(Self {
                    place: row.get(0)?,
                    token: row.get(1)?,
                    is_backup: row.get(2)?,
                })
            })?;
        Ok(known)
    }

    /// Why the store is not the one that readers know.
    fn stranger(&self, place: &str, mark: &Mark) -> Option<&'static str> {
        if self.is_backup {
            Some("the store was restored from a backup")
        } else if self.place.as_ref().is_some_and(|known| known != place) {
            Some("the store's file was copied or moved to another place")
        } else if !mark.has(self.token.as_deref()) {
            Some("the store's file is older or newer than the mark beside it")
        } else {
            None
        }
    }
}

/// Where a file is: no two files share it, and one keeps it as long as it lives. Numbers of devices may be other ones
/// after a restart, so they count only where the file system does not tell when the file was made.
fn place(store: &Path) -> Result<String, StoreError> {
    let failed = |source| StoreError::File {
        action: "looking at",
        path: store.to_owned(),
        source,
    };
    let metadata = fs::metadata(store).map_err(failed)?;
    let made = metadata
        .created()
        .ok()
        .and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    Ok(match made {
        Some(made) => format!("{} made {}", metadata.ino(), made.as_nanos()),
        None => format!("{} on {}", metadata.ino(), metadata.dev()),
    })
}

fn path_of(connection: &Connection) -> Result<PathBuf, StoreError> {
    connection
        .path()
        .map(PathBuf::from)
        .ok_or_else(|| StoreError::File {
            action: "finding",
            path: PathBuf::new(),
            source: io::ErrorKind::NotFound.into(),
        })
}

/// At the opening of a store: its feeds go on when it is the one that readers know, and begin anew otherwise.
pub(super) fn go_on_or_begin_anew(connection: &mut Connection, store: &Path) -> Result<(), StoreError> {
    let place = place(store)?;
    let known = Known::read(connection)?;
    let mark = Mark::read(store)?;
    if known.place.is_some() && known.stranger(&place, &mark).is_none() {
        if mark.0.len() > 1 {
            // Mostly an apply is being committed, which settles it.
            settle_within(connection, Duration::ZERO);
        }
        return Ok(());
    }
    // Whoever commits an apply meanwhile writes mark and store one after the other: look again while nobody can.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = Known::read(&transaction)?;
    if let Some(why) = known.stranger(&place, &Mark::read(store)?) {
        begin_anew(&transaction, store)?;
        tracing::warn!(
            why,
            "the change feeds of all tenants begin anew: readers must export again"
        );
    }
    transaction
        .prepare_cached("UPDATE store SET place = :place")?
        .execute(named_params! { ":place": place })?;
    transaction.commit()?;
    Ok(())
}

fn begin_anew(transaction: &Transaction<'_>, store: &Path) -> Result<(), StoreError> {
    // Of a feed that never had a change nobody has a number.
    const FEEDS: &str = "
        UPDATE tenant
        SET feed_id = lower(hex(randomblob(16))), feed_renewed = feed_renewed OR last_seq > 0";
    const OURS: &str = "
        UPDATE store
        SET is_backup = 0, apply_token = :token";
    let token = Uuid::new_v4().simple().to_string();
    transaction.prepare_cached(FEEDS)?.execute([])?;
    transaction
        .prepare_cached(OURS)?
        .execute(named_params! { ":token": token })?;
    // Where the commit is lost, the store does not have this token, and its feeds begin anew once more.
    Mark(vec![token]).write(store)
}

/// Before an apply commits: gives the store a new token, and says so beside it.
pub(super) fn announce(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let store = path_of(transaction)?;
    let old = Known::read(transaction)?.token.unwrap_or(NO_TOKEN.to_owned());
    let new = Uuid::new_v4().simple().to_string();
    transaction
        .prepare_cached("UPDATE store SET apply_token = :token")?
        .execute(named_params! { ":token": new })?;
    Mark(vec![old, new]).write(&store)
}

/// After an apply was committed: the mark names its token alone, so that the store as it was before is known for an
/// older one. What can't be settled now is settled by the next apply or opening.
pub(super) fn settle(connection: &mut Connection) {
    settle_within(connection, SETTLE_TIMEOUT);
}

fn settle_within(connection: &mut Connection, timeout: Duration) {
    let mut settled = || -> Result<(), StoreError> {
        connection.busy_timeout(timeout)?;
        let store = path_of(connection)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let token = Known::read(&transaction)?.token;
        let mark = Mark::read(&store)?;
        if mark.0.len() > 1 && mark.has(token.as_deref()) {
            Mark(vec![token.unwrap_or(NO_TOKEN.to_owned())]).write(&store)?;
        }
        Ok(())
    };
    match settled() {
        Ok(()) | Err(StoreError::Locked(_)) => {}
        Err(error) => tracing::warn!(%error, "the mark beside the store could not be settled"),
    }
    if let Err(error) = connection.busy_timeout(BUSY_TIMEOUT) {
        tracing::warn!(%error, "the store's wait for other writers could not be set");
    }
}
