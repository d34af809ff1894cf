//! Durations as people write and read them: `10s`, `1h 30m`, `30d`.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// A day.
pub const DAY: Duration = Duration::from_hours(24);

/// Reads a duration that lies between two bounds. The text of the error names them.
pub fn within(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let wanted = format!(
        "give a time from {} to {}, such as 90s, 2h, 1h 30m or 3d",
        short(least),
        short(most)
    );
    let span: Span = text
        .parse()
        .map_err(|_| format!("`{text}` is no duration: {wanted}"))?;
    // A day has 24 hours here. A month and a year have no length of their own.
    let duration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| format!("`{text}` has no fixed length: {wanted}"))?;
    match Duration::try_from(duration) {
        Ok(duration) if (least..=most).contains(&duration) => Ok(duration),
        _ => Err(format!("`{text}` is out of bounds: {wanted}")),
    }
}

/// The shortest text of a duration: `2h`, `1h 30m`, `30d`. What is below a second is cut off unless that is all.
pub fn short(duration: Duration) -> String {
    let shown = if duration < Duration::from_secs(1) {
        duration
    } else {
        Duration::from_secs(duration.as_secs())
    };
    if !shown.is_zero() && shown.as_secs().is_multiple_of(DAY.as_secs()) && shown.subsec_nanos() == 0 {
        return format!("{}d", shown.as_secs() / DAY.as_secs());
    }
    SignedDuration::try_from(shown).map_or_else(|_| format!("{shown:?}"), |signed| format!("{signed:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(10);
    const MOST: Duration = Duration::from_hours(30 * 24);

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("10s", 10),
            ("90 seconds", 90),
            ("15m", 900),
            ("2h", 7200),
            ("1h 30m", 5400),
            ("1h30m", 5400),
            ("1d", 86_400),
            ("30d", 2_592_000),
            ("1w", 604_800),
            ("PT2H", 7200),
        ] {
            let read = within(text, LEAST, MOST);
            assert_eq!(read, Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_lies_outside_is_refused_with_the_bounds() {
        for text in ["1ms", "9s", "0s", "-2h", "31d", "2000w"] {
            let error = within(text, LEAST, MOST).unwrap_err();
            assert!(error.contains("from 10s to 30d"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_what_would_be_one() {
        for text in ["", "2", "soon", "1 month", "1y", "2h;"] {
            let error = within(text, LEAST, MOST).unwrap_err();
            assert!(error.contains("from 10s to 30d, such as 90s"), "{text}: {error}");
        }
    }

    #[test]
    fn durations_are_written_short() {
        for (seconds, text) in [
            (10, "10s"),
            (7200, "2h"),
            (5400, "1h 30m"),
            (2_592_000, "30d"),
            (90_000, "25h"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
        assert_eq!(short(Duration::from_millis(90_500)), "1m 30s");
    }
}
