//! Requests to one org: each with its own proof, at the pace that Okta allows, tried again where that may help.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, select};
use serde::Deserialize;

use crate::auth::{Auth, Nonce, Token};
use crate::bodies::{Bodies, Gathering, ONE_BODY_BYTES, Reservation};
use crate::clock::OktaClock;
use crate::describe::VERSION;
use crate::failure::{ErrorKind, Failure};
use crate::host::{Body as _, Headers, Host, HttpRequest, Method, TransportError};
use crate::json::{self, Flaw};
use crate::okta_error::OktaError;
use crate::pace::{Bucket, Pace, Permit, Turn};
use crate::retry::{Budget, Step, Tries};
use crate::settings::Settings;
use crate::told::{Told, Wait};

/// A request that has taken this long is given up, however steadily its body drips.
const REQUEST_LIMIT: Duration = Duration::from_mins(5);
/// How often a wait looks up to see whether the run is to end.
const LOOK_UP: Duration = Duration::from_secs(1);
/// How often a request in flight looks up.
const LOOK_UP_IN_FLIGHT: Duration = Duration::from_millis(500);
/// How long requests in flight may still take when the run is to end (RUNS §6.6). The host gives 5 seconds in all; the
/// rest is for the last checkpoint.
const GRACE: Duration = Duration::from_millis(3500);
/// What is left of a run's time for the last checkpoint.
const LAST_MOMENTS: Duration = Duration::from_secs(5);
/// Errors have small bodies; the rest of a large one is not read.
const ERROR_BODY_BYTES: usize = 256 << 10;

/// One thing to ask for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Where in the run, for people.
    pub stage: &'static str,
    /// What is asked for, for people.
    pub what: Rc<str>,
    /// What Okta counts it with.
    pub bucket: Bucket,
    /// Path and query.
    pub target: String,
    /// Whether the page can be asked for in smaller pieces when it is too much.
    pub may_shrink: bool,
}

/// An answer whose body has been read.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The body. It counts against what may be held until the answer is dropped.
    pub body: Vec<u8>,
    /// When it was given, by Okta's clock, in Unix milliseconds.
    pub date_ms: i64,
    _reservation: Reservation,
}

/// What came of asking for a page.
#[derive(Debug)]
pub enum Fetched {
    /// An answer. Its status is 2xx, or one that trying again would not change.
    Answer(Answer),
    /// The page is too much for Okta or for the host; the failure is what to report when it can't be made smaller.
    TooMuch(Failure),
}

/// The way to one org for one call.
pub struct Client<'h, H: Host> {
    /// The host.
    pub host: &'h H,
    /// The settings.
    pub settings: Settings,
    /// Okta's time.
    pub clock: OktaClock,
    pub(crate) pace: Rc<Pace>,
    pub(crate) budget: Budget,
    pub(crate) auth: Auth,
    bodies: Rc<Bodies>,
    told: Told,
    is_stopped: Cell<bool>,
    waiting: Cell<u32>,
    waiting_since: Cell<Duration>,
    waited: Cell<Duration>,
}

impl<'h, H: Host> Client<'h, H> {
    /// A client that has sent nothing yet.
    pub fn new(host: &'h H, settings: Settings) -> Self {
        Self {
            host,
            clock: OktaClock::default(),
            pace: Pace::new(settings.rate_limit_percent),
            budget: Budget::default(),
            auth: Auth::default(),
            bodies: Rc::default(),
            told: Told::default(),
            is_stopped: Cell::new(false),
            waiting: Cell::new(0),
            waiting_since: Cell::new(Duration::ZERO),
            waited: Cell::new(Duration::ZERO),
            settings,
        }
    }

    /// Requests that were sent.
    pub fn requests(&self) -> u64 {
        self.budget.requests()
    }

    /// Requests that were sent again.
    pub fn retries(&self) -> u64 {
        self.budget.resent()
    }

    /// How long requests were held back because of Okta's limits. Time in which several waited counts once.
    pub fn waited(&self) -> Duration {
        self.waited.get()
    }

    /// From now on nothing new is sent. Requests in flight may still be answered.
    pub fn stop(&self) {
        self.is_stopped.set(true);
        self.pace.changed.wake_all();
    }

    /// Tells how far the work of a stage is.
    pub(crate) fn progress(&self, stage: &'static str, done: u64, total: Option<u64>) {
        self.told.work(self.host, stage, done, total);
    }

    /// Fails when the run is to end.
    pub fn check_end(&self, stage: &'static str) -> Result<(), Failure> {
        if self.is_stopped.get() || self.host.cancelled() {
            return Err(Failure::new(
                ErrorKind::Cancelled,
                stage,
                "The run was asked to end before everything was read.",
                "",
            ));
        }
        if self.host.time_left() <= LAST_MOMENTS {
            return Err(Failure::new(
                ErrorKind::Deadline,
                stage,
                "The run's time ended before everything was read.",
                "Large orgs may need a larger share of Okta's rate limits: raise `rate_limit_percent`, or the app's \
                 share on its Application Rate Limits tab at Okta.",
            ));
        }
        Ok(())
    }

    /// Waits, unless the run's time would end before.
    pub(crate) async fn wait(&self, stage: &'static str, duration: Duration) -> Result<(), Failure> {
        let until = self.host.monotonic() + duration;
        loop {
            self.check_end(stage)?;
            let left = until.saturating_sub(self.host.monotonic());
            if left.is_zero() {
                return Ok(());
            }
            self.host.sleep(left.min(LOOK_UP)).await;
        }
    }

    /// Asks without a token. Answers of any status come back, but for those that were tried again to no end.
    pub async fn fetch_open(&self, stage: &'static str, what: &str, target: &str) -> Result<Answer, Failure> {
        let mut tries = Tries::new(stage, what, false);
        loop {
            let permit = self.permit(stage, Bucket::Open).await?;
            let request = self.request(target, Vec::new());
            let outcome = self
                .exchange(stage, request, permit, None, Bucket::Open, &|_| ())
                .await;
            match tries.judge(self, Bucket::Open, outcome).await? {
                Step::Done(answer) | Step::Unauthorized(answer) => return Ok(answer),
                Step::Again => {}
                Step::TooMuch(failure) => return Err(failure),
            }
        }
    }

    /// Asks with a token and a proof. `on_head` is told of the head of each answer of status 200 before its body is read,
    /// and of nothing when that did not come whole.
    pub async fn fetch(&self, ask: &Ask, on_head: &dyn Fn(Option<&Headers>)) -> Result<Fetched, Failure> {
        let mut tries = Tries::new(ask.stage, Rc::clone(&ask.what), ask.may_shrink);
        loop {
            self.token().await?;
            let permit = self.permit(ask.stage, ask.bucket).await?;
            // Waiting for the permit may have taken longer than the token is good for.
            let Some(token) = self.present_token() else {
                continue;
            };
            let headers = self.authorization(ask.stage, &ask.target, &token).await?;
            let request = self.request(&ask.target, headers);
            let outcome = self
                .exchange(
                    ask.stage,
                    request,
                    permit,
                    Some(Nonce::Resource),
                    ask.bucket,
                    on_head,
                )
                .await;
            if !outcome.as_ref().is_ok_and(Answer::is_whole) {
                on_head(None);
            }
            match tries.judge(self, ask.bucket, outcome).await? {
                Step::Done(answer) => return Ok(Fetched::Answer(answer)),
                Step::Again => {}
                Step::TooMuch(failure) => return Ok(Fetched::TooMuch(failure)),
                Step::Unauthorized(answer) => self.renew_after(ask, &token, &answer)?,
            }
        }
    }

    /// Asks for one thing that can't be made smaller. `what` is what it is, for people.
    pub async fn get(
        &self,
        stage: &'static str,
        what: &str,
        bucket: Bucket,
        target: String,
    ) -> Result<Answer, Failure> {
        let ask = Ask {
            stage,
            what: what.into(),
            bucket,
            target,
            may_shrink: false,
        };
        match self.fetch(&ask, &|_| ()).await? {
            Fetched::Answer(answer) => Ok(answer),
            Fetched::TooMuch(failure) => Err(failure),
        }
    }

    async fn authorization(
        &self,
        stage: &'static str,
        target: &str,
        token: &Token,
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        if !token.is_bound() {
            return Ok(vec![("authorization", format!("Bearer {}", token.secret()))]);
        }
        let proof = self
            .proof(stage, Method::Get, target, Nonce::Resource, Some(token))
            .await?;
        Ok(vec![
            ("authorization", format!("DPoP {}", token.secret())),
            ("dpop", proof),
        ])
    }

    fn request(&self, target: &str, more: Vec<(&'static str, String)>) -> HttpRequest {
        let mut headers = vec![
            ("accept", "application/json".to_owned()),
            ("user-agent", format!("idsync/{VERSION}")),
        ];
        headers.extend(more);
        HttpRequest {
            method: Method::Get,
            authority: self.settings.domain.authority().to_owned(),
            target: target.to_owned(),
            headers,
            body: None,
        }
    }

    /// Waits for a turn.
    pub(crate) async fn permit(&self, stage: &'static str, bucket: Bucket) -> Result<Permit, Failure> {
        let mut since = None;
        loop {
            self.check_end(stage)?;
            let now = self.host.monotonic();
            match self.pace.turn(bucket, now) {
                Turn::Go(permit) => {
                    if since.is_some() {
                        self.told.goes_on(self.host, stage);
                    }
                    return Ok(permit);
                }
                Turn::NotBefore(until) => {
                    let wait = Wait {
                        stage,
                        bucket,
                        since: *since.get_or_insert(now),
                        until,
                    };
                    self.wait_for_limit(wait, until.saturating_sub(now)).await?;
                }
                Turn::Full => self.wait_for_change(LOOK_UP).await,
            }
        }
    }

    async fn wait_for_change(&self, at_most: Duration) {
        let changed = pin!(self.pace.changed.changed());
        let sleep = pin!(self.host.sleep(at_most));
        select(changed, sleep).await;
    }

    async fn wait_for_limit(&self, wait: Wait, duration: Duration) -> Result<(), Failure> {
        self.check_rate_wait(wait.stage, duration, &OktaError::default())?;
        self.told.wait(self.host, self.clock.now_ms(self.host), wait);
        if self.waiting.get() == 0 {
            self.waiting_since.set(self.host.monotonic());
        }
        self.waiting.set(self.waiting.get() + 1);
        let waiting = Waiting { client: self };
        // A little later than told, each at another moment, so that not all begin at once.
        let jitter = self.random_up_to(LOOK_UP / 4);
        self.wait_for_change((duration + jitter).min(LOOK_UP)).await;
        drop(waiting);
        Ok(())
    }

    /// Fails when waiting for a limit would take longer than the run may.
    pub(crate) fn check_rate_wait(
        &self,
        stage: &'static str,
        duration: Duration,
        error: &OktaError,
    ) -> Result<(), Failure> {
        if duration + LAST_MOMENTS < self.host.time_left() {
            return Ok(());
        }
        Err(self.rate_limited(stage, duration, error))
    }

    pub(crate) fn rate_limited(&self, stage: &'static str, wait: Duration, error: &OktaError) -> Failure {
        let retry_at = u64::try_from(self.clock.now_seconds(self.host))
            .unwrap_or(0)
            .saturating_add(wait.as_secs() + 1);
        self.host
            .wake_at(retry_at, "Okta's rate limit is used up until then");
        Failure {
            provider_code: error.code.clone(),
            request_id: error.request_id.clone(),
            retry_at: Some(retry_at),
            ..Failure::new(
                ErrorKind::RateLimited,
                stage,
                format!(
                    "Okta's rate limit left no way to go on in time{}.",
                    error.quoted()
                ),
                "Raise the app's share on its Application Rate Limits tab at Okta, or find out which other client of \
                 the org uses its limits up (Reports \u{2192} Rate Limits).",
            )
        }
    }

    /// A random time up to `most`.
    pub(crate) fn random_up_to(&self, most: Duration) -> Duration {
        let random = self.host.random();
        let fraction =
            f64::from(u32::from_le_bytes([random[0], random[1], random[2], random[3]])) / f64::from(u32::MAX);
        most.mul_f64(fraction)
    }

    /// Sends one request and reads its answer.
    pub(crate) async fn exchange(
        &self,
        stage: &'static str,
        request: HttpRequest,
        permit: Permit,
        nonce: Option<Nonce>,
        bucket: Bucket,
        on_head: &dyn Fn(Option<&Headers>),
    ) -> Result<Answer, TransportError> {
        self.budget.count_request();
        let sent_at = self.host.monotonic();
        let exchange = pin!(async {
            let mut response = self.host.send(request).await?;
            let now = self.host.monotonic();
            let date_ms = self
                .clock
                .learn(self.host, &response.headers)
                .unwrap_or_else(|| self.clock.now_ms(self.host));
            self.pace.learn(
                bucket,
                response.status,
                &response.headers,
                date_ms.div_euclid(1000),
                now,
                now.saturating_sub(sent_at),
            );
            if let (Some(nonce), Some(value)) = (nonce, response.headers.get("dpop-nonce")) {
                self.auth.keep_nonce(nonce, value);
            }
            let limit = if (200..300).contains(&response.status) {
                ONE_BODY_BYTES
            } else {
                ERROR_BODY_BYTES
            };
            let mut body = Gathering::begin(&self.bodies, stage);
            if response.status == 200 {
                on_head(Some(&response.headers));
            }
            loop {
                body.make_room().await;
                let Some(piece) = response.body.chunk().await? else {
                    break;
                };
                body.add(piece).await;
                if body.len() > limit {
                    if limit == ONE_BODY_BYTES {
                        return Err(TransportError::TooLarge(format!(
                            "the body of the answer has more than {limit} bytes"
                        )));
                    }
                    break;
                }
            }
            let (body, reservation) = body.complete();
            Ok(Answer {
                status: response.status,
                headers: response.headers,
                body,
                date_ms,
                _reservation: reservation,
            })
        });
        let result = match select(exchange, pin!(self.give_up(sent_at))).await {
            Either::Left((result, _)) => result,
            Either::Right((why, _)) => Err(TransportError::Broken(why.to_owned())),
        };
        drop(permit);
        result
    }

    /// Returns when a request is not to be waited for any longer.
    async fn give_up(&self, sent_at: Duration) -> &'static str {
        loop {
            self.host.sleep(LOOK_UP_IN_FLIGHT).await;
            if self.is_stopped.get() || self.host.cancelled() || self.host.time_left() <= LAST_MOMENTS {
                self.host.sleep(GRACE.min(self.host.time_left() / 2)).await;
                return "the run was asked to end";
            }
            if self.host.monotonic().saturating_sub(sent_at) > REQUEST_LIMIT {
                return "the answer took longer than 5 minutes";
            }
        }
    }
}

struct Waiting<'c, 'h, H: Host> {
    client: &'c Client<'h, H>,
}

impl<H: Host> Drop for Waiting<'_, '_, H> {
    fn drop(&mut self) {
        let client = self.client;
        let still_waiting = client.waiting.get() - 1;
        client.waiting.set(still_waiting);
        if still_waiting == 0 {
            let since = client.host.monotonic().saturating_sub(client.waiting_since.get());
            client.waited.set(client.waited.get() + since);
        }
    }
}

impl Answer {
    /// Whether the body does not end in the middle, as one does that came through a connection which broke. Only one whose
    /// end looks like it is looked through: one that ends behind a bracket within is noticed when it is read.
    pub(crate) fn is_whole(&self) -> bool {
        let visible = self.body.trim_ascii();
        let has_its_end = match visible.first() {
            Some(b'[') => visible.ends_with(b"]"),
            Some(b'{') => visible.ends_with(b"}"),
            _ => true,
        };
        has_its_end || !json::is_cut(visible)
    }

    /// What Okta says of a request that it refused.
    pub fn error(&self) -> OktaError {
        OktaError::read(&self.headers, &self.body)
    }

    /// The body as JSON of this shape. `what` says in the failure what was read.
    pub fn json<'a, T: Deserialize<'a>>(&'a self, stage: &'static str, what: &str) -> Result<T, Failure> {
        json::read(&self.body).map_err(|error| {
            let request_id = self.error().request_id;
            let seen = match (self.body.trim_ascii().first(), error.flaw) {
                (None, _) => "an empty body".to_owned(),
                (Some(b'<'), _) => "HTML or XML".to_owned(),
                (Some(b'[' | b'{'), Flaw::Cut) => {
                    let summary = format!("Reading {what} from Okta, the answer ended in the middle.");
                    return Failure {
                        request_id,
                        ..Failure::new(ErrorKind::Unavailable, stage, summary, crate::hints::UNAVAILABLE)
                    };
                }
                (_, Flaw::Cut | Flaw::NoJson) => format!("not JSON ({error})"),
                (_, Flaw::OtherShape) => format!("another shape ({error})"),
            };
            Failure {
                request_id,
                ..Failure::protocol(stage, format!("Reading {what} from Okta, the answer was {seen}."))
            }
        })
    }

    /// The failure for an answer that is no success. `what` is what was asked for.
    pub fn failure(&self, stage: &'static str, what: &str) -> Failure {
        let error = self.error();
        let (kind, hint) = match self.status {
            401 => (ErrorKind::Unauthorized, crate::hints::FOUR_THINGS),
            403 => (ErrorKind::Forbidden, crate::hints::FOUR_THINGS),
            404 => (ErrorKind::NotFound, ""),
            423 => (ErrorKind::Unavailable, ""),
            _ => (ErrorKind::Protocol, crate::hints::UNEXPECTED),
        };
        Failure {
            kind,
            summary: format!(
                "Asking Okta for {what}, the answer was {}{}.",
                self.status,
                error.quoted()
            ),
            hint: hint.to_owned(),
            stage,
            provider_code: error.code,
            request_id: error.request_id,
            retry_at: None,
        }
    }
}
