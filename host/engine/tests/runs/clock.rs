//! A clock that tests set.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use idsync_model::{Clock, UnixMillis};

/// Stands still until it is moved.
#[derive(Debug)]
pub struct TestClock {
    time: AtomicI64,
    elapsed_ms: AtomicU64,
}

impl TestClock {
    pub fn new() -> Self {
        Self {
            time: AtomicI64::new(1_800_000_000_000),
            elapsed_ms: AtomicU64::new(0),
        }
    }

    pub fn time(&self) -> UnixMillis {
        UnixMillis(self.time.load(Ordering::SeqCst))
    }

    pub fn advance(&self, duration: Duration) {
        let millis = i64::try_from(duration.as_millis()).expect("a test's duration");
        self.time.fetch_add(millis, Ordering::SeqCst);
        self.elapsed_ms.fetch_add(millis.unsigned_abs(), Ordering::SeqCst);
    }

    /// The time of day is set back, as no time passes.
    pub fn jump_back(&self, duration: Duration) {
        let millis = i64::try_from(duration.as_millis()).expect("a test's duration");
        self.time.fetch_sub(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        self.time()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms.load(Ordering::SeqCst))
    }
}
