//! `tidy`: what a reviewer would otherwise have to look for.

mod layers;
mod reference;
mod sources;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::build;
use crate::out;
use crate::workspace::Workspace;

/// The page that is made from the binary's help.
const REFERENCE: &str = "docs/cli.md";

/// Something that is not as it must be.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the root.
    pub file: PathBuf,
    /// The line, counted from 1; 0 where it is about the whole file.
    pub line: usize,
    /// What is wrong, and what to do.
    pub text: String,
}

/// Checks the sources and the layers. With `write` it writes the generated docs besides.
pub fn run(workspace: &Workspace, write: bool) -> Result<()> {
    let mut findings = layers::check_manifests(workspace);
    let files = sources::list(&workspace.root)?;
    for file in &files {
        let Ok(text) = fs::read_to_string(workspace.root.join(file)) else {
            continue; // Not text: nothing to say of it.
        };
        findings.extend(sources::check(file, &text));
        findings.extend(layers::check_source(file, &text));
        if let Some(warning) = sources::length_warning(file, &text) {
            out::warning(&warning);
        }
    }
    for finding in &findings {
        let Finding { file, line, text } = finding;
        out::line(&format!("{}:{line}: {text}", file.display()));
    }
    if !findings.is_empty() {
        bail!("tidy found {} things to mend: see above", findings.len());
    }
    out::line(&format!("tidy: {} files looked at", files.len()));
    if write {
        build::host(workspace, build::Tests::No)?;
        generated_docs(workspace, true)?;
    }
    Ok(())
}

/// Compares the generated docs with what the built binary says, or writes them.
pub fn generated_docs(workspace: &Workspace, write: bool) -> Result<()> {
    let binary = build::binary(workspace, "idsync");
    let path = workspace.root.join(REFERENCE);
    let page = reference::page(&binary)?;
    if write {
        fs::write(&path, page).with_context(|| format!("writing {}", path.display()))?;
        out::line(&format!("{REFERENCE}: written"));
    } else if fs::read_to_string(&path).ok().as_deref() != Some(page.as_str()) {
        bail!("{REFERENCE} is not what the command line says now: run `cargo xtask tidy --write`");
    }
    Ok(())
}
