//! The benchmarks of idsync: `cargo xtask bench` builds and starts this.

mod native;
mod out;
mod run;
mod time;
mod yardstick;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
}

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(options) => run::main(&options),
        Command::Yardstick(options) => yardstick::main(&options).map(|()| true),
        Command::Native(options) => native::main(&options),
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
