//! The org's clock: real time, set off by a skew or standing still, and the ways Okta writes a time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// No time that a test would set.
const RUNNING: i64 = i64::MIN;

/// What time it is at the org.
#[derive(Debug)]
pub(crate) struct Clock {
    skew_ms: AtomicI64,
    frozen_ms: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            skew_ms: AtomicI64::new(0),
            frozen_ms: AtomicI64::new(RUNNING),
        }
    }
}

impl Clock {
    /// Unix milliseconds by the org's clock.
    pub(crate) fn now_ms(&self) -> i64 {
        match self.frozen_ms.load(Ordering::Relaxed) {
            RUNNING => real_ms() + self.skew_ms.load(Ordering::Relaxed),
            frozen => frozen,
        }
    }

    /// Unix seconds by the org's clock.
    pub(crate) fn now(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }

    /// Lets the clock run, `skew_ms` ahead of the machine's.
    pub(crate) fn skew(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
        self.frozen_ms.store(RUNNING, Ordering::Relaxed);
    }

    /// Stops the clock at a time.
    pub(crate) fn freeze(&self, unix_ms: i64) {
        self.frozen_ms.store(unix_ms, Ordering::Relaxed);
    }

    /// Moves the clock, running or stopped.
    pub(crate) fn advance(&self, by_ms: i64) {
        if self.frozen_ms.load(Ordering::Relaxed) == RUNNING {
            self.skew_ms.fetch_add(by_ms, Ordering::Relaxed);
        } else {
            self.frozen_ms.fetch_add(by_ms, Ordering::Relaxed);
        }
    }
}

/// Unix milliseconds by the machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the simulator reads the machine's clock"
)]
fn real_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Year, month, day, hour, minute, second and weekday (0 is Monday) of a time in UTC.
fn fields(unix: i64) -> (i16, i8, i8, i8, i8, i8, usize) {
    let timestamp = jiff::Timestamp::from_second(unix).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let at = jiff::tz::Offset::UTC.to_datetime(timestamp);
    let weekday = usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or(0);
    (
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        weekday,
    )
}

/// A time as the bodies write it: `2026-03-28T10:05:34.000Z`.
pub(crate) fn iso(unix: i64) -> String {
    let (year, month, day, hour, minute, second, _) = fields(unix);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

/// A time as the `date` header writes it (RFC 9110 section 5.6.7).
pub(crate) fn http_date(unix: i64) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (year, month, day, hour, minute, second, weekday) = fields(unix);
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    format!(
        "{}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        DAYS[weekday]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_okta_writes_them() {
        assert_eq!(iso(1_774_692_334), "2026-03-28T10:05:34.000Z");
        assert_eq!(http_date(1_774_692_334), "Sat, 28 Mar 2026 10:05:34 GMT");
    }

    #[test]
    fn a_clock_runs_ahead_stands_still_and_is_moved() {
        let clock = Clock::default();
        clock.skew(3_600_000);
        assert!((clock.now_ms() - real_ms() - 3_600_000).abs() < 5_000);
        clock.freeze(1_000_000);
        assert_eq!(clock.now_ms(), 1_000_000);
        clock.advance(2_500);
        assert_eq!(clock.now(), 1_002);
    }
}
