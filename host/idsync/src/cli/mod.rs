//! The command line: reads the arguments, calls one operation, prints its answer. Nothing is decided here.

pub mod args;
mod backup;
mod changes;
mod directory;
mod log;
mod output;
pub use self::output::note;
mod plugin;
mod progress;
mod run;
mod serve;
mod signal;
mod sync;
mod tenant;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use self::args::{Arguments, Command};
use self::output::Output;
use crate::app::{App, AppOptions, SecretText};
use crate::error::CommandError;

/// Runs one command and says the process's exit code.
pub async fn run(arguments: Vec<OsString>) -> u8 {
    let json_wanted = arguments.iter().any(|argument| argument == "--json");
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error, json_wanted),
    };
    let output = Output::new(arguments.global.json);
    match carry_out(arguments, output).await {
        Ok(exit_code) => exit_code,
        Err(error) => {
            output.failure(&error);
            error.exit_code()
        }
    }
}

/// `--help` and `--version` come this way too: they are no failures.
fn not_understood(error: &clap::Error, json_wanted: bool) -> u8 {
    if json_wanted && error.use_stderr() {
        let text = error.to_string();
        let mut lines = text.lines();
        let summary = lines
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        let hint = lines
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        Output::new(true).failure(&CommandError::usage(summary, hint));
    } else {
        // Nobody is left to tell when the stream is closed.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).unwrap_or(2)
}

async fn carry_out(arguments: Arguments, output: Output) -> Result<u8, CommandError> {
    let global = arguments.global;
    let (default_log, runs_at_once) = match &arguments.command {
        Command::Serve(serve) => (log::OF_THE_SERVICE, serve.max_runs),
        _ => (log::OF_COMMANDS, 1),
    };
    log::start(global.log.as_deref().unwrap_or(default_log), global.log_format)?;
    // A file of certificates that is gone must not keep anybody from looking at what is here.
    let ca_certs = if arguments.command.asks_a_provider() {
        global.ca_cert
    } else {
        Vec::new()
    };
    let options = AppOptions {
        data_dir: global.data_dir,
        plugins_dir: global.plugins,
        tenant: global.tenant,
        ca_certs,
        allow_private_egress: global.allow_private_egress,
        master_key: args::master_key_of_environment().map(SecretText),
        runs_at_once,
    };
    match arguments.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "idsync", &mut script);
            output::bytes_out(&script).map(|()| 0)
        }
        Command::Man => output::bytes_out(&manual()?).map(|()| 0),
        Command::Plugin(command) => plugin::run(&options, command, output).await,
        Command::Tenant(command) => tenant::run(&App::open(options)?, command, output).await,
        Command::Directory(command) => directory::run(&App::open(options)?, command, output).await,
        Command::Sync(arguments) => sync::run(&App::open(options)?, arguments, output).await,
        Command::Run(command) => run::run(&App::open(options)?, command, output).await,
        Command::Export { directory } => run::export(&App::open(options)?, &directory).await,
        Command::Changes(arguments) => changes::run(&App::open(options)?, arguments).await,
        Command::Backup { to } => backup::run(&App::open(options)?, &to, output).await,
        Command::Serve(arguments) => serve::run(App::open(options)?, arguments, output).await,
    }
}

/// One page with every command, in roff.
fn manual() -> Result<Vec<u8>, CommandError> {
    let mut page = Vec::new();
    let mut command = Arguments::command();
    command.build();
    render(&command, &mut page)
        .map_err(|error| CommandError::host(&error, "This is a fault of idsync: please report it."))?;
    Ok(page)
}

fn render(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(page)?;
    for subcommand in command.get_subcommands().filter(|c| c.get_name() != "help") {
        render(subcommand, page)?;
    }
    Ok(())
}
