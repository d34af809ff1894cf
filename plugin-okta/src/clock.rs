//! Okta's time: what its `Date` header says, carried on by the host's monotonic clock (RUNS §6.2).

use std::cell::Cell;
use std::time::Duration;

use crate::host::{Headers, Host};

/// Okta's clock as far as its answers have told it. Before the first answer the host's own stands in.
#[derive(Debug, Default)]
pub struct OktaClock {
    told: Cell<Option<Told>>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    okta_ms: i64,
    at: Duration,
    host_ahead_ms: i64,
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The time in an answer's `Date` header in Unix milliseconds (RFC 9110, section 6.6.1).
pub fn date_ms(headers: &Headers) -> Option<i64> {
    // `Tue, 06 Jan 2026 09:19:34 GMT`: the day of the week adds nothing, and a wrong one does no harm.
    let (_, date) = headers.get("date")?.trim().split_once(", ")?;
    let mut words = date.split_ascii_whitespace();
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if words.next() != Some("GMT") {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    i64::try_from(parse_timestamp_ms(&format!("{year}-{month}-{day}T{time}Z"))?).ok()
}

impl OktaClock {
    /// Takes the time from an answer that has just come in; returns it.
    pub fn learn<H: Host>(&self, host: &H, headers: &Headers) -> Option<i64> {
        let okta_ms = date_ms(headers)?;
        self.told.set(Some(Told {
            okta_ms,
            at: host.monotonic(),
            host_ahead_ms: host.wall_ms().saturating_sub(okta_ms),
        }));
        Some(okta_ms)
    }

    /// Okta's time in Unix milliseconds, up to a second late because `Date` has whole seconds.
    pub fn now_ms<H: Host>(&self, host: &H) -> i64 {
        match self.told.get() {
            Some(told) => {
                let since = host.monotonic().saturating_sub(told.at);
                told.okta_ms
                    .saturating_add(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            None => host.wall_ms(),
        }
    }

    /// Okta's time in Unix seconds.
    pub fn now_seconds<H: Host>(&self, host: &H) -> i64 {
        self.now_ms(host).div_euclid(1000)
    }

    /// By how many seconds the host's clock is ahead of Okta's (negative: behind), when an answer has told it.
    pub fn host_ahead_seconds(&self) -> Option<i64> {
        self.told.get().map(|told| told.host_ahead_ms / 1000)
    }
}

/// The time of day in UTC, for people. A begun second counts whole, so that it is not told as over before it is.
pub fn time_of_day(unix_ms: i64) -> String {
    let seconds = unix_ms.saturating_add(999).div_euclid(1000).rem_euclid(86_400);
    format!(
        "{:02}:{:02}:{:02} UTC",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Unix milliseconds of a time as Okta writes it in JSON, such as `2026-01-06T09:19:34.000Z`.
pub fn parse_timestamp_ms(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second)
        && fraction.bytes().all(|b| b.is_ascii_digit());
    if !in_range {
        return None;
    }
    // Days since 1970-01-01 in the Gregorian calendar, with years that begin in March so that leap days come last.
    let march_year = if month <= 2 { year - 1 } else { year };
    let march_month = (month + 9) % 12;
    let days = 365 * march_year + march_year / 4 - march_year / 100
        + march_year / 400
        + (march_month * 306 + 5) / 10
        + (day - 1)
        - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    let milliseconds: String = fraction.chars().chain("000".chars()).take(3).collect();
    u64::try_from(seconds * 1000 + milliseconds.parse::<i64>().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_of_okta_are_read_to_the_millisecond() {
        assert_eq!(parse_timestamp_ms("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(
            parse_timestamp_ms("2000-02-29T12:30:15.250Z"),
            Some(951_827_415_250)
        );
        assert_eq!(
            parse_timestamp_ms("2026-01-06T09:19:34.000Z"),
            Some(1_767_691_174_000)
        );
        assert_eq!(
            parse_timestamp_ms("2026-01-06T09:19:34Z"),
            Some(1_767_691_174_000)
        );
    }

    #[test]
    fn dates_of_http_are_read_whatever_their_weekday() {
        let date = |text: &str| date_ms(&Headers(vec![("Date".to_owned(), text.to_owned())]));
        assert_eq!(date("Tue, 06 Jan 2026 09:19:34 GMT"), Some(1_767_691_174_000));
        assert_eq!(date("Mon, 06 Jan 2026 09:19:34 GMT"), Some(1_767_691_174_000));
        for text in [
            "",
            "now",
            "Tue, 06 Jan 2026 09:19:34 +0100",
            "Tue, 06 Foo 2026 09:19:34 GMT",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_told_in_whole_seconds_that_are_not_over() {
        assert_eq!(time_of_day(0), "00:00:00 UTC");
        assert_eq!(time_of_day(1_767_691_174_000), "09:19:34 UTC");
        assert_eq!(time_of_day(1_767_691_174_001), "09:19:35 UTC");
        assert_eq!(time_of_day(86_399_001), "00:00:00 UTC");
    }

    #[test]
    fn what_is_no_timestamp_is_none() {
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00.000Z",
            "2026-01-06T09:19:34.000+01:00",
        ] {
            assert_eq!(parse_timestamp_ms(text), None, "{text}");
        }
    }
}
