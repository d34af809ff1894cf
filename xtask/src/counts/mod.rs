//! `counts`: how many processor instructions idsync needs for work of a known size, beside the figures that are kept in
//! this repository. Unlike a time, a count is the same on a busy machine.
//!
//! Callgrind counts them on all threads. It emulates a processor of its own, without AVX-512 or SHA instructions, so that
//! code which is chosen by what the processor can do is the same on all but old ones.

mod callgrind;
mod kept;
mod verdict;

use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::build::{self, Tests};
use crate::cargo::{cargo, run as run_cargo};
use crate::out;
use crate::workspace::Workspace;

use callgrind::Counted;
use kept::{Kept, Tools};
use verdict::{Line, judge};

pub use callgrind::NoValgrind;

/// A part of what is counted: one program that is run once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Staging, plan and apply of a first sync, and of one that finds a few changes
    Store,
    /// The same with a large group, a user in many groups, everyone in all groups, and with twice of it
    StoreGrowth,
    /// The Okta plugin's reading of users, groups and members
    Pages,
    /// The same with 600 fields, names of 100 KiB, long lists, and with twice of it
    PagesGrowth,
    /// Instances of a component, a call, and rows from guest to host
    Boundary,
}

impl Part {
    /// Its name on the command line, and in the file of kept figures.
    fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::StoreGrowth => "store-growth",
            Self::Pages => "pages",
            Self::PagesGrowth => "pages-growth",
            Self::Boundary => "boundary",
        }
    }
}

/// What to count.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Count this part alone
    #[arg(long, value_name = "PART")]
    only: Option<Part>,
    /// Keep what is counted now as the figures to compare with
    #[arg(long)]
    keep: bool,
}

/// Builds, counts, and compares with what is kept.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let tools = tools()?;
    let parts = match options.only {
        Some(part) => vec![part],
        None => Part::value_variants().to_vec(),
    };
    if parts.iter().any(|part| *part != Part::Boundary) {
        let build = ["build", "--profile", "counts", "--package", "idsync-counts"];
        run_cargo(&mut cargo(workspace, build))?;
    }
    let programs = parts
        .iter()
        .map(|part| program(workspace, *part))
        .collect::<Result<Vec<_>>>()?;
    out::step("counting instructions");
    let counted = count_all(workspace, &parts, programs)?;

    let path = workspace.root.join(kept::FILE);
    let mut kept = Kept::read(&path)?;
    if options.keep {
        for (part, counted) in parts.iter().zip(&counted) {
            kept.set(part.name(), counted, &tools);
        }
        kept.write(&path)?;
    }
    let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
    for note in kept.notes_on_tools(&names, &tools) {
        out::warning(&note);
    }
    let lines: Vec<Line> = parts
        .iter()
        .zip(&counted)
        .flat_map(|(part, counted)| judge(counted, kept.figures(part.name())))
        .collect();
    verdict::print(&lines);
    if lines.iter().any(Line::is_failure) {
        bail!(
            "counts are not as they must be: see above. For where instructions go, run `valgrind --tool=callgrind \
             {}`, and `callgrind_annotate` with what it writes",
            workspace.target.join("counts/idsync-counts PART").display()
        );
    }
    Ok(())
}

/// What callgrind writes, and the compiled test plugin.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("callgrind")
}

/// Counts parts beside each other: a count does not depend on what else the machine does.
fn count_all(workspace: &Workspace, parts: &[Part], programs: Vec<Command>) -> Result<Vec<Vec<Counted>>> {
    thread::scope(|scope| {
        let counting: Vec<_> = parts
            .iter()
            .zip(programs)
            .map(|(part, program)| {
                let folder = folder(workspace).join(part.name());
                scope.spawn(move || callgrind::count(&program, &folder))
            })
            .collect();
        counting
            .into_iter()
            .zip(parts)
            .map(|(counting, part)| {
                let counted = counting
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                counted.with_context(|| format!("counting the part `{}`", part.name()))
            })
            .collect()
    })
}

/// The program that does a part's work, and its arguments.
fn program(workspace: &Workspace, part: Part) -> Result<Command> {
    if part == Part::Boundary {
        return boundary(workspace);
    }
    let mut program = Command::new(workspace.target.join("counts").join("idsync-counts"));
    program.arg(part.name());
    Ok(program)
}

/// The boundary is counted in the dev profile, with what the tests are built with: an optimised wasmtime would take
/// longer to build than everything is counted. The guest is optimised, and so is what the compiler made of it.
fn boundary(workspace: &Workspace) -> Result<Command> {
    build::all(workspace, Tests::Too)?;
    let bench = build::binary(workspace, "idsync-bench");
    let folder = folder(workspace);
    let compiler = callgrind::emulated(&bench, &folder.join("compile-emulated"))?;
    let mut program = Command::new(bench);
    program
        .args(["boundary", "--plugin"])
        .arg(
            workspace
                .target
                .join("test-plugins")
                .join("test-plugin-hostile.wasm"),
        )
        .arg("--folder")
        .arg(folder.join("boundary-plugin"))
        .arg("--compiler")
        .arg(compiler);
    Ok(program)
}

/// What it is counted with.
fn tools() -> Result<Tools> {
    let valgrind = callgrind::version()?;
    let rustc = callgrind::version_of(Command::new("rustc").arg("--version"))?;
    Ok(Tools::from([
        ("valgrind".to_owned(), valgrind),
        ("rustc".to_owned(), rustc),
    ]))
}
