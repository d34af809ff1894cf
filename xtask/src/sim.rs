//! `sim`: builds and runs the simulated Okta org.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::build::{self, Tests};
use crate::cargo;
use crate::workspace::Workspace;

/// Runs the simulated org until it is stopped.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let binary = build(workspace)?;
    cargo::run(Command::new(binary).args(arguments))
}

/// Builds the simulated org.
pub fn build(workspace: &Workspace) -> Result<PathBuf> {
    build::host(workspace, Tests::No)?;
    Ok(build::binary(workspace, "okta-sim"))
}
