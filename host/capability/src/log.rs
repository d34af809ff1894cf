//! `log`: what a plugin tells people while it works, bounded and made harmless.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idsync_model::{Clock, DirectoryId, EventSink, LogLevel, RunEvent, RunId};
use wasmtime::component::{HasData, Linker};

use crate::CapabilityError;
use crate::bindings::log;
use crate::text::cleaned;

/// Characters of one message.
const MESSAGE_LIMIT: usize = 2_000;
/// Fields beside one message.
const FIELDS_LIMIT: usize = 32;
/// Characters of a field's name.
const NAME_LIMIT: usize = 64;
/// Characters of a field's value, and of a stage.
const VALUE_LIMIT: usize = 500;
/// Lines of standard error that are kept for the message of a trap.
const TAIL_LIMIT: usize = 12;
/// The least time between two signs of progress in the same stage.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Whose lines they are: it stands in the host's log beside each.
#[derive(Debug, Clone, Default)]
pub struct LogOrigin {
    /// The provider, or the file of the plugin where its name is not known yet.
    pub plugin: String,
    /// The directory that is worked on.
    pub directory: Option<DirectoryId>,
    /// The run that the call is part of.
    pub run: Option<RunId>,
}

/// Where all lines of one call go: those of `log`, of standard output and of standard error.
pub struct LogBook {
    origin: LogOrigin,
    events: Arc<dyn EventSink>,
    clock: Arc<dyn Clock>,
    line_limit: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lines: u64,
    tail: VecDeque<String>,
    stage: String,
    progress_at: Option<Duration>,
}

impl LogBook {
    /// An empty book of `line_limit` lines, those of standard output and standard error included.
    pub fn new(
        origin: LogOrigin,
        events: Arc<dyn EventSink>,
        clock: Arc<dyn Clock>,
        line_limit: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            origin,
            events,
            clock,
            line_limit,
            state: Mutex::default(),
        })
    }

    /// The clock of the call.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The last lines of standard error, oldest first, joined by line ends. They say why a guest trapped.
    pub fn error_tail(&self) -> String {
        let state = self.state();
        state
            .tail
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// A line of standard error.
    pub(crate) fn write_error(&self, line: &str) -> Result<(), CapabilityError> {
        {
            let mut state = self.state();
            if state.tail.len() == TAIL_LIMIT {
                state.tail.pop_front();
            }
            state.tail.push_back(cleaned(line, VALUE_LIMIT));
        }
        self.write(LogLevel::Warn, line, Vec::new())
    }

    /// A line. One more than the limit ends the call.
    pub(crate) fn write(
        &self,
        level: LogLevel,
        message: &str,
        fields: Vec<(String, String)>,
    ) -> Result<(), CapabilityError> {
        {
            let mut state = self.state();
            if state.lines >= self.line_limit {
                return Err(CapabilityError::Limit {
                    what: "log lines",
                    limit: self.line_limit,
                });
            }
            state.lines += 1;
        }
        let message = cleaned(message, MESSAGE_LIMIT);
        let fields: Vec<(String, String)> = fields
            .into_iter()
            .take(FIELDS_LIMIT)
            .map(|(name, value)| (cleaned(&name, NAME_LIMIT), cleaned(&value, VALUE_LIMIT)))
            .collect();
        self.trace(level, &message, &fields);
        self.events.emit(RunEvent::Log {
            level,
            message,
            fields,
        });
        Ok(())
    }

    fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        let stage = cleaned(stage, NAME_LIMIT);
        let now = self.clock.monotonic();
        {
            let mut last = self.state();
            let is_soon = last
                .progress_at
                .is_some_and(|at| now.saturating_sub(at) < PROGRESS_INTERVAL);
            if is_soon && last.stage == stage && total != Some(done) {
                return;
            }
            last.progress_at = Some(now);
            last.stage.clone_from(&stage);
        }
        self.events.emit(RunEvent::Progress { stage, done, total });
    }

    /// Writes to the host's own log.
    fn trace(&self, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let LogOrigin {
            plugin,
            directory,
            run,
        } = &self.origin;
        let directory = directory.as_ref().map(tracing::field::display);
        let run = run.as_ref().map(tracing::field::display);
        macro_rules! write_at {
            ($level:ident) => {
                tracing::$level!(target: "idsync::plugin", plugin, directory, run, ?fields, "{message}")
            };
        }
        match level {
            LogLevel::Trace => write_at!(trace),
            LogLevel::Debug => write_at!(debug),
            LogLevel::Info => write_at!(info),
            LogLevel::Warn => write_at!(warn),
            LogLevel::Error => write_at!(error),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of one call.
pub struct LogCtx {
    book: Arc<LogBook>,
}

impl LogCtx {
    /// A log that writes into `book`.
    pub fn new(book: Arc<LogBook>) -> Self {
        Self { book }
    }

    /// The book.
    pub fn book(&self) -> &Arc<LogBook> {
        &self.book
    }
}

/// How a store's state lends the capability.
pub trait LogView: Send {
    /// The context of this call.
    fn log(&mut self) -> &mut LogCtx;
}

struct HasLog;

impl HasData for HasLog {
    type Data<'a> = &'a mut LogCtx;
}

/// Links `log`.
pub fn add_to_linker<T: LogView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    log::add_to_linker::<T, HasLog>(linker, T::log)
}

impl log::Host for LogCtx {
    fn write(&mut self, level: log::Level, message: String, fields: Vec<log::Field>) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        let fields = fields.into_iter().map(|f| (f.name, f.value)).collect();
        Ok(self.book.write(level, &message, fields)?)
    }

    fn progress(&mut self, stage: String, done: u64, total: Option<u64>) -> wasmtime::Result<()> {
        self.book.progress(&stage, done, total);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use idsync_model::SystemClock;

    use super::log::Host;
    use super::*;

    const LINE_LIMIT: u64 = 2_000;

    #[derive(Default)]
    struct Heard(Mutex<Vec<RunEvent>>);

    impl EventSink for Heard {
        fn emit(&self, event: RunEvent) {
            self.0.lock().unwrap().push(event);
        }
    }

    fn log_into(heard: &Arc<Heard>) -> LogCtx {
        let clock = Arc::new(SystemClock::new());
        LogCtx::new(LogBook::new(
            LogOrigin::default(),
            heard.clone(),
            clock,
            LINE_LIMIT,
        ))
    }

    #[test]
    fn a_flood_of_lines_ends_the_call() {
        let heard = Arc::new(Heard::default());
        let mut log = log_into(&heard);
        for _ in 0..LINE_LIMIT {
            log.write(log::Level::Info, "again".to_owned(), Vec::new())
                .unwrap();
        }
        let error = log
            .write(log::Level::Info, "again".to_owned(), Vec::new())
            .unwrap_err();
        let failure = crate::error::failure_in(&error, "sync");
        assert_eq!(failure.kind, idsync_model::ErrorKind::Plugin);
        assert!(failure.summary.contains("2000"), "{}", failure.summary);
        assert_eq!(heard.0.lock().unwrap().len() as u64, LINE_LIMIT);
    }

    #[test]
    fn what_is_long_or_acts_on_terminals_is_made_harmless() {
        let heard = Arc::new(Heard::default());
        let mut log = log_into(&heard);
        let field = |n: usize| log::Field {
            name: format!("f{n}"),
            value: "v".repeat(10_000),
        };
        log.write(
            log::Level::Error,
            format!("\u{1b}[31m{}", "m".repeat(100_000)),
            (0..100).map(field).collect(),
        )
        .unwrap();
        let heard = heard.0.lock().unwrap();
        let RunEvent::Log { message, fields, .. } = &heard[0] else {
            panic!("no line");
        };
        assert_eq!(message.chars().count(), MESSAGE_LIMIT);
        assert!(!message.contains('\u{1b}'));
        assert_eq!(fields.len(), FIELDS_LIMIT);
        assert_eq!(fields[0].1.chars().count(), VALUE_LIMIT);
    }

    #[test]
    fn progress_is_told_when_the_stage_changes_or_is_done() {
        let heard = Arc::new(Heard::default());
        let mut log = log_into(&heard);
        for done in 0..1_000 {
            log.progress("users".to_owned(), done, None).unwrap();
        }
        log.progress("groups".to_owned(), 0, Some(9)).unwrap();
        log.progress("groups".to_owned(), 9, Some(9)).unwrap();
        let heard = heard.0.lock().unwrap();
        assert!(heard.len() < 500, "{}", heard.len());
        assert!(
            matches!(&heard[heard.len() - 2], RunEvent::Progress { stage, done: 0, .. } if stage == "groups")
        );
        assert!(matches!(heard.last(), Some(RunEvent::Progress { done: 9, .. })));
    }

    #[test]
    fn the_last_lines_of_standard_error_are_kept() {
        let log = log_into(&Arc::new(Heard::default()));
        for n in 0..100 {
            log.book().write_error(&format!("line {n}")).unwrap();
        }
        let tail = log.book().error_tail();
        assert!(
            tail.starts_with("line 88\n") && tail.ends_with("\nline 99"),
            "{tail}"
        );
    }
}
