//! The log: lines on standard error, as text or JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use super::args::LogFormat;
use crate::error::CommandError;

/// What commands log where nothing else is asked for: they tell what became of them themselves.
pub const OF_COMMANDS: &str = "warn";
/// What the service does: its log is all that it tells.
pub const OF_THE_SERVICE: &str = "info";

/// Starts logging what `filter` lets through.
pub fn start(filter: &str, format: LogFormat) -> Result<(), CommandError> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        CommandError::usage(
            format!("--log `{filter}` is no log filter: {error}"),
            "Give a level (error, warn, info, debug, trace), or levels by module: `warn,idsync_engine=debug`.",
        )
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A subscriber that is there already belongs to a test in the same process.
    let _ = match format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    Ok(())
}
