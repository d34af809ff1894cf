//! Starting cargo and other programs, with an error that names the command.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::out;
use crate::workspace::Workspace;

/// A cargo command at the workspace's root.
pub fn cargo<I, S>(workspace: &Workspace, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new("cargo");
    command.current_dir(&workspace.root).args(arguments);
    command
}

/// Runs a command to its end, which must be a success.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a command, passes its standard output on line by line and shows each line to `see`. Says whether it ended as
/// a success.
pub fn watched(command: &mut Command, mut see: impl FnMut(&str)) -> Result<bool> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{}`", shown(command)))?;
    let output = child.stdout.take().context("the standard output was asked for")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.with_context(|| format!("reading what `{}` prints", shown(command)))?;
        let line = String::from_utf8_lossy(&line);
        out::line(&line);
        see(&line);
    }
    let status = child
        .wait()
        .with_context(|| format!("waiting for `{}`", shown(command)))?;
    Ok(status.success())
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
