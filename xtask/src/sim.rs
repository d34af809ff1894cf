//! `sim`: builds and runs the simulated Okta org.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{self, cargo};
use crate::workspace::Workspace;

/// Runs the simulated org until it is stopped.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let binary = build(workspace)?;
    cargo::run(Command::new(binary).args(arguments))
}

/// Builds the simulated org.
pub fn build(workspace: &Workspace) -> Result<PathBuf> {
    cargo::run(&mut cargo(workspace, ["build", "--package", "okta-sim"]))?;
    Ok(workspace
        .target
        .join("debug")
        .join(format!("okta-sim{}", std::env::consts::EXE_SUFFIX)))
}
