//! `log`: what a plugin tells people while it works, bounded and made harmless.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idsync_model::{Clock, DirectoryId, EventSink, LogLevel, RunEvent, RunId};
use wasmtime::component::{HasData, Linker};

use crate::CapabilityError;
use crate::bindings::log;
use crate::text::cleaned;

/// Bytes of all lines of one call as they are written, fields included.
pub const BYTES_LIMIT: u64 = 16 * 1024 * 1024;
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
/// The least time between two signs of progress.
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
    bytes: u64,
    tail: VecDeque<String>,
    progress_at: Option<Duration>,
    /// The last sign of progress, where it came too soon to be told.
    untold: Option<Progress>,
}

struct Progress {
    stage: String,
    done: u64,
    total: Option<u64>,
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

    /// A line. One more than the limit, or one with bytes above theirs, ends the call.
    pub(crate) fn write(
        &self,
        level: LogLevel,
        message: &str,
        fields: Vec<(String, String)>,
    ) -> Result<(), CapabilityError> {
        let message = cleaned(message, MESSAGE_LIMIT);
        let fields: Vec<(String, String)> = fields
            .into_iter()
            .take(FIELDS_LIMIT)
            .map(|(name, value)| (cleaned(&name, NAME_LIMIT), cleaned(&value, VALUE_LIMIT)))
            .collect();
        self.count(&message, &fields)?;
        self.trace(level, &message, &fields);
        self.events.emit(RunEvent::Log {
            level,
            message,
            fields,
        });
        Ok(())
    }

    fn count(&self, message: &str, fields: &[(String, String)]) -> Result<(), CapabilityError> {
        let limit = |what, limit| Err(CapabilityError::Limit { what, limit });
        let in_fields: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut state = self.state();
        if state.lines >= self.line_limit {
            return limit("log lines", self.line_limit);
        }
        state.lines += 1;
        state.bytes += (message.len() + in_fields) as u64;
        if state.bytes > BYTES_LIMIT {
            return limit("bytes of log", BYTES_LIMIT);
        }
        Ok(())
    }

    /// Tells how far the work is, once in an interval at most. What came too soon is told with the next sign, unless
    /// that says more of the same stage, or by [`Self::end`].
    fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        let stage = cleaned(stage, NAME_LIMIT);
        let now = self.clock.monotonic();
        let before = {
            let mut last = self.state();
            let is_soon = last
                .progress_at
                .is_some_and(|at| now.saturating_sub(at) < PROGRESS_INTERVAL);
            if is_soon {
                last.untold = Some(Progress { stage, done, total });
                return;
            }
            last.progress_at = Some(now);
            last.untold.take().filter(|untold| untold.stage != stage)
        };
        if let Some(before) = before {
            self.tell(before);
        }
        self.tell(Progress { stage, done, total });
    }

    /// Tells what is still untold. For the end of the call, however it ended.
    pub fn end(&self) {
        let untold = self.state().untold.take();
        if let Some(untold) = untold {
            self.tell(untold);
        }
    }

    fn tell(&self, Progress { stage, done, total }: Progress) {
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
    use idsync_model::{SystemClock, UnixMillis};

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
    fn a_flood_of_bytes_ends_the_call() {
        let heard = Arc::new(Heard::default());
        let mut log = log_into(&heard);
        let large = || log::Field {
            name: "n".repeat(1_000),
            value: "🦀".repeat(10_000),
        };
        let mut line = || {
            let fields = (0..FIELDS_LIMIT).map(|_| large()).collect();
            log.write(log::Level::Info, "🦀".repeat(10_000), fields)
        };
        let error = (0..LINE_LIMIT).find_map(|_| line().err()).unwrap();
        let failure = crate::error::failure_in(&error, "sync");
        assert_eq!(failure.kind, idsync_model::ErrorKind::Plugin);
        assert!(failure.summary.contains("bytes of log"), "{}", failure.summary);
        let heard = heard.0.lock().unwrap();
        let bytes: usize = heard
            .iter()
            .map(|event| match event {
                RunEvent::Log { message, fields, .. } => {
                    message.len() + fields.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>()
                }
                other => panic!("{other:?}"),
            })
            .sum();
        assert!(bytes as u64 <= BYTES_LIMIT, "{bytes}");
        assert!(bytes as u64 > BYTES_LIMIT - 200_000, "{bytes}");
    }

    /// A clock that stands until it is moved.
    #[derive(Default)]
    struct Standing(Mutex<Duration>);

    impl Standing {
        fn moves_on(&self) {
            *self.0.lock().unwrap() += PROGRESS_INTERVAL;
        }
    }

    impl Clock for Standing {
        fn now(&self) -> UnixMillis {
            UnixMillis(0)
        }
        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    fn told(heard: &Heard) -> Vec<(String, u64)> {
        let events = std::mem::take(&mut *heard.0.lock().unwrap());
        events
            .into_iter()
            .map(|event| match event {
                RunEvent::Progress { stage, done, .. } => (stage, done),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn pairs(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
        expected
            .iter()
            .map(|(stage, done)| ((*stage).to_owned(), *done))
            .collect()
    }

    #[test]
    fn progress_is_told_once_in_an_interval_and_its_last_sign_is_never_lost() {
        let heard = Arc::new(Heard::default());
        let clock = Arc::new(Standing::default());
        let book = LogBook::new(LogOrigin::default(), heard.clone(), clock.clone(), 10_000);
        let mut log = LogCtx::new(book.clone());
        for n in 0..100_000 {
            let stage = if n % 2 == 0 { "users" } else { "groups" };
            log.progress(stage.to_owned(), n, Some(n)).unwrap();
        }
        assert_eq!(told(&heard), pairs(&[("users", 0)]));

        clock.moves_on();
        log.progress("groups".to_owned(), 100_000, None).unwrap();
        assert_eq!(told(&heard), pairs(&[("groups", 100_000)]));

        log.progress("groups".to_owned(), 100_001, None).unwrap();
        clock.moves_on();
        log.progress("members".to_owned(), 0, None).unwrap();
        assert_eq!(told(&heard), pairs(&[("groups", 100_001), ("members", 0)]));

        log.progress("members".to_owned(), 9, Some(9)).unwrap();
        assert_eq!(told(&heard), pairs(&[]));
        book.end();
        book.end();
        assert_eq!(told(&heard), pairs(&[("members", 9)]));
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
