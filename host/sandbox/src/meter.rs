//! Measures a plugin's time on the processor: what passes between its entry and its exit, and not what the host does
//! for it in between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use idsync_model::Clock;

use crate::fault::Fault;

/// The meter of one call. Its clones measure the same call.
#[derive(Clone)]
pub(crate) struct CpuMeter {
    clock: Arc<dyn Clock>,
    between_limit: Duration,
    total_limit: Duration,
    spent: Arc<Mutex<Spent>>,
}

#[derive(Default)]
struct Spent {
    /// When the plugin was last entered, while it is inside.
    entered: Option<Duration>,
    since_host_call: Duration,
    total: Duration,
}

impl CpuMeter {
    pub(crate) fn new(clock: Arc<dyn Clock>, between_limit: Duration, total_limit: Duration) -> Self {
        Self {
            clock,
            between_limit,
            total_limit,
            spent: Arc::default(),
        }
    }

    /// The plugin begins, or goes on.
    pub(crate) fn enter(&self) {
        let now = self.clock.monotonic();
        self.spent().entered = Some(now);
    }

    /// The plugin is left. Whether it called the host is not known yet: wasmtime announces the end of an epoch,
    /// `memory.grow` and the like as it does calls of what is linked.
    pub(crate) fn leave(&self) -> Result<(), Fault> {
        let now = self.clock.monotonic();
        let mut spent = self.spent();
        if let Some(entered) = spent.entered.take() {
            let inside = now.saturating_sub(entered);
            spent.since_host_call += inside;
            spent.total += inside;
        }
        self.check(&spent)
    }

    /// The plugin reached something that is linked.
    pub(crate) fn was_host_call(&self) {
        self.spent().since_host_call = Duration::ZERO;
    }

    /// Time inside so far.
    pub(crate) fn total(&self) -> Duration {
        let now = self.clock.monotonic();
        let spent = self.spent();
        let inside = spent
            .entered
            .map_or(Duration::ZERO, |entered| now.saturating_sub(entered));
        spent.total + inside
    }

    fn check(&self, spent: &Spent) -> Result<(), Fault> {
        if spent.since_host_call > self.between_limit {
            Err(Fault::CpuBetweenHostCalls {
                limit: self.between_limit,
            })
        } else if spent.total > self.total_limit {
            Err(Fault::CpuTotal {
                limit: self.total_limit,
            })
        } else {
            Ok(())
        }
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        // Durations are right whatever panicked beside them.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use idsync_model::UnixMillis;

    use super::*;

    #[derive(Default)]
    struct HandClock(AtomicU64);

    impl HandClock {
        fn advance(&self, seconds: u64) {
            self.0.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    impl Clock for HandClock {
        fn now(&self) -> UnixMillis {
            UnixMillis(0)
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    fn meter() -> (Arc<HandClock>, CpuMeter) {
        let clock = Arc::new(HandClock::default());
        let meter = CpuMeter::new(clock.clone(), Duration::from_secs(10), Duration::from_secs(30));
        (clock, meter)
    }

    #[test]
    fn time_in_the_host_is_not_the_plugins() {
        let (clock, meter) = meter();
        meter.enter();
        clock.advance(3);
        meter.leave().expect("within the limits");
        clock.advance(1_000);
        meter.enter();
        clock.advance(4);
        meter.leave().expect("within the limits");
        assert_eq!(meter.total(), Duration::from_secs(7));
    }

    #[test]
    fn to_be_left_is_no_call_of_the_host() {
        let (clock, meter) = meter();
        for _ in 0..10 {
            meter.enter();
            clock.advance(1);
            meter.leave().expect("within the limits");
        }
        meter.enter();
        clock.advance(1);
        assert!(matches!(meter.leave(), Err(Fault::CpuBetweenHostCalls { .. })));
    }

    #[test]
    fn calls_of_the_host_do_not_hide_the_total() {
        let (clock, meter) = meter();
        let mut end = Ok(());
        let mut turns = 0;
        while end.is_ok() {
            meter.enter();
            clock.advance(9);
            end = meter.leave();
            meter.was_host_call();
            turns += 1;
        }
        assert!(matches!(end, Err(Fault::CpuTotal { .. })));
        assert_eq!(turns, 4);
    }
}
