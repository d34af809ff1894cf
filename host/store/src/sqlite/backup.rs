//! Copies the store to a file that is known as a copy.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::connection::connect;
use super::files::remove_database;
use crate::StoreError;

/// Copies the store as it is at one moment. The file has its name only when it is complete.
pub(super) fn backup(store: &Connection, to: &Path) -> Result<(), StoreError> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(StoreError::BackupExists { path: to.to_owned() });
    }
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    // What a backup that died left there is no one's.
    remove_database(&part);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .map_err(|source| StoreError::File {
            action: "writing the backup",
            path: part.clone(),
            source,
        })?;
    let copied = copy(store, &part).and_then(|()| {
        file.sync_all()
            .and_then(|()| name(&part, to))
            .map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => StoreError::BackupExists { path: to.to_owned() },
                _ => StoreError::File {
                    action: "writing the backup",
                    path: to.to_owned(),
                    source,
                },
            })
    });
    if copied.is_err() {
        remove_database(&part);
    }
    copied
}

/// Copies all pages in one step: others go on writing meanwhile, and the copy is of the moment at which it began.
fn copy(store: &Connection, part: &Path) -> Result<(), StoreError> {
    const MARK: &str = "
        UPDATE store SET is_backup = 1;
        DELETE FROM lease;";
    let mut copy = connect(part)?;
    {
        let backup = Backup::new(store, &mut copy)?;
        while backup.step(-1)? != StepResult::Done {}
    }
    // One file, without journals that would have to go with it.
    copy.pragma_update(None, "journal_mode", "delete")?;
    copy.execute_batch(MARK)?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Gives the copy its name, unless somebody else took it meanwhile.
fn name(part: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, part, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // Not every file system can look and rename at once.
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(to).is_err() => fs::rename(part, to)?,
        Err(error) => return Err(error.into()),
    }
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}
