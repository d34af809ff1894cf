//! The provider's clock, as the answers of one call tell it.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use http::header::{AGE, DATE};
use idsync_model::{Clock, ProviderTime};

/// What the answers of one call have told. Its clones are told by the same answers.
#[derive(Clone)]
pub(super) struct ProviderClock {
    host: Arc<dyn Clock>,
    latest: Arc<Mutex<Option<ProviderTime>>>,
}

impl ProviderClock {
    pub(super) fn new(host: Arc<dyn Clock>) -> Self {
        Self {
            host,
            latest: Arc::default(),
        }
    }

    /// Reads the `Date` of an answer that has just come.
    pub(super) fn see(&self, headers: &HeaderMap) {
        // An answer from a cache (RFC 9111, section 5.1) says when it was made, and not what time it is.
        if headers.contains_key(AGE) {
            return;
        }
        let date = headers
            .get(DATE)
            .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        if let Some(date) = date {
            *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(ProviderTime {
                provider: date.into(),
                host: self.host.now(),
            });
        }
    }

    /// The provider's clock, by the last answer that told it.
    pub(super) fn latest(&self) -> Option<ProviderTime> {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use http::{HeaderName, HeaderValue};
    use idsync_model::UnixMillis;

    use super::*;

    /// A host whose clock goes on by a second with each look at it.
    #[derive(Default)]
    struct Counting(AtomicI64);

    impl Clock for Counting {
        fn now(&self) -> UnixMillis {
            UnixMillis(self.0.fetch_add(1_000, Ordering::Relaxed))
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn runs_6_2_the_providers_time_is_what_the_last_date_said() {
        let clock = ProviderClock::new(Arc::new(Counting::default()));
        assert_eq!(clock.latest(), None);
        // The example of RFC 9110, section 5.6.7.
        clock.see(&headers(&[(DATE, "Sun, 06 Nov 1994 08:49:37 GMT")]));
        clock
            .clone()
            .see(&headers(&[(DATE, "Sun, 06 Nov 1994 08:49:39 GMT")]));
        let told = ProviderTime {
            provider: UnixMillis(784_111_779_000),
            host: UnixMillis(1_000),
        };
        assert_eq!(clock.latest(), Some(told));
        for silent in [
            headers(&[]),
            headers(&[(DATE, "yesterday")]),
            headers(&[(DATE, "Sun, 06 Nov 1994 09:49:37 GMT"), (AGE, "60")]),
        ] {
            clock.see(&silent);
            assert_eq!(clock.latest(), Some(told), "{silent:?}");
        }
    }
}
