//! The clock of the measurements.
#![expect(clippy::disallowed_methods, reason = "a bench measures how long things take")]

use std::time::{Duration, Instant, SystemTime};

/// Now, for differences.
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970.
pub fn unix() -> u64 {
    unix_ms() / 1000
}

/// Waits between two looks at another process that tells nothing by itself.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
