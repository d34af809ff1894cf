//! One run at a time for each directory: a locked file, which the system frees when its process dies.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use idsync_model::DirectoryId;

/// Why a directory's lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run has it, in this process or in another one.
    #[error("directory {directory} is being synced already: wait until that run has ended")]
    Busy {
        /// The directory.
        directory: DirectoryId,
    },
    /// The file could not be made or locked.
    #[error("the lock file `{}` could not be used: check that its folder exists and can be written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The lock of one directory. Dropping it gives it back.
#[derive(Debug)]
pub struct DirectoryLock {
    // Holding the file open is holding the lock. The file stays: to unlink it would let two processes lock two files
    // of one name.
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of `directory` in `folder` without waiting; the folder is made where it is missing.
    pub fn take(folder: &Path, directory: &DirectoryId) -> Result<Self, LockError> {
        let path = folder.join(directory.as_str());
        let opened = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| {
                OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .mode(0o600)
                    .open(&path)
            });
        let file = match opened {
            Ok(file) => file,
            Err(source) => return Err(LockError::File { path, source }),
        };
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Busy {
                directory: directory.clone(),
            }),
            Err(TryLockError::Error(source)) => Err(LockError::File { path, source }),
        }
    }

    /// Deletes the lock file of a directory that was removed. Its id is never used again, so nobody will want it; a
    /// file that stays does no harm.
    pub(crate) fn forget(folder: &Path, directory: &DirectoryId) {
        if let Err(error) = std::fs::remove_file(folder.join(directory.as_str()))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%directory, %error, "the lock file of a removed directory stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_run_of_a_directory_is_told_that_it_is_busy_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DirectoryId::generate();
        let first = DirectoryLock::take(folder.path(), &directory).unwrap();
        let second = DirectoryLock::take(folder.path(), &directory);
        assert!(matches!(second, Err(LockError::Busy { directory: d }) if d == directory));
        drop(first);
        DirectoryLock::take(folder.path(), &directory).unwrap();
    }

    #[test]
    fn directories_do_not_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let _one = DirectoryLock::take(folder.path(), &DirectoryId::generate()).unwrap();
        DirectoryLock::take(folder.path(), &DirectoryId::generate()).unwrap();
    }

    #[test]
    fn nobody_else_can_read_what_it_makes() {
        let folder = tempfile::tempdir().unwrap();
        let locks = folder.path().join("locks");
        let directory = DirectoryId::generate();
        let _lock = DirectoryLock::take(&locks, &directory).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&locks), 0o700);
        assert_eq!(mode(&locks.join(directory.as_str())), 0o600);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let error = DirectoryLock::take(&blocked, &DirectoryId::generate()).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
