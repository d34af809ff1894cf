//! The tasks of this repository: `cargo xtask help` lists them.

mod bench;
mod build;
mod cargo;
mod control;
mod counts;
mod demo;
mod dist;
mod out;
mod recordings;
mod sim;
mod test;
mod tidy;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The tasks of this repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the host (dev profile) and every plugin, the test plugins included
    Build,
    /// Run every check: formatting, clippy, tidy, unit, end-to-end and documentation tests
    Test {
        /// Run only the tests whose name contains this, and no other check
        #[arg(long)]
        only: Option<String>,
    },
    /// Go the whole way with the real binary against a simulated Okta org
    Demo,
    /// Put release builds into dist/: the host and the Okta plugin
    Dist,
    /// Start a simulated Okta org (`cargo xtask sim --help` for its options)
    #[command(disable_help_flag = true)]
    Sim {
        /// Options of the simulated org
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build in release, measure against the bars and a bare native program (`cargo xtask bench --help` for its options)
    #[command(disable_help_flag = true)]
    Bench {
        /// Options of the bench
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Count the instructions of plan, apply, pages and the boundary, beside kept figures; needs valgrind
    Counts(counts::Options),
    /// Read recorded answers of real Okta orgs with the plugin's own types
    Recordings {
        /// The folder with the recordings and their index.json
        folder: PathBuf,
    },
    /// Check what a reviewer would have to: head comments, layers, generated docs, unowned TODOs
    Tidy {
        /// Write the generated docs instead of comparing them
        #[arg(long)]
        write: bool,
    },
}

fn run(task: Task) -> Result<()> {
    let workspace = Workspace::locate()?;
    match task {
        Task::Build => build::all(&workspace, build::Tests::No).map(drop),
        Task::Test { only: Some(part) } => test::only(&workspace, &part),
        Task::Test { only: None } => test::all(&workspace),
        Task::Demo => demo::run(&workspace),
        Task::Dist => dist::run(&workspace),
        Task::Sim { arguments } => sim::run(&workspace, &arguments),
        Task::Bench { arguments } => bench::run(&workspace, &arguments),
        Task::Counts(options) => counts::run(&workspace, &options),
        Task::Recordings { folder } => recordings::run(&folder),
        Task::Tidy { write } => tidy::run(&workspace, write),
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::error(&format!("{error:#}"));
            if error.is::<counts::NoValgrind>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
