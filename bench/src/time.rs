//! The clock of the measurements.
#![expect(clippy::disallowed_methods, reason = "a bench measures how long things take")]

use std::time::{Duration, Instant, SystemTime};

/// Now, for differences.
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970.
pub fn unix() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Waits between two looks at another process that tells nothing by itself.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
