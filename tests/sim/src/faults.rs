//! Faults on demand: what goes wrong, on which requests, and how often.

use serde::{Deserialize, Serialize};

/// A fault that waits for the requests it is meant for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The paths it is meant for, with `*` for anything; a pattern with `?` is matched against path and query.
    #[serde(default = "any_path")]
    pub path: String,
    /// The method it is meant for; null for any.
    #[serde(default)]
    pub method: Option<String>,
    /// The first of the matching requests that it strikes, from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many matching requests it strikes; null for all from then on.
    #[serde(default = "once")]
    pub count: Option<u64>,
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
}

fn any_path() -> String {
    "*".to_owned()
}

fn one() -> u64 {
    1
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the type of the field")]
fn once() -> Option<u64> {
    Some(1)
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum FaultKind {
    /// An error status with the body that Okta gives it.
    Status {
        /// The status, as 503.
        status: u16,
        /// What the rate-limit headers say.
        #[serde(default)]
        rate: RateHeaders,
        /// Seconds of a `Retry-After` header.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// 404 with Okta's body.
    NotFound,
    /// The connection ends before an answer.
    Reset,
    /// The answer ends in the middle of its body.
    Cut {
        /// So many bytes of the body are sent before.
        #[serde(default)]
        after_bytes: usize,
        /// Whether the whole connection ends, or (over HTTP/2) this request alone.
        #[serde(default = "yes")]
        connection: bool,
    },
    /// The answer stops and the connection stays open, until the faults are removed or the client goes away.
    Stall {
        /// So many bytes of the body are sent before; null to stall before the headers.
        #[serde(default)]
        after_bytes: Option<usize>,
    },
    /// 401: the token is refused.
    Unauthorized,
    /// A nonce is asked for, whatever the proof says.
    AskNonce {
        /// 401 as RFC 9449 section 9 says, or 400.
        #[serde(default = "unauthorized")]
        status: u16,
    },
    /// Every token that was given out ends.
    ExpireTokens,
    /// 302.
    Redirect {
        /// Where to; null for the org's sign-in page.
        #[serde(default)]
        location: Option<String>,
    },
    /// A page of HTML in place of JSON.
    Html,
    /// Any answer, given word by word.
    Answer {
        /// The status.
        #[serde(default = "ok")]
        status: u16,
        /// The content type.
        #[serde(default = "json_type")]
        content_type: String,
        /// The body.
        body: String,
    },
    /// `200 []` without a next link.
    EmptyList,
    /// A page without rows whose next link stays.
    EmptyPage,
    /// A body of so many MiB, made while it is sent.
    BigBody {
        /// Its size after decompression.
        mib: u32,
        /// Whether it comes as a small gzip stream.
        #[serde(default)]
        gzip: bool,
    },
    /// One more header of so many bytes.
    HugeHeader {
        /// Its size.
        bytes: usize,
    },
    /// The next link leads astray.
    Next {
        /// Where to.
        to: NextTo,
    },
    /// The links lack parameters.
    DropParameters {
        /// Their names, as `limit`.
        names: Vec<String>,
    },
    /// A row lacks its id.
    WithoutId {
        /// Which row, from 0.
        #[serde(default)]
        row: usize,
    },
    /// A row lacks `_embedded`.
    WithoutEmbedded {
        /// Which row, from 0.
        #[serde(default)]
        row: usize,
    },
    /// Each row has so many more fields.
    ExtraFields {
        /// How many.
        fields: usize,
    },
    /// The names of the first row are so long.
    LongName {
        /// How many bytes.
        bytes: usize,
    },
    /// The listing moved: a page begins with the last row of the page before.
    RepeatRow,
    /// The listing moved: a page lacks its first row.
    MissRow,
    /// A page of more than so many rows is refused.
    TooLarge {
        /// The highest `limit` that is served.
        over: usize,
        /// The status, as 504.
        #[serde(default = "timeout")]
        status: u16,
    },
}

fn yes() -> bool {
    true
}

fn ok() -> u16 {
    200
}

fn unauthorized() -> u16 {
    401
}

fn timeout() -> u16 {
    504
}

fn json_type() -> String {
    "application/json".to_owned()
}

/// What the rate-limit headers of an error say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateHeaders {
    /// What is true of the bucket.
    #[default]
    True,
    /// They are missing.
    Missing,
    /// The bucket is empty until the end of its window.
    Empty,
    /// Limit and remaining are both 0: too many requests at once.
    Concurrency,
    /// The reset lies in the past.
    Past,
    /// The reset lies a day ahead.
    FarAhead,
}

/// Where a next link leads astray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextTo {
    /// Another host.
    OtherHost,
    /// Another port of the host.
    OtherPort,
    /// `http`.
    OtherScheme,
    /// The same page again.
    Itself,
    /// The first page.
    First,
    /// Nowhere: no URL.
    Nonsense,
    /// A cursor that the org refuses.
    BadCursor,
}

impl Fault {
    /// A fault that strikes the next request, whatever it is.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            path: any_path(),
            method: None,
            nth: one(),
            count: once(),
            kind,
        }
    }

    /// Strikes requests to these paths only.
    #[must_use]
    pub fn on(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Strikes from the `nth` matching request on, counted from 1.
    #[must_use]
    pub fn from_nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// Strikes so many requests.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Strikes every matching request.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.count = None;
        self
    }

    fn is_meant_for(&self, method: &str, path: &str, query: &str) -> bool {
        if self
            .method
            .as_deref()
            .is_some_and(|wanted| !wanted.eq_ignore_ascii_case(method))
        {
            return false;
        }
        if self.path.contains('?') {
            return matches(&self.path, &format!("{path}?{query}"));
        }
        matches(&self.path, path)
    }
}

/// Whether a text fits a pattern with `*`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(head) else {
        return false;
    };
    (0..=rest.len())
        .filter(|from| rest.is_char_boundary(*from))
        .any(|from| matches(tail, &rest[from..]))
}

/// A fault with what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct SetFault {
    /// Its number.
    pub id: u64,
    /// How many requests matched.
    pub matched: u64,
    /// How many it struck.
    pub struck: u64,
    /// What was set.
    #[serde(flatten)]
    pub fault: Fault,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    set: Vec<SetFault>,
    last_id: u64,
}

impl Faults {
    /// Sets one, and tells its number.
    pub(crate) fn add(&mut self, fault: Fault) -> u64 {
        self.last_id += 1;
        self.set.push(SetFault {
            id: self.last_id,
            matched: 0,
            struck: 0,
            fault,
        });
        self.last_id
    }

    /// Removes one; false when there is none of that number.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.set.len();
        self.set.retain(|set| set.id != id);
        self.set.len() < before
    }

    /// Removes all.
    pub(crate) fn clear(&mut self) {
        self.set.clear();
    }

    /// All that are set.
    pub(crate) fn all(&self) -> Vec<SetFault> {
        self.set.clone()
    }

    /// What strikes a request.
    pub(crate) fn strike(&mut self, method: &str, path: &str, query: &str) -> Vec<FaultKind> {
        let mut struck = Vec::new();
        for set in &mut self.set {
            if !set.fault.is_meant_for(method, path, query) {
                continue;
            }
            set.matched += 1;
            let is_begun = set.matched >= set.fault.nth;
            if is_begun && set.fault.count.is_none_or(|count| set.struck < count) {
                set.struck += 1;
                struck.push(set.fault.kind.clone());
            }
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_the_requests_it_is_meant_for_and_no_more() {
        let mut faults = Faults::default();
        faults.add(
            Fault::new(FaultKind::Html)
                .on("/api/v1/apps/*/users")
                .from_nth(2)
                .times(2),
        );
        let mut strike = |path: &str| faults.strike("GET", path, "limit=1").len();
        assert_eq!(strike("/api/v1/apps"), 0);
        let hits: Vec<_> = (0..5).map(|_| strike("/api/v1/apps/0oa1/users")).collect();
        assert_eq!(hits, [0, 1, 1, 0, 0]);
    }

    #[test]
    fn a_pattern_with_a_query_sees_the_query() {
        assert!(matches("/a/*?*after=*", "/a/b?limit=1&after=2"));
        assert!(!matches("/a/*?*after=*", "/a/b?limit=1"));
        assert!(matches("*", "") && !matches("/a", "/a/"));
    }

    #[test]
    fn a_fault_is_written_as_one_flat_object() {
        let fault: Fault =
            serde_json::from_str(r#"{"fault":"status","status":429,"rate":"concurrency","count":null}"#)
                .unwrap();
        let kind = FaultKind::Status {
            status: 429,
            rate: RateHeaders::Concurrency,
            retry_after: None,
        };
        assert_eq!(fault, Fault::new(kind).always());
        let stall: Fault = serde_json::from_str(r#"{"fault":"stall","path":"/x"}"#).unwrap();
        assert_eq!(stall, Fault::new(FaultKind::Stall { after_bytes: None }).on("/x"));
    }
}
