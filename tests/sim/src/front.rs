//! One request from its arrival to its answer: limits, faults, access, the endpoint, headers, the log.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HeaderName, HeaderValue, LINK};
use http::request::Parts;
use http::{HeaderMap, StatusCode, Version};

use crate::access::Access;
use crate::answer::{Answer, Links, okta_error, too_many_requests};
use crate::clock::http_date;
use crate::dpop;
use crate::faults::{FaultKind, RateHeaders};
use crate::ids::word;
use crate::limits::Taken;
use crate::mangle;
use crate::resources::{Endpoint, Request, organization};
use crate::seen::RequestSeen;
use crate::settings::LinkHeaders;
use crate::state::{State, lock, read};
use crate::token::{self, TokenRequest};

/// How an answer leaves.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// As it is.
    Whole(Answer),
    /// Broken off after so many bytes of the body; with the connection, or this request alone.
    Cut {
        answer: Answer,
        after_bytes: usize,
        connection: bool,
    },
    /// Stopped after so many bytes of the body.
    Stalled { answer: Answer, after_bytes: usize },
    /// A body of so many MiB.
    Big { answer: Answer, mib: u32, is_gzip: bool },
    /// No answer ever, the connection stays.
    Silence,
    /// No answer, the connection ends.
    Reset,
}

/// Answers a request.
pub(crate) async fn serve(state: &State, parts: &Parts, body: &[u8]) -> Delivery {
    let (n, running) = lock(&state.log).begin();
    let came_ms = state.clock.now_ms();
    let (latency_ms, concurrent) = {
        let settings = read(&state.settings);
        (settings.latency_ms, settings.concurrent)
    };
    if latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
    }
    let (endpoint, ids) = Endpoint::of(parts.method.as_str(), parts.uri.path());
    let mut visit = Visit {
        state,
        parts,
        endpoint,
        n,
        thumbprint: None,
    };
    let delivery = if concurrent.is_some_and(|most| running > most) {
        visit.finish(too_many_requests(), Some(RateHeaders::Concurrency), Vec::new())
    } else {
        visit.deliver(ids, body)
    };
    let status = match &delivery {
        Delivery::Silence | Delivery::Reset => 0,
        Delivery::Whole(answer)
        | Delivery::Cut { answer, .. }
        | Delivery::Stalled { answer, .. }
        | Delivery::Big { answer, .. } => answer.status.as_u16(),
    };
    let seen = visit.seen(came_ms, status);
    lock(&state.log).end(seen);
    state.asked.notify_all();
    delivery
}

struct Visit<'a> {
    state: &'a State,
    parts: &'a Parts,
    endpoint: Endpoint,
    n: u64,
    thumbprint: Option<String>,
}

impl Visit<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The URL without its query, as it was asked.
    fn url(&self) -> String {
        let authority = self.parts.uri.authority().map(ToString::to_string);
        let host = authority.or_else(|| self.header("host").map(str::to_owned));
        format!(
            "https://{}{}",
            host.as_deref().unwrap_or(&self.state.domain),
            self.path()
        )
    }

    fn accepts_gzip(&self) -> bool {
        let values = self.parts.headers.get_all(ACCEPT_ENCODING).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("gzip"))
    }

    fn deliver(&mut self, ids: Vec<String>, body: &[u8]) -> Delivery {
        let query = self.parts.uri.query().unwrap_or_default();
        let faults = lock(&self.state.faults).strike(self.parts.method.as_str(), self.path(), query);
        if let Some(delivery) = self.fail_before(&faults) {
            return delivery;
        }
        let url = self.url();
        let access = Access {
            headers: &self.parts.headers,
            method: self.parts.method.as_str(),
            path: self.path(),
            url: &url,
            scope: self.endpoint.scope(),
        };
        for fault in &faults {
            let refused = match fault {
                FaultKind::Unauthorized => access.unauthorized(self.state, "The access token is invalid."),
                FaultKind::AskNonce { status } => access.ask_nonce(self.state, *status),
                _ => continue,
            };
            return self.finish(refused, None, faults);
        }
        let taken = self.take();
        if taken.is_refused {
            return self.finish_with(taken, too_many_requests(), None, faults);
        }
        let answer = match self.endpoint {
            Endpoint::Organization => organization(self.state),
            Endpoint::Token => {
                let request = TokenRequest {
                    body,
                    proof: self.header("dpop"),
                    url: &url,
                };
                let (answer, thumbprint) = token::answer(self.state, &request);
                self.thumbprint = thumbprint;
                answer
            }
            endpoint => {
                let mut thumbprint = None;
                let checked = access.check(self.state, &mut thumbprint);
                self.thumbprint = thumbprint;
                let request = Request {
                    endpoint,
                    path: self.path().to_owned(),
                    ids,
                    query: url::form_urlencoded::parse(query.as_bytes())
                        .into_owned()
                        .collect(),
                    moved: mangle::moved(&faults),
                    accepts_gzip: self.accepts_gzip() && !mangle::needs_rows(&faults),
                };
                match checked {
                    Ok(()) => self.with_nonce(request.answer(self.state)),
                    Err(refused) => refused,
                }
            }
        };
        let answer = mangle::spoil(answer, &faults, &self.state.domain);
        self.finish_with(taken, answer, None, faults)
    }

    /// Tells the nonce to use from now on (RFC 9449 section 8.2), where resource requests need one.
    fn with_nonce(&self, answer: Answer) -> Answer {
        if !read(&self.state.settings).resource_nonce {
            return answer;
        }
        answer.with("dpop-nonce", &lock(&self.state.nonces).present())
    }

    /// What the faults answer without asking the endpoint.
    fn fail_before(&self, faults: &[FaultKind]) -> Option<Delivery> {
        for fault in faults {
            let (answer, rate) = match fault {
                FaultKind::Reset => return Some(Delivery::Reset),
                FaultKind::Stall { after_bytes: None } => return Some(Delivery::Silence),
                FaultKind::Status {
                    status,
                    rate,
                    retry_after,
                } => {
                    let answer = error_of(*status);
                    let answer = match retry_after {
                        Some(seconds) => answer.with("retry-after", &seconds.to_string()),
                        None => answer,
                    };
                    (answer, *rate)
                }
                FaultKind::NotFound => {
                    let what = self
                        .path()
                        .trim_end_matches("/users")
                        .rsplit('/')
                        .next()
                        .unwrap_or_default();
                    (crate::answer::not_found(what, "UserGroup"), RateHeaders::True)
                }
                FaultKind::ExpireTokens => {
                    lock(&self.state.tokens).expire();
                    continue;
                }
                FaultKind::Redirect { location } => {
                    let own = format!("{}/login/login.htm", self.state.base());
                    let answer = Answer::empty(StatusCode::FOUND);
                    (
                        answer.with("location", location.as_deref().unwrap_or(&own)),
                        RateHeaders::True,
                    )
                }
                FaultKind::Html => {
                    let page = "<!DOCTYPE html>\n<html><head><title>Acme - Sign In</title></head><body></body></html>";
                    let answer = Answer::json(StatusCode::OK, page);
                    (
                        answer.with("content-type", "text/html;charset=utf-8"),
                        RateHeaders::True,
                    )
                }
                FaultKind::Answer {
                    status,
                    content_type,
                    body,
                } => {
                    let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::OK);
                    let answer = Answer::json(status, body.clone());
                    (answer.with("content-type", content_type), RateHeaders::True)
                }
                FaultKind::BigBody { mib, gzip } => {
                    let answer = Answer::json(StatusCode::OK, Bytes::new());
                    let answer = if *gzip {
                        answer.with("content-encoding", "gzip")
                    } else {
                        answer
                    };
                    let Delivery::Whole(answer) = self.finish(answer, None, Vec::new()) else {
                        continue;
                    };
                    return Some(Delivery::Big {
                        answer,
                        mib: *mib,
                        is_gzip: *gzip,
                    });
                }
                _ => continue,
            };
            return Some(self.finish(answer, Some(rate), faults.to_vec()));
        }
        None
    }

    /// Takes one request out of the endpoint's bucket.
    fn take(&self) -> Taken {
        let bucket = self.endpoint.bucket();
        let (limit, window) = {
            let settings = read(&self.state.settings);
            (settings.limit_of(bucket), settings.window_secs)
        };
        lock(&self.state.limits).take(bucket, self.state.clock.now_ms(), limit, window)
    }

    fn finish(&self, answer: Answer, rate: Option<RateHeaders>, faults: Vec<FaultKind>) -> Delivery {
        self.finish_with(self.take(), answer, rate, faults)
    }

    /// Adds what every answer of Okta has, and decides how it leaves.
    fn finish_with(
        &self,
        taken: Taken,
        mut answer: Answer,
        rate: Option<RateHeaders>,
        faults: Vec<FaultKind>,
    ) -> Delivery {
        let now = self.state.clock.now();
        let day = 86_400;
        let told = match rate.unwrap_or_default() {
            RateHeaders::True => Some(taken),
            RateHeaders::Missing => None,
            RateHeaders::Empty => Some(Taken {
                remaining: 0,
                ..taken
            }),
            RateHeaders::Concurrency => Some(Taken {
                limit: 0,
                remaining: 0,
                ..taken
            }),
            RateHeaders::Past => Some(Taken {
                remaining: 0,
                reset: now - day,
                ..taken
            }),
            RateHeaders::FarAhead => Some(Taken {
                remaining: 0,
                reset: now + day,
                ..taken
            }),
        };
        if self.endpoint != Endpoint::Organization
            && let Some(told) = told
        {
            answer = told.tell(answer);
        }
        if let Some(links) = answer.links.take() {
            self.tell_links(&mut answer.headers, &links);
        }
        if !answer.is_gzip && self.accepts_gzip() && answer.body.len() > 512 {
            (answer.body, answer.is_gzip) = (crate::gzip::compressed(&answer.body), true);
        }
        if answer.is_gzip {
            answer = answer
                .with("content-encoding", "gzip")
                .with("vary", "Accept-Encoding");
        }
        if !answer.headers.contains_key("cache-control") {
            answer = answer
                .with("cache-control", "no-cache, no-store")
                .with("pragma", "no-cache");
        }
        answer = answer
            .with("date", &http_date(now))
            .with("server", "nginx")
            .with(
                "x-okta-request-id",
                &word(self.state.seed ^ 0x1d, self.n, 32).to_lowercase(),
            )
            .with("x-content-type-options", "nosniff")
            .with(
                "strict-transport-security",
                "max-age=315360000; includeSubDomains",
            );
        for fault in faults {
            match fault {
                FaultKind::Cut {
                    after_bytes,
                    connection,
                } => {
                    return Delivery::Cut {
                        answer,
                        after_bytes,
                        connection,
                    };
                }
                FaultKind::Stall {
                    after_bytes: Some(after_bytes),
                } => {
                    return Delivery::Stalled { answer, after_bytes };
                }
                _ => {}
            }
        }
        Delivery::Whole(answer)
    }

    fn tell_links(&self, headers: &mut HeaderMap, links: &Links) {
        let each = [("self", Some(&links.this)), ("next", links.next.as_ref())];
        let texts: Vec<String> = each
            .into_iter()
            .filter_map(|(name, link)| link.map(|link| format!("<{}>; rel=\"{name}\"", link.href())))
            .collect();
        let is_one = match read(&self.state.settings).link_headers {
            LinkHeaders::Several => false,
            LinkHeaders::One => true,
            LinkHeaders::Alternate => self.n.is_multiple_of(2),
        };
        let texts = if is_one { vec![texts.join(", ")] } else { texts };
        for value in texts.iter().filter_map(|text| HeaderValue::from_str(text).ok()) {
            headers.append(LINK, value);
        }
    }

    fn seen(&self, at_ms: i64, status: u16) -> RequestSeen {
        let secret = ["authorization", "dpop", "cookie"].map(HeaderName::from_static);
        let headers: BTreeMap<String, String> = self
            .parts
            .headers
            .iter()
            .filter(|(name, _)| !secret.contains(name))
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        let claims = self.header("dpop").and_then(dpop::claims_of);
        let claim = |name: &str| {
            claims
                .as_ref()
                .and_then(|claims| claims[name].as_str())
                .map(str::to_owned)
        };
        RequestSeen {
            n: self.n,
            at_ms,
            method: self.parts.method.to_string(),
            path: self.path().to_owned(),
            query: self.parts.uri.query().unwrap_or_default().to_owned(),
            endpoint: self.endpoint.pattern(),
            status,
            dpop_thumbprint: self.thumbprint.clone(),
            dpop_jti: claim("jti"),
            has_nonce: claim("nonce").is_some(),
            version: if self.parts.version == Version::HTTP_2 {
                "HTTP/2.0"
            } else {
                "HTTP/1.1"
            }
            .to_owned(),
            headers,
        }
    }
}

/// The error body that Okta sends with a status; a proxy in front of it sends none.
fn error_of(status: u16) -> Answer {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match status {
        429 => too_many_requests(),
        403 => crate::answer::forbidden(),
        401 => okta_error(code, "E0000011", "Invalid token provided", &[]),
        500 => okta_error(code, "E0000009", "Internal Server Error", &[]),
        502..=504 => Answer::json(code, format!("<html><body><h1>{code}</h1></body></html>"))
            .with("content-type", "text/html"),
        _ => okta_error(code, "E0000001", "Api validation failed: request", &[]),
    }
}
