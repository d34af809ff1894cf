//! The progress bar of a run, on standard error when it is a terminal.

use idsync_model::{EventSink, RunEvent};
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
            // The plugin's lines are in the log already.
            RunEvent::Log { .. } | RunEvent::Skipped { .. } | RunEvent::Ended { .. } => {}
        }
    }
}
