//! What was asked of the org: a log of requests, counters by endpoint, and how many ran at once.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// The log keeps so many requests; the counters count all.
const KEPT: usize = 200_000;

/// One request that was answered, or broken off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestSeen {
    /// Its number, from 1.
    pub n: u64,
    /// When it came, in Unix milliseconds by the org's clock.
    pub at_ms: i64,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, without its question mark.
    pub query: String,
    /// The endpoint, as `/api/v1/apps/{id}/users`.
    pub endpoint: &'static str,
    /// The status of the answer; 0 when there was none.
    pub status: u16,
    /// The thumbprint of the DPoP key of a proof that was accepted.
    pub dpop_thumbprint: Option<String>,
    /// The `jti` of the proof that was sent, accepted or not.
    pub dpop_jti: Option<String>,
    /// Whether the proof had a nonce.
    pub has_nonce: bool,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The request's headers but `authorization` and `dpop`, lower-case.
    pub headers: BTreeMap<String, String>,
}

/// How often an endpoint was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EndpointCount {
    /// All requests.
    pub requests: u64,
    /// By the status of the answer; 0 stands for none.
    pub statuses: BTreeMap<u16, u64>,
}

/// How much was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// All requests since the counters were reset.
    pub requests: u64,
    /// By endpoint.
    pub endpoints: BTreeMap<&'static str, EndpointCount>,
    /// The most requests that ran at once.
    pub most_at_once: usize,
    /// How many connections were made.
    pub connections: u64,
}

/// The log and the counters.
#[derive(Debug, Default)]
pub(crate) struct Log {
    requests: VecDeque<RequestSeen>,
    counters: Counters,
    running: usize,
    last: u64,
}

impl Log {
    /// A request came; tells its number, and how many run now.
    pub(crate) fn begin(&mut self) -> (u64, usize) {
        self.last += 1;
        self.running += 1;
        self.counters.most_at_once = self.counters.most_at_once.max(self.running);
        (self.last, self.running)
    }

    /// A request was answered, or broken off.
    pub(crate) fn end(&mut self, request: RequestSeen) {
        self.running = self.running.saturating_sub(1);
        self.counters.requests += 1;
        let count = self.counters.endpoints.entry(request.endpoint).or_default();
        count.requests += 1;
        *count.statuses.entry(request.status).or_default() += 1;
        if self.requests.len() == KEPT {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    /// A connection was made.
    pub(crate) fn connected(&mut self) {
        self.counters.connections += 1;
    }

    /// The requests so far, oldest first.
    pub(crate) fn requests(&self) -> Vec<RequestSeen> {
        self.requests.iter().cloned().collect()
    }

    /// How many requests were counted so far.
    pub(crate) fn requests_counted(&self) -> u64 {
        self.counters.requests
    }

    /// The counters so far.
    pub(crate) fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Forgets all that was asked.
    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.counters = Counters {
            most_at_once: self.running,
            ..Counters::default()
        };
    }
}
