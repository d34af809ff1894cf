//! The progress bar of a run, on standard error when it is a terminal.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use idsync_model::{EventSink, RunEvent};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::output;

/// How often the bar is drawn anew while nothing is heard: a clock that stands still looks like a program that does.
const TICK: Duration = Duration::from_millis(250);
/// After how long without news a person is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Draws what it hears.
pub struct Progress {
    bar: ProgressBar,
    silence: Silence,
}

impl Progress {
    /// A bar where a person is watching, nothing drawn elsewhere.
    pub fn new(json: bool) -> Self {
        let bar = if output::is_watched() && !json {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(TICK);
            bar
        } else {
            ProgressBar::hidden()
        };
        Self {
            bar,
            silence: Silence::default(),
        }
    }

    /// Takes the bar away, so that what is printed next starts on a clean line.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self, stage: String, done: u64, total: Option<u64>) {
        // What is waited for stands before the bar, which takes the room that is left.
        let template = match total {
            Some(_) => "{msg:16} {pos}/{len} [{elapsed}] {waiting}{wide_bar}",
            None => "{spinner} {msg:16} {pos} [{elapsed}] {waiting}",
        };
        // The templates are fixed; one that does not parse would leave the bar's own style, which is fine too.
        if let Ok(style) = ProgressStyle::with_template(template) {
            let silence = self.silence.clone();
            let waiting = move |state: &ProgressState, line: &mut dyn Write| {
                // Writing to the line that is drawn does not fail.
                let _ = line.write_str(&silence.in_words(state.elapsed()));
            };
            self.bar.set_style(style.with_key("waiting", waiting));
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
            RunEvent::Progress { stage, done, total } => {
                // The host's own stages count nothing, and wait for no provider; one that waits says so itself.
                let is_reading = (done > 0 || total.is_some()) && !stage.starts_with("waiting for ");
                self.silence.broken(self.bar.elapsed(), is_reading);
                self.show(output::printable(&stage), done, total);
            }
            RunEvent::Started { mode, .. } => {
                self.silence.broken(self.bar.elapsed(), true);
                self.show(format!("{mode:?} read").to_lowercase(), 0, None);
            }
            // The plugin's lines are in the log already.
            RunEvent::Log { .. } | RunEvent::Skipped { .. } | RunEvent::Ended { .. } => {}
        }
    }
}

/// For how long nothing was heard of a run that reads.
///
/// A plugin that holds requests back for the provider's rate limit says nothing then, and neither does one whose answer
/// does not come; that it is one of the two is all that can be known here.
#[derive(Debug, Clone, Default)]
struct Silence(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    last_ms: AtomicU64,
    is_reading: AtomicBool,
}

impl Silence {
    /// Something was heard, so long after the bar began.
    fn broken(&self, at: Duration, is_reading: bool) {
        let at = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.store(at, Ordering::Relaxed);
        self.0.is_reading.store(is_reading, Ordering::Relaxed);
    }

    /// What to tell of it; nothing while it is short.
    fn in_words(&self, now: Duration) -> String {
        let since = Duration::from_millis(self.0.last_ms.load(Ordering::Relaxed));
        let quiet = now.saturating_sub(since);
        if quiet < PATIENCE || !self.0.is_reading.load(Ordering::Relaxed) {
            return String::new();
        }
        format!(
            "waiting {} s for the provider or its rate limit ",
            quiet.as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_of_which_nothing_is_heard_is_told_to_wait_for_the_provider() {
        let seconds = Duration::from_secs;
        let silence = Silence::default();
        silence.broken(seconds(10), true);
        assert_eq!(silence.in_words(seconds(14)), "");
        let said = silence.in_words(seconds(33));
        assert!(
            said.contains("waiting 23 s") && said.contains("rate limit"),
            "{said}"
        );
        silence.broken(seconds(34), true);
        assert_eq!(silence.in_words(seconds(35)), "", "there is news");
    }

    #[test]
    fn the_hosts_own_stages_wait_for_no_provider() {
        let silence = Silence::default();
        silence.broken(Duration::ZERO, false);
        assert_eq!(silence.in_words(Duration::from_mins(1)), "");
    }
}
