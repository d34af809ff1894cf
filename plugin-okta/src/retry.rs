//! What is tried again, how often and after how long (RUNS §6.1), and what an answer that is no success means.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::client::{Answer, Client};
use crate::failure::{ErrorKind, Failure};
use crate::hints;
use crate::host::{Host, TransportError};
use crate::okta_error::{OktaError, PROOF_REFUSED, shown};
use crate::pace::{Bucket, Pace, RateLimit, is_about_concurrency};

/// Each request is sent again this often.
const MOST_RETRIES: u32 = 5;
/// The first wait is at most this, each further one at most twice the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// A 429 that does not say when the window ends: at most this first, then three times as much each time.
const FIRST_LIMIT_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);
/// A challenge for a nonce is answered this often in a row (RUNS §9.2).
const MOST_CHALLENGES: u32 = 3;
/// A proof that is refused is made anew this often in a row.
const MOST_PROOFS: u32 = 2;
/// A run may send this many requests again, besides a tenth of all.
const BUDGET_FLOOR: u64 = 20;

/// How many requests a run has sent, and how many of them again.
#[derive(Debug, Default)]
pub struct Budget {
    requests: Cell<u64>,
    resent: Cell<u64>,
    spent: Cell<u64>,
}

impl Budget {
    pub(crate) fn count_request(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.get()
    }

    pub(crate) fn resent(&self) -> u64 {
        self.resent.get()
    }

    pub(crate) fn count_resent(&self) {
        self.resent.set(self.resent.get() + 1);
    }

    /// Takes one retry from the budget, when there is one.
    fn spend(&self) -> bool {
        let may = self.spent.get() < BUDGET_FLOOR + self.requests.get() / 10;
        if may {
            self.spent.set(self.spent.get() + 1);
            self.count_resent();
        }
        may
    }
}

/// What to do about an answer.
#[derive(Debug)]
pub enum Step {
    /// It is the answer.
    Done(Answer),
    /// Send it once more, now.
    Again,
    /// Okta does not take the token.
    Unauthorized(Answer),
    /// A smaller page may do.
    TooMuch(Failure),
}

/// The tries of one request.
#[derive(Debug)]
pub struct Tries {
    stage: &'static str,
    /// What is asked for, for people.
    what: Rc<str>,
    may_shrink: bool,
    retries: u32,
    challenges: u32,
    proofs: u32,
    too_heavy: u32,
}

impl Tries {
    /// No try yet.
    pub fn new(stage: &'static str, what: impl Into<Rc<str>>, may_shrink: bool) -> Self {
        Self {
            stage,
            what: what.into(),
            may_shrink,
            retries: 0,
            challenges: 0,
            proofs: 0,
            too_heavy: 0,
        }
    }

    /// Says what to do about an outcome; waits first where that is part of it.
    pub async fn judge<H: Host>(
        &mut self,
        client: &Client<'_, H>,
        bucket: Bucket,
        outcome: Result<Answer, TransportError>,
    ) -> Result<Step, Failure> {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => return self.judge_transport(client, error).await,
        };
        let error = if answer.status < 300 {
            OktaError::default()
        } else {
            answer.error()
        };
        if matches!(answer.status, 400 | 401) {
            if error.is("use_dpop_nonce") {
                return self.answer_challenge(client, &answer, &error);
            }
            if error.is(PROOF_REFUSED) {
                return self.prove_again(client, &answer, &error).await;
            }
        }
        self.challenges = 0;
        match answer.status {
            200..=299 => self.judge_success(client, answer).await,
            300..=399 => Err(self.redirected(&answer)),
            401 => Ok(Step::Unauthorized(answer)),
            413 if self.may_shrink => Ok(Step::TooMuch(answer.failure(self.stage, &self.what))),
            429 => self.wait_for_limit(client, bucket, &answer, &error).await,
            408 | 500..=599 => {
                let seen = format!("the answer was {}{}", answer.status, error.quoted());
                let failure = self.unavailable(&format!("Asking Okta for {}, {seen}", self.what), &error);
                self.too_heavy += u32::from(matches!(answer.status, 500 | 504));
                if self.may_shrink && self.too_heavy == 2 {
                    client.budget.count_resent();
                    return Ok(Step::TooMuch(failure));
                }
                self.back_off(client, failure).await
            }
            _ => Ok(Step::Done(answer)),
        }
    }

    async fn judge_transport<H: Host>(
        &mut self,
        client: &Client<'_, H>,
        error: TransportError,
    ) -> Result<Step, Failure> {
        let domain = &client.settings.domain;
        let asked = format!("Asking {domain} for {}", self.what);
        match error {
            TransportError::Broken(seen) => {
                client.check_end(self.stage)?;
                let failure = self.unavailable(&format!("{asked}, {seen}"), &OktaError::default());
                self.back_off(client, failure).await
            }
            TransportError::TooLarge(seen) => Ok(Step::TooMuch(self.over_limit(&asked, &seen))),
            TransportError::OverLimit(seen) => Err(self.over_limit(&asked, &seen)),
            TransportError::AddressRefused(seen) => Err(Failure::new(
                ErrorKind::InvalidSettings,
                self.stage,
                format!("{asked}, {seen}."),
                hints::ADDRESS_REFUSED,
            )),
            TransportError::Refused(seen) => Err(Failure::protocol(self.stage, format!("{asked}, {seen}."))),
        }
    }

    /// A 2xx is an answer only when it is whole.
    async fn judge_success<H: Host>(
        &mut self,
        client: &Client<'_, H>,
        answer: Answer,
    ) -> Result<Step, Failure> {
        if answer.is_whole() {
            return Ok(Step::Done(answer));
        }
        let seen = format!("Asking Okta for {}, the answer ended in the middle", self.what);
        let failure = self.unavailable(&seen, &answer.error());
        self.back_off(client, failure).await
    }

    fn redirected(&self, answer: &Answer) -> Failure {
        let location = answer
            .headers
            .get("location")
            .map_or_else(String::new, |location| {
                let end = location.find(['?', '#']).unwrap_or(location.len());
                format!(" to {}", shown(&location[..end]))
            });
        Failure {
            request_id: answer.error().request_id,
            ..Failure::protocol(
                self.stage,
                format!(
                    "Asking Okta for {}, the answer was a redirect ({}){location}, which is not followed.",
                    self.what, answer.status
                ),
            )
        }
    }

    fn answer_challenge<H: Host>(
        &mut self,
        client: &Client<'_, H>,
        answer: &Answer,
        error: &OktaError,
    ) -> Result<Step, Failure> {
        self.challenges += 1;
        let has_nonce = answer
            .headers
            .get("dpop-nonce")
            .is_some_and(|nonce| !nonce.is_empty());
        if has_nonce && self.challenges <= MOST_CHALLENGES {
            client.budget.count_resent();
            return Ok(Step::Again);
        }
        let what = if has_nonce {
            format!("Okta asked {} times in a row for another nonce", self.challenges)
        } else {
            "Okta asked for a nonce without giving one".to_owned()
        };
        Err(Failure {
            provider_code: error.code.clone(),
            request_id: error.request_id.clone(),
            ..Failure::protocol(self.stage, format!("Proving possession of the key, {what}."))
        })
    }

    /// A proof is refused when its time is off, which the answer's `Date` has mended by now, or when it was seen before.
    async fn prove_again<H: Host>(
        &mut self,
        client: &Client<'_, H>,
        answer: &Answer,
        error: &OktaError,
    ) -> Result<Step, Failure> {
        self.proofs += 1;
        if self.proofs <= MOST_PROOFS && client.budget.spend() {
            client
                .wait(self.stage, client.random_up_to(FIRST_BACKOFF))
                .await?;
            return Ok(Step::Again);
        }
        Err(Failure {
            kind: ErrorKind::Unauthorized,
            hint: hints::PROOF_REFUSED.to_owned(),
            summary: format!("Okta does not accept the proof of possession{}.", error.quoted()),
            ..answer.failure(self.stage, "it")
        })
    }

    async fn wait_for_limit<H: Host>(
        &mut self,
        client: &Client<'_, H>,
        bucket: Bucket,
        answer: &Answer,
        error: &OktaError,
    ) -> Result<Step, Failure> {
        let okta_seconds = answer.date_ms.div_euclid(1000);
        let is_concurrency = is_about_concurrency(answer.status, RateLimit::read(&answer.headers));
        let told = Pace::reset_after(&answer.headers, okta_seconds);
        let wait = match told {
            Some(reset) => reset + client.random_up_to(Duration::from_secs(1)),
            None if is_concurrency => client.random_up_to(FIRST_BACKOFF * 2_u32.pow(self.retries)),
            None => client.random_up_to((FIRST_LIMIT_BACKOFF * 3_u32.pow(self.retries)).min(LONGEST_BACKOFF)),
        };
        client.check_rate_wait(self.stage, wait, error)?;
        if self.retries == MOST_RETRIES || !client.budget.spend() {
            return Err(client.rate_limited(self.stage, wait, error));
        }
        self.retries += 1;
        if is_concurrency {
            client.wait(self.stage, wait).await?;
        } else {
            client.pace.hold(bucket, client.host.monotonic() + wait);
        }
        Ok(Step::Again)
    }

    /// Waits before the next try, or returns the failure when there is none.
    async fn back_off<H: Host>(&mut self, client: &Client<'_, H>, failure: Failure) -> Result<Step, Failure> {
        if self.retries == MOST_RETRIES || !client.budget.spend() {
            return Err(failure);
        }
        let most = (FIRST_BACKOFF * 2_u32.pow(self.retries)).min(LONGEST_BACKOFF);
        self.retries += 1;
        client.wait(self.stage, client.random_up_to(most)).await?;
        Ok(Step::Again)
    }

    /// Okta did nothing wrong, so that nobody is sent to its support.
    fn over_limit(&self, asked: &str, seen: &str) -> Failure {
        Failure::new(
            ErrorKind::Protocol,
            self.stage,
            format!("{asked}, a limit of idsync was met: {seen}."),
            hints::OWN_LIMIT,
        )
    }

    fn unavailable(&self, seen: &str, error: &OktaError) -> Failure {
        Failure {
            provider_code: error.code.clone(),
            request_id: error.request_id.clone(),
            ..Failure::new(
                ErrorKind::Unavailable,
                self.stage,
                format!("{seen}, also after trying again."),
                hints::UNAVAILABLE,
            )
        }
    }
}
