//! `tidy`: what a reviewer would otherwise have to look for.

mod layers;
mod reference;
mod rules;
mod sources;

use std::collections::BTreeSet;
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

/// Checks the sources, the layers, and that each rule has its test. With `write` it writes the generated docs besides.
pub fn run(workspace: &Workspace, write: bool) -> Result<()> {
    let mut findings = layers::check_manifests(workspace);
    let files = sources::list(&workspace.root)?;
    let mut tested = BTreeSet::new();
    for file in &files {
        let Ok(text) = fs::read_to_string(workspace.root.join(file)) else {
            continue; // Not text: nothing to say of it.
        };
        findings.extend(sources::check(file, &text));
        findings.extend(layers::check_source(file, &text));
        if file.extension().is_some_and(|extension| extension == "rs") {
            tested.append(&mut rules::tested(&text));
        }
        if let Some(warning) = sources::length_warning(file, &text) {
            out::warning(&warning);
        }
    }
    let page = workspace.root.join(rules::PAGE);
    let page = fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?;
    findings.extend(rules::check(&page, &tested));
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
