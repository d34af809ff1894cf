//! A copy of all that a data directory must not lose.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::{App, spawn_blocking};
use crate::error::{CommandError, Kind};

/// The store's file, as a data directory has it.
const STORE: &str = "idsync.db";
/// What only this opens the sealed keys with.
const MASTER_KEY: &str = "master.key";
/// What tells whether a master key is the right one.
const MASTER_CHECK: &str = "master.check";

/// What a backup holds.
#[derive(Debug, Serialize)]
pub struct BackupView {
    /// The folder.
    pub backup: PathBuf,
    /// The files in it.
    pub files: Vec<&'static str>,
    /// Whether the master key is among them. It is not where it comes from the environment.
    pub has_master_key: bool,
}

/// Copies the store as it is at one moment, and the master key where it is a file, into a new folder that is its
/// owner's alone. It can be put in the place of a data directory. The folder has its name only when all is in it; until
/// then it is called `TO.part`, and the next try removes what another left there.
pub async fn backup(app: &App, to: &Path) -> Result<BackupView, CommandError> {
    let Some(name) = to.file_name() else {
        return Err(not_made(to, &io::ErrorKind::InvalidInput.into()));
    };
    if to.symlink_metadata().is_ok() {
        return Err(not_made(to, &io::ErrorKind::AlreadyExists.into()));
    }
    let mut part_name = name.to_owned();
    part_name.push(".part");
    let part = to.with_file_name(part_name);
    // Held open, and locked, until the folder has its name.
    let folder = make_part(&part)?;
    let made = match fill(app, &part).await {
        Ok(files) => {
            let (from, name) = (part.clone(), to.to_owned());
            let named = spawn_blocking(move || name_it(&folder, &from, &name)).await?;
            named.map(|()| files).map_err(|error| not_made(to, &error))
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(files) => Ok(BackupView {
            backup: to.to_owned(),
            has_master_key: files.contains(&MASTER_KEY),
            files,
        }),
        Err(error) => {
            if let Err(error) = std::fs::remove_dir_all(&part) {
                tracing::warn!(path = %part.display(), %error, "what there is of the failed backup stays");
            }
            Err(error)
        }
    }
}

/// Makes the folder that is filled, and locks it. One that a killed backup left is removed first: its lock is free.
fn make_part(part: &Path) -> Result<File, CommandError> {
    let failed = |error: io::Error| not_made(part, &error);
    if part.symlink_metadata().is_ok_and(|old| old.is_dir()) {
        let old = File::open(part).map_err(failed)?;
        lock(&old, part)?;
        if !holds_only_a_backup(part).map_err(failed)? {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        std::fs::remove_dir_all(part).map_err(failed)?;
    }
    DirBuilder::new().mode(0o700).create(part).map_err(failed)?;
    let folder = File::open(part).map_err(failed)?;
    lock(&folder, part)?;
    // Whoever took it for a left one before it was locked has removed it.
    if folder.metadata().map_err(failed)?.nlink() == 0 {
        return Err(in_progress(part));
    }
    Ok(folder)
}

/// Whether nothing lies in a folder but what a backup puts there: a folder of other things is not ours to remove.
fn holds_only_a_backup(part: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(part)? {
        let name = entry?.file_name();
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(STORE) || name == MASTER_KEY || name == MASTER_CHECK);
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(folder: &File, part: &Path) -> Result<(), CommandError> {
    match folder.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(in_progress(part)),
        Err(TryLockError::Error(error)) => Err(not_made(part, &error)),
    }
}

/// Gives the folder its name, when all that is in it is on disk. A name that was taken meanwhile stays as it is.
fn name_it(folder: &File, part: &Path, to: &Path) -> io::Result<()> {
    folder.sync_all()?;
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(part, to)?;
    let beside = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(beside)?.sync_all()
}

async fn fill(app: &App, to: &Path) -> Result<Vec<&'static str>, CommandError> {
    let mut files = vec![STORE];
    app.store().backup(&to.join(STORE)).await?;
    let mut wanted = vec![MASTER_CHECK];
    if app.options().master_key.is_none() {
        wanted.push(MASTER_KEY);
    }
    for name in wanted {
        let (from, copy) = (app.options().data_dir.join(name), to.join(name));
        let copied = spawn_blocking(move || copy_private(&from, &copy)).await?;
        match copied {
            Ok(()) => files.push(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(not_copied(name, &error)),
        }
    }
    Ok(files)
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()
}

fn not_made(to: &Path, error: &io::Error) -> CommandError {
    let (kind, hint) = match error.kind() {
        io::ErrorKind::AlreadyExists => (
            Kind::Conflict,
            "A backup never overwrites anything: name a new folder.",
        ),
        io::ErrorKind::InvalidInput => (Kind::Usage, "Name a new folder, such as backups/monday."),
        io::ErrorKind::NotFound => (Kind::Conflict, "Make the folder that it is to lie in first."),
        _ => (
            Kind::Run(idsync_model::ErrorKind::Host),
            "Name a folder in a place that you may write to.",
        ),
    };
    CommandError::new(
        kind,
        format!(
            "making the folder {} for the backup failed: {error}",
            to.display()
        ),
        hint,
    )
}

fn in_progress(part: &Path) -> CommandError {
    CommandError::new(
        Kind::Busy,
        format!("another backup is being made in {}", part.display()),
        "Wait until it is done, or name another folder.",
    )
}

fn not_copied(name: &str, error: &io::Error) -> CommandError {
    CommandError::new(
        Kind::Run(idsync_model::ErrorKind::Host),
        format!("copying {name} into the backup failed: {error}"),
        "Look at the disk's free space and at the rights of the data directory, then try again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_a_killed_backup_left_is_removed_and_a_running_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("monday.part");
        std::fs::create_dir(&part).unwrap();
        std::fs::write(part.join("idsync.db.part"), "half").unwrap();

        let running = make_part(&part).unwrap();

        assert_eq!(std::fs::read_dir(&part).unwrap().count(), 0);
        assert_eq!(part.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(make_part(&part).unwrap_err().kind, Kind::Busy);
        let to = folder.path().join("monday");
        name_it(&running, &part, &to).unwrap();
        assert!(to.is_dir() && !part.exists());
    }

    #[test]
    fn a_folder_of_other_things_is_never_removed_and_a_name_never_taken_twice() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("monday.part");
        std::fs::create_dir(&part).unwrap();
        std::fs::write(part.join("diary.txt"), "dear").unwrap();
        assert_eq!(make_part(&part).unwrap_err().kind, Kind::Conflict);
        assert!(part.join("diary.txt").exists());

        let part = folder.path().join("tuesday.part");
        let made = make_part(&part).unwrap();
        let to = folder.path().join("tuesday");
        std::fs::create_dir(&to).unwrap();
        let taken = name_it(&made, &part, &to).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    }
}
