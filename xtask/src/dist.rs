//! `dist`: what is delivered, in release builds.

use std::fs;

use anyhow::{Context, Result};

use crate::build;
use crate::cargo::{self, cargo};
use crate::out;
use crate::workspace::Workspace;

/// Fills `dist/`.
pub fn run(workspace: &Workspace) -> Result<()> {
    host(workspace)?;
    let folder = workspace.root.join("dist/plugins");
    let built = build::plugins(workspace)?;
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let copy = folder.join("okta.wasm");
    fs::copy(built.join("okta.wasm"), &copy).with_context(|| format!("writing {}", copy.display()))?;
    out::line("dist/plugins/okta.wasm");
    Ok(())
}

fn host(workspace: &Workspace) -> Result<()> {
    cargo::run(&mut cargo(
        workspace,
        ["build", "--package", "idsync", "--profile", "dist"],
    ))?;
    let name = format!("idsync{}", std::env::consts::EXE_SUFFIX);
    let folder = workspace.root.join("dist");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let copy = folder.join(&name);
    fs::copy(workspace.target.join("dist").join(&name), &copy)
        .with_context(|| format!("writing {}", copy.display()))?;
    out::line(&format!("dist/{name}"));
    Ok(())
}
