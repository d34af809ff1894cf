//! Okta's rate limits: so many requests of a bucket in a window, told in three headers of each answer.

use std::collections::HashMap;

use crate::answer::Answer;

/// The windows that are running.
#[derive(Debug, Default)]
pub(crate) struct Limits(HashMap<&'static str, Window>);

#[derive(Debug, Clone, Copy)]
struct Window {
    ends_ms: i64,
    used: u32,
}

/// What a request found in its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Unix seconds by the org's clock.
    pub(crate) reset: i64,
    pub(crate) is_refused: bool,
}

impl Limits {
    /// Takes one request out of a bucket.
    pub(crate) fn take(&mut self, bucket: &'static str, now_ms: i64, limit: u32, window_secs: i64) -> Taken {
        let length_ms = window_secs.max(1) * 1000;
        let fresh = Window {
            ends_ms: now_ms + length_ms,
            used: 0,
        };
        let window = self.0.entry(bucket).or_insert(fresh);
        if window.ends_ms <= now_ms || window.ends_ms > now_ms + length_ms {
            *window = fresh;
        }
        let is_refused = window.used >= limit;
        window.used = window.used.saturating_add(u32::from(!is_refused));
        Taken {
            limit,
            remaining: limit.saturating_sub(window.used),
            reset: window.ends_ms.div_euclid(1000) + 1,
            is_refused,
        }
    }

    /// Starts all windows anew.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Taken {
    /// Writes the three headers.
    pub(crate) fn tell(&self, answer: Answer) -> Answer {
        answer
            .with("x-rate-limit-limit", &self.limit.to_string())
            .with("x-rate-limit-remaining", &self.remaining.to_string())
            .with("x-rate-limit-reset", &self.reset.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_refused_when_empty_and_full_again_after_its_window() {
        let mut limits = Limits::default();
        assert_eq!(limits.take("apps", 5_000, 2, 10).remaining, 1);
        let last = limits.take("apps", 6_000, 2, 10);
        assert_eq!((last.remaining, last.reset, last.is_refused), (0, 16, false));
        assert!(limits.take("apps", 7_000, 2, 10).is_refused);
        assert!(!limits.take("users", 7_000, 2, 10).is_refused);
        assert_eq!(limits.take("apps", 15_000, 2, 10).remaining, 1);
    }
}
