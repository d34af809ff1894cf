//! `timer`: how much time is left, whether to stop, and when the next run makes sense.

use std::sync::Arc;
use std::time::Duration;

use idsync_model::{Clock, Wake};
use tokio_util::sync::CancellationToken;
use wasmtime::component::{HasData, Linker};

use crate::bindings::timer;
use crate::text::cleaned;
use crate::{CallKind, CapabilityError};

/// Characters of the reason for a wake that are kept.
const REASON_LIMIT: usize = 500;

/// The time of one call.
pub struct TimerCtx {
    call: CallKind,
    clock: Arc<dyn Clock>,
    ends_at: Duration,
    cancel: CancellationToken,
    wake: Option<Wake>,
}

impl TimerCtx {
    /// A call that begins now and may take `time_limit`.
    pub fn new(
        call: CallKind,
        clock: Arc<dyn Clock>,
        time_limit: Duration,
        cancel: CancellationToken,
    ) -> Self {
        let ends_at = clock.monotonic().saturating_add(time_limit);
        Self {
            call,
            clock,
            ends_at,
            cancel,
            wake: None,
        }
    }

    /// How long the call may still take.
    pub fn remaining(&self) -> Duration {
        self.ends_at.saturating_sub(self.clock.monotonic())
    }

    /// The guest's last wish for the next run.
    pub fn wake(&self) -> Option<&Wake> {
        self.wake.as_ref()
    }
}

/// How a store's state lends the capability.
pub trait TimerView: Send {
    /// The context of this call.
    fn timer(&mut self) -> &mut TimerCtx;
}

struct HasTimer;

impl HasData for HasTimer {
    type Data<'a> = &'a mut TimerCtx;
}

/// Links `timer`.
pub fn add_to_linker<T: TimerView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    timer::add_to_linker::<T, HasTimer>(linker, T::timer)
}

impl timer::Host for TimerCtx {
    fn time_left(&mut self) -> wasmtime::Result<u64> {
        self.call.permit("timer.time-left")?;
        Ok(u64::try_from(self.remaining().as_millis()).unwrap_or(u64::MAX))
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        self.call.permit("timer.cancelled")?;
        Ok(self.cancel.is_cancelled())
    }

    fn wake_at(&mut self, time: u64, reason: String) -> wasmtime::Result<()> {
        self.call.permit("timer.wake-at")?;
        if i64::try_from(time).is_err() {
            return Err(CapabilityError::Contract(format!(
                "it asked to be woken at {time}, which is no time"
            ))
            .into());
        }
        let reason = cleaned(&reason, REASON_LIMIT);
        self.wake = Some(Wake { time, reason });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use idsync_model::UnixMillis;

    use super::timer::Host;
    use super::*;

    #[derive(Default)]
    struct HandClock(AtomicU64);

    impl Clock for HandClock {
        fn now(&self) -> UnixMillis {
            UnixMillis(0)
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    fn timer_of(call: CallKind) -> (TimerCtx, Arc<HandClock>, CancellationToken) {
        let clock = Arc::new(HandClock::default());
        let cancel = CancellationToken::new();
        let timer = TimerCtx::new(call, clock.clone(), Duration::from_mins(1), cancel.clone());
        (timer, clock, cancel)
    }

    #[test]
    fn the_time_left_runs_down_to_zero() {
        let (mut timer, clock, _) = timer_of(CallKind::Sync);
        assert_eq!(timer.time_left().unwrap(), 60_000);
        clock.0.store(59, Ordering::Relaxed);
        assert_eq!(timer.time_left().unwrap(), 1_000);
        clock.0.store(90, Ordering::Relaxed);
        assert_eq!(timer.time_left().unwrap(), 0);
    }

    #[test]
    fn a_plugin_sees_that_it_is_to_stop() {
        let (mut timer, _, cancel) = timer_of(CallKind::Verify);
        assert!(!timer.cancelled().unwrap());
        cancel.cancel();
        assert!(timer.cancelled().unwrap());
    }

    #[test]
    fn the_last_wake_stands_and_its_reason_is_cut() {
        let (mut timer, _, _) = timer_of(CallKind::Sync);
        timer.wake_at(5, "first".to_owned()).unwrap();
        timer.wake_at(9, "é".repeat(REASON_LIMIT + 5)).unwrap();
        let wake = timer.wake().unwrap();
        assert_eq!(wake.time, 9);
        assert_eq!(wake.reason.chars().count(), REASON_LIMIT);
        assert!(timer.wake_at(u64::MAX, String::new()).is_err());
    }

    #[test]
    fn describe_and_normalize_know_no_time() {
        for call in [CallKind::Describe, CallKind::Normalize] {
            let (mut timer, _, _) = timer_of(call);
            let error = timer.time_left().unwrap_err();
            let failure = crate::error::failure_in(&error, "describe");
            assert!(failure.summary.contains("timer.time-left"), "{}", failure.summary);
            assert!(failure.summary.contains(call.as_str()), "{}", failure.summary);
        }
    }
}
