//! The benchmarks of idsync: `cargo xtask bench` builds and starts this.

mod boundary;
mod figure;
mod instance;
mod native;
mod out;
mod run;
mod time;
mod yardstick;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// As idsync has it: neither the yardstick nor the native logic is held back by another one.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The benchmarks of idsync, and the yardstick beside them.
#[derive(Debug, Parser)]
#[command(name = "idsync-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure, and print a table with the bars
    Run(run::Options),
    /// Read an org and insert its rows, with nothing else: what idsync is compared with
    Yardstick(yardstick::Options),
    /// Sync a directory that idsync set up, with the plugin's logic as native code
    Native(native::Options),
    /// Call a plugin and let it put rows, for `cargo xtask counts`
    Boundary(boundary::Options),
    /// Start instances of the Okta plugin from the cache of compiled components
    Instance(instance::Options),
}

/// Runs what is measured on tokio's threads, as idsync's own `main` sets them up.
fn on_all_cores<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the threads")?
        .block_on(work)
}

fn main() -> ExitCode {
    // As idsync does: a plugin is compiled by this binary in a process of its own.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == idsync::COMPILE_ARG) {
        return idsync::compile_child_main(arguments.map(|argument| argument.to_string_lossy().into_owned()));
    }
    let ended = match Cli::parse().command {
        Command::Run(options) => run::main(&options),
        Command::Yardstick(options) => yardstick::main(&options).map(|()| true),
        Command::Native(options) => native::main(&options),
        Command::Boundary(options) => boundary::main(&options).map(|()| true),
        Command::Instance(options) => instance::main(&options).map(|()| true),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            out::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
