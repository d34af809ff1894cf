//! The files of a data directory: where each lies, and that only their owner can read them.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use idsync_model::RunId;
use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::StoreError;

/// A data directory that exists and can be written.
#[derive(Debug, Clone)]
pub(super) struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Takes a data directory, and makes it (mode 0700) where there is none.
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        make_dir(root)?;
        let root = root.canonicalize().map_err(|source| StoreError::File {
            action: "finding",
            path: root.to_owned(),
            source,
        })?;
        let directory = Self { root };
        make_dir(&directory.root.join("staging"))?;
        make_dir(&directory.root.join("held"))?;
        Ok(directory)
    }

    /// The store itself.
    pub(super) fn database(&self) -> PathBuf {
        self.root.join("idsync.db")
    }

    /// Held while the store is made or brought up to a newer version.
    pub(super) fn upgrade_lock(&self) -> PathBuf {
        self.root.join("idsync.db.lock")
    }

    /// The copy that is made before the store leaves a version.
    pub(super) fn copy_of_version(&self, version: i64) -> PathBuf {
        self.root.join(format!("idsync.db.version-{version}"))
    }

    /// What a run reads, and its plan.
    pub(super) fn staging(&self, run: &RunId) -> PathBuf {
        self.root.join("staging").join(format!("{run}.db"))
    }

    /// The runs that have a file of what they read, be it only its journal.
    pub(super) fn staged_runs(&self) -> Result<HashSet<RunId>, StoreError> {
        runs_in(&self.root.join("staging"))
    }

    /// The runs that have a file of a kept plan, be it only its journal.
    pub(super) fn held_runs(&self) -> Result<HashSet<RunId>, StoreError> {
        runs_in(&self.root.join("held"))
    }

    /// What a run read once its plan is held.
    pub(super) fn held(&self, run: &RunId) -> PathBuf {
        self.root.join("held").join(format!("{run}.db"))
    }

    /// Makes the change of names in `held` outlast a loss of power.
    pub(super) fn sync_held(&self) -> Result<(), StoreError> {
        let path = self.root.join("held");
        File::open(&path)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| StoreError::File {
                action: "syncing",
                path,
                source,
            })
    }
}

/// Makes a directory with mode 0700, or refuses one that can't be written. A directory that lacks every right to write
/// was made so on purpose, and stays so even for root.
fn make_dir(path: &Path) -> Result<(), StoreError> {
    let not_writable = |source| StoreError::NotWritable {
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => Err(not_writable(io::ErrorKind::NotADirectory.into())),
        Ok(metadata) if metadata.permissions().readonly() => {
            Err(not_writable(io::ErrorKind::PermissionDenied.into()))
        }
        // Whoever can write here could put a key or a store of his own in place of ours.
        Ok(metadata) if metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o022 != 0 => {
            Err(StoreError::OthersCanWrite {
                path: path.to_owned(),
            })
        }
        Ok(_) => Ok(()),
        Err(_) => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(not_writable),
    }
}

/// Makes sure that a file exists, can be written, and has mode 0600. SQLite gives its journals the same mode.
pub(super) fn make_private(path: &Path) -> Result<File, StoreError> {
    let not_writable = |source| StoreError::NotWritable {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).is_ok_and(|metadata| metadata.permissions().readonly()) {
        return Err(not_writable(io::ErrorKind::PermissionDenied.into()));
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(not_writable)?;
    let mode = file.metadata().map_err(not_writable)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .map_err(not_writable)?;
    }
    Ok(file)
}

/// What follows the name of a database file in the name that it has while it is written.
const UNFINISHED: &str = "-new";

/// What follows the name of a database file in the names of those that go with it.
const BESIDE: [&str; 4] = ["-journal", "-wal", "-shm", UNFINISHED];

/// Whether a journal lies beside a database file: who opens it would change the file first.
pub(super) fn has_journal(path: &Path) -> bool {
    let is_there = |suffix: &&str| fs::symlink_metadata(with_suffix(path, suffix)).is_ok();
    BESIDE.iter().any(is_there)
}

/// Where a database file lies until all of it is written.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    with_suffix(path, UNFINISHED)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn runs_in(folder: &Path) -> Result<HashSet<RunId>, StoreError> {
    let failed = |source| StoreError::File {
        action: "listing",
        path: folder.to_owned(),
        source,
    };
    let mut runs = HashSet::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        runs.extend(name.to_str().and_then(run_of));
    }
    Ok(runs)
}

/// The run whose database, or what goes with it, has this name.
fn run_of(name: &str) -> Option<RunId> {
    let database = BESIDE
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    database.strip_suffix(".db")?.parse().ok()
}

/// Removes a database file with what goes with it. What is not there need not go; what can't be removed is said in the log
/// and harms nothing.
pub(super) fn remove_database(path: &Path) {
    for suffix in [""].into_iter().chain(BESIDE) {
        match fs::remove_file(with_suffix(path, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a file that is no longer needed stays");
            }
        }
    }
}

/// Gives a database file, which nobody has open, another name. A journal that a dead writer left is of no use by now:
/// whoever opened the file since has rolled it back.
pub(super) fn move_database(from: &Path, to: &Path) -> Result<(), StoreError> {
    remove_database(to);
    fs::rename(from, to).map_err(|source| StoreError::File {
        action: "taking over",
        path: from.to_owned(),
        source,
    })?;
    remove_database(from);
    Ok(())
}
