//! The progress bar of a run, on standard error when it is a terminal, and the log lines of its plugin.

use idsync_model::{EventSink, LogLevel, RunEvent};
use indicatif::{ProgressBar, ProgressStyle};

use super::output;

/// Draws what it hears.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar where a person is watching, nothing drawn elsewhere.
    pub fn new(json: bool) -> Self {
        let bar = if output::is_watched() && !json {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        Self { bar }
    }

    /// Takes the bar away, so that what is printed next starts on a clean line.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self, stage: String, done: u64, total: Option<u64>) {
        // The templates are fixed; one that does not parse would leave the bar's own style, which is fine too.
        let template = match total {
            Some(_) => "{msg:24} {bar:32} {pos}/{len} [{elapsed}]",
            None => "{spinner} {msg:24} {pos} [{elapsed}]",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        match total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        self.bar.set_message(stage);
        self.bar.set_position(done);
    }
}

impl EventSink for Progress {
    fn emit(&self, event: RunEvent) {
        match event {
            RunEvent::Progress { stage, done, total } => self.show(output::printable(&stage), done, total),
            RunEvent::Started { mode, .. } => self.show(format!("{mode:?} read").to_lowercase(), 0, None),
            RunEvent::Log {
                level,
                message,
                fields,
            } => log(level, &message, &fields),
            RunEvent::Skipped { .. } | RunEvent::Ended { .. } => {}
        }
    }
}

/// A plugin's line in the host's log.
fn log(level: LogLevel, message: &str, fields: &[(String, String)]) {
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(" ");
    match level {
        LogLevel::Trace => tracing::trace!(target: "plugin", %fields, "{message}"),
        LogLevel::Debug => tracing::debug!(target: "plugin", %fields, "{message}"),
        LogLevel::Info => tracing::info!(target: "plugin", %fields, "{message}"),
        LogLevel::Warn => tracing::warn!(target: "plugin", %fields, "{message}"),
        LogLevel::Error => tracing::error!(target: "plugin", %fields, "{message}"),
    }
}
