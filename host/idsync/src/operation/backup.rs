//! A copy of all that a data directory must not lose.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
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
/// owner's alone. It can be put in the place of a data directory.
pub async fn backup(app: &App, to: &Path) -> Result<BackupView, CommandError> {
    DirBuilder::new()
        .mode(0o700)
        .create(to)
        .map_err(|error| not_made(to, &error))?;
    let made = fill(app, to).await;
    if made.is_err()
        && let Err(error) = std::fs::remove_dir_all(to)
    {
        tracing::warn!(path = %to.display(), %error, "what there is of the failed backup stays");
    }
    made
}

async fn fill(app: &App, to: &Path) -> Result<BackupView, CommandError> {
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
    Ok(BackupView {
        backup: to.to_owned(),
        has_master_key: files.contains(&MASTER_KEY),
        files,
    })
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

fn not_copied(name: &str, error: &io::Error) -> CommandError {
    CommandError::new(
        Kind::Run(idsync_model::ErrorKind::Host),
        format!("copying {name} into the backup failed: {error}"),
        "Look at the disk's free space and at the rights of the data directory, then try again.",
    )
}
