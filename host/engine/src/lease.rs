//! Who runs a directory: the owner that a process is, whether another one still lives, and when a lease is lost.

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use idsync_model::{DirectoryId, OwnerId};
use idsync_store::Lease;

/// How often the owner of a lease beats.
pub const BEAT_EVERY: Duration = Duration::from_secs(10);

/// How long a beat must stand still before the lease is lost.
pub const LOST_AFTER: Duration = Duration::from_mins(1);

/// The file of an owner could not be made or locked.
#[derive(Debug, thiserror::Error)]
#[error("the lock file `{}` could not be used: check that its folder exists and can be written", path.display())]
pub struct OwnerError {
    /// The file, or the folder.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A process that runs directories. It holds a locked file, which the system frees when the process dies, however it
/// dies. Dropping it removes the file.
#[derive(Debug)]
pub struct Owner {
    id: OwnerId,
    folder: PathBuf,
    // Holding the file open is holding the lock.
    _file: File,
}

impl Owner {
    /// A new owner, whose file lies in `folder`, which is made where it is missing. Files of dead owners are removed.
    pub fn take(folder: &Path) -> Result<Self, OwnerError> {
        let failed = |path: &Path, source| OwnerError {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| failed(folder, source))?;
        remove_dead(folder);
        loop {
            let id = OwnerId::generate();
            let path = folder.join(id.as_str());
            if let Some(file) = lock_new(&path).map_err(|source| failed(&path, source))? {
                return Ok(Self {
                    id,
                    folder: folder.to_owned(),
                    _file: file,
                });
            }
        }
    }

    /// Its id. It is never used again.
    pub fn id(&self) -> &OwnerId {
        &self.id
    }

    /// The folder of the owners' files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the process of an owner still lives, as far as can be told: where its file can't be looked at, it does.
    pub fn is_alive(folder: &Path, owner: &OwnerId) -> bool {
        !is_free(&folder.join(owner.as_str()))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let path = self.folder.join(self.id.as_str());
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::debug!(path = %path.display(), %error, "an owner's file stays until the next process removes it");
        }
    }
}

/// Makes and locks a file. `None` where somebody who looks for dead owners took it for one before it was locked.
fn lock_new(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    lock(file)
}

fn lock(file: File) -> io::Result<Option<File>> {
    match file.try_lock() {
        // Without a name nobody would find the lock.
        Ok(()) => Ok((file.metadata()?.nlink() > 0).then_some(file)),
        // Whoever looks at it now removes it.
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether nobody holds an owner's file. The lock is only shared, so that two who look don't take each other for the
/// owner.
fn is_free(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => file.try_lock_shared().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Those of `owners` that are dead, as far as can be told. Their files may lie on a disk that is slow to answer, so that
/// they are looked at on a thread that may block.
pub(crate) async fn dead_of(folder: &Path, mut owners: HashSet<OwnerId>) -> HashSet<OwnerId> {
    if owners.is_empty() {
        return owners;
    }
    let folder = folder.to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        owners.retain(|owner| !Owner::is_alive(&folder, owner));
        owners
    });
    // Where the executor ends, it does not matter any more.
    looked.await.unwrap_or_default()
}

/// Removes the files of owners that died. Ids are never used again, so none is ever wanted.
fn remove_dead(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let is_owners = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.parse::<OwnerId>().is_ok());
        let path = entry.path();
        if !is_owners {
            continue;
        }
        // Locked while it is removed, so that one who has just made it sees that it was.
        if let Ok(file) = File::open(&path)
            && file.try_lock_shared().is_ok()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::debug!(path = %path.display(), %error, "the file of a dead owner stays");
        }
    }
}

/// Watches leases of other processes, to tell when one is lost. Time is the watcher's own and never goes back: what the
/// time of day says does not matter.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    seen: HashMap<DirectoryId, Seen>,
}

#[derive(Debug)]
struct Seen {
    fence: u64,
    beat: u64,
    since: Duration,
}

impl Watch {
    /// Watches the leases of the owners whose files lie in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            seen: HashMap::new(),
        }
    }

    /// Looks at a directory's lease, `now` by the watcher's monotonic clock. Answers whether it is lost: its owner
    /// died, or its beat stood still for [`LOST_AFTER`] while it was watched.
    pub fn is_lost(&mut self, directory: &DirectoryId, lease: &Lease, now: Duration) -> bool {
        self.stands_still(directory, lease, now) || !Owner::is_alive(&self.folder, &lease.owner)
    }

    /// Looks at a directory's lease. Answers whether its beat stood still for [`LOST_AFTER`] while it was watched.
    pub(crate) fn stands_still(&mut self, directory: &DirectoryId, lease: &Lease, now: Duration) -> bool {
        let stands_since = match self.seen.get(directory) {
            Some(seen) if (seen.fence, seen.beat) == (lease.fence, lease.beat) => seen.since,
            _ => {
                self.seen.insert(
                    directory.clone(),
                    Seen {
                        fence: lease.fence,
                        beat: lease.beat,
                        since: now,
                    },
                );
                now
            }
        };
        now.saturating_sub(stands_since) >= LOST_AFTER
    }

    /// Forgets all directories but those that `is_leased`.
    pub fn retain(&mut self, is_leased: impl Fn(&DirectoryId) -> bool) {
        self.seen.retain(|directory, _| is_leased(directory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use idsync_model::RunId;
    use std::os::unix::fs::PermissionsExt;

    fn a_lease(owner: &OwnerId) -> Lease {
        Lease {
            run: RunId::generate(),
            owner: owner.clone(),
            fence: 7,
            beat: 3,
        }
    }

    #[test]
    fn runs_6_3_an_owner_lives_until_its_process_ends() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::take(folder.path()).unwrap();
        let id = owner.id().clone();
        assert!(Owner::is_alive(folder.path(), &id));
        drop(owner);
        assert!(!Owner::is_alive(folder.path(), &id));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn runs_6_3_the_file_of_an_owner_that_was_killed_shows_it_dead_and_is_removed_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let killed = OwnerId::generate();
        std::fs::write(folder.path().join(killed.as_str()), "").unwrap();
        assert!(!Owner::is_alive(folder.path(), &killed));
        let _next = Owner::take(folder.path()).unwrap();
        assert!(!folder.path().join(killed.as_str()).exists());
        assert!(!Owner::is_alive(folder.path(), &killed));
    }

    #[test]
    fn runs_6_3_an_owner_leaves_the_files_of_the_living_and_of_others_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Owner::take(folder.path()).unwrap();
        std::fs::write(folder.path().join("note"), "").unwrap();
        let second = Owner::take(folder.path()).unwrap();
        assert!(Owner::is_alive(folder.path(), first.id()));
        drop(second);
        assert!(Owner::is_alive(folder.path(), first.id()));
        assert!(folder.path().join("note").exists());
    }

    #[test]
    fn runs_6_3_two_who_look_at_a_dead_owner_do_not_take_each_other_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let killed = OwnerId::generate();
        let path = folder.path().join(killed.as_str());
        std::fs::write(&path, "").unwrap();
        let looking = File::open(&path).unwrap();
        looking.try_lock_shared().unwrap();
        assert!(!Owner::is_alive(folder.path(), &killed));
    }

    #[test]
    fn runs_6_3_a_new_file_that_was_taken_for_a_dead_owners_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let looking = File::create_new(&path).unwrap();
        looking.try_lock_shared().unwrap();
        assert!(
            lock(File::open(&path).unwrap()).unwrap().is_none(),
            "before it is removed"
        );

        let new = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        drop(looking);
        assert!(lock(new).unwrap().is_none(), "after it was removed");
        assert!(lock_new(&path).unwrap().is_some());
    }

    #[test]
    fn nobody_else_can_read_what_it_makes() {
        let folder = tempfile::tempdir().unwrap();
        let locks = folder.path().join("locks");
        let owner = Owner::take(&locks).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&locks), 0o700);
        assert_eq!(mode(&locks.join(owner.id().as_str())), 0o600);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let error = Owner::take(&blocked).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }

    #[test]
    fn runs_6_3_a_lease_is_lost_when_its_beat_stood_still_for_60_s() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::take(folder.path()).unwrap();
        let directory = DirectoryId::generate();
        let mut watch = Watch::new(folder.path().to_owned());
        let mut lease = a_lease(owner.id());
        let start = Duration::from_secs(5_000);
        assert!(
            !watch.is_lost(&directory, &lease, start),
            "nothing was watched before"
        );
        assert!(!watch.is_lost(&directory, &lease, start + Duration::from_secs(59)));
        lease.beat += 1;
        assert!(!watch.is_lost(&directory, &lease, start + Duration::from_secs(61)));
        assert!(!watch.is_lost(&directory, &lease, start + Duration::from_mins(2)));
        assert!(watch.is_lost(&directory, &lease, start + Duration::from_secs(121)));
    }

    #[test]
    fn runs_6_3_a_lease_that_was_taken_over_is_watched_anew() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::take(folder.path()).unwrap();
        let directory = DirectoryId::generate();
        let mut watch = Watch::new(folder.path().to_owned());
        let mut lease = a_lease(owner.id());
        assert!(!watch.is_lost(&directory, &lease, Duration::ZERO));
        lease.fence += 1;
        assert!(!watch.is_lost(&directory, &lease, LOST_AFTER));
        watch.retain(|_| false);
        assert!(!watch.is_lost(&directory, &lease, LOST_AFTER * 3));
    }

    #[test]
    fn runs_6_3_a_lease_is_lost_at_once_when_its_owners_file_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::take(folder.path()).unwrap();
        let lease = a_lease(owner.id());
        let directory = DirectoryId::generate();
        let mut watch = Watch::new(folder.path().to_owned());
        assert!(!watch.is_lost(&directory, &lease, Duration::ZERO));
        drop(owner);
        assert!(watch.is_lost(&directory, &lease, Duration::ZERO));
    }
}
