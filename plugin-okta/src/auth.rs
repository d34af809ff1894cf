//! Tokens and proofs: `private_key_jwt` (RFC 7523) and DPoP (RFC 9449), signed in Okta's time.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::lock::Mutex;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::client::{Answer, Ask, Client};
use crate::describe::SCOPES;
use crate::failure::{ErrorKind, Failure};
use crate::hints;
use crate::host::{Host, HttpRequest, Method, SigningKey};
use crate::link::encoded;
use crate::model::TokenGrant;
use crate::okta_error::PROOF_REFUSED;
use crate::pace::Bucket;
use crate::retry::{Step, Tries};

/// The stage of token requests.
pub const TOKEN_STAGE: &str = "token";
const TOKEN: &str = "a token";
const TOKEN_PATH: &str = "/oauth2/v1/token";
/// How long an assertion is good; Okta takes an hour at most.
const ASSERTION_SECONDS: i64 = 300;
/// A token is renewed this long before its end, or a quarter of its life before where that is less.
const RENEW_BEFORE: Duration = Duration::from_mins(2);
/// A token with a shorter life would be over when it is there, and asked for again without end.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
/// A token that Okta refuses is renewed at most this often (RUNS §6.1).
const FORCED_RENEWAL_EVERY: Duration = Duration::from_mins(5);
/// Under this name the token endpoint's nonce is kept between runs: Okta's is good for days, and without one a run's first
/// request for a token is only told it.
const MEMORY: &str = "token-nonce";
/// A longer nonce is not kept, so that the memory stays within its bounds.
const MOST_KEPT_BYTES: usize = 512;
/// An assertion whose time was off by more than this is signed once more in the time that the answer told.
const CLOCK_TOLERANCE_SECONDS: u64 = 5;

/// Whose nonces: the token endpoint and the API hand out their own (RFC 9449, sections 8 and 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonce {
    /// The token endpoint's.
    Token,
    /// The API's.
    Resource,
}

/// An access token.
#[derive(Clone)]
pub struct Token {
    secret: Rc<str>,
    is_bound: bool,
    hash: String,
    scopes: Rc<[String]>,
    renew_at: Duration,
    generation: u32,
}

impl Token {
    /// Whether it works only with a proof.
    pub fn is_bound(&self) -> bool {
        self.is_bound
    }

    /// The token itself.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// Whether it may be used for this.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }
}

/// What is known of tokens and nonces.
#[derive(Default)]
pub struct Auth {
    token: RefCell<Option<Token>>,
    generation: Cell<u32>,
    one_at_a_time: Mutex<()>,
    forced_at: Cell<Option<Duration>>,
    token_nonce: RefCell<Option<String>>,
    resource_nonce: RefCell<Option<String>>,
    has_kept_nonce: Cell<bool>,
}

impl Auth {
    fn nonce(&self, whose: Nonce) -> &RefCell<Option<String>> {
        match whose {
            Nonce::Token => &self.token_nonce,
            Nonce::Resource => &self.resource_nonce,
        }
    }

    /// Keeps a nonce that an answer handed out: it is used from then on (RUNS §9.2).
    pub(crate) fn keep_nonce(&self, whose: Nonce, nonce: &str) {
        if !nonce.is_empty() {
            *self.nonce(whose).borrow_mut() = Some(nonce.to_owned());
        }
    }
}

impl<H: Host> Client<'_, H> {
    /// The token, when there is one that is not about to end.
    pub(crate) fn present_token(&self) -> Option<Token> {
        let token = self.auth.token.borrow();
        token
            .as_ref()
            .filter(|token| self.host.monotonic() < token.renew_at)
            .cloned()
    }

    /// A token, a new one where that is needed.
    pub async fn token(&self) -> Result<Token, Failure> {
        if let Some(token) = self.present_token() {
            return Ok(token);
        }
        let _one = self.auth.one_at_a_time.lock().await;
        if let Some(token) = self.present_token() {
            return Ok(token);
        }
        let token = self.request_token().await?;
        *self.auth.token.borrow_mut() = Some(token.clone());
        Ok(token)
    }

    /// Okta refused this token: the next request has a new one, or there is none to be had.
    pub(crate) fn renew_after(&self, ask: &Ask, token: &Token, answer: &Answer) -> Result<(), Failure> {
        self.budget.count_resent();
        // Several requests may carry the same token when it ends: the first one refused drops it, and the others come
        // here before the new one is there.
        let is_present = self.auth.generation.get() == token.generation && self.auth.token.borrow().is_some();
        if !is_present {
            return Ok(()); // Another request has seen to it.
        }
        let now = self.host.monotonic();
        let is_too_soon = self
            .auth
            .forced_at
            .get()
            .is_some_and(|at| now.saturating_sub(at) < FORCED_RENEWAL_EVERY);
        if is_too_soon {
            return Err(answer.failure(ask.stage, &format!("{} with a fresh token", ask.what)));
        }
        self.auth.forced_at.set(Some(now));
        *self.auth.token.borrow_mut() = None;
        Ok(())
    }

    async fn request_token(&self) -> Result<Token, Failure> {
        let known = self.recall_nonce().await;
        let token = match self.try_for_token().await {
            Err(failure) if known.is_some() && failure.provider_code.as_deref() == Some(PROOF_REFUSED) => {
                // It may be the nonce, of which an org could say nothing better.
                *self.auth.token_nonce.borrow_mut() = None;
                self.host.remember(MEMORY, Vec::new()).await;
                self.try_for_token().await?
            }
            other => other?,
        };
        self.remember_nonce(known).await;
        Ok(token)
    }

    /// The nonce that an earlier run of this org left, which is the one to use where none was handed out since. Okta asks
    /// for another where it is too old.
    async fn recall_nonce(&self) -> Option<String> {
        if let Some(nonce) = self.auth.token_nonce.borrow().clone() {
            return Some(nonce);
        }
        let kept = String::from_utf8(self.host.recall(MEMORY).await?).ok()?;
        let (org, nonce) = kept.split_once(' ')?;
        if org != self.settings.domain.authority() {
            return None;
        }
        self.auth.keep_nonce(Nonce::Token, nonce);
        Some(nonce.to_owned())
    }

    /// Keeps the nonce for the next run, where it is another one than the known: once, since an org may hand out another
    /// with each answer.
    async fn remember_nonce(&self, known: Option<String>) {
        let nonce = self.auth.token_nonce.borrow().clone();
        if nonce == known || self.auth.has_kept_nonce.replace(true) {
            return;
        }
        if let Some(nonce) = nonce.filter(|nonce| nonce.len() <= MOST_KEPT_BYTES) {
            let kept = format!("{} {nonce}", self.settings.domain.authority());
            self.host.remember(MEMORY, kept.into_bytes()).await;
        }
    }

    async fn try_for_token(&self) -> Result<Token, Failure> {
        let mut tries = Tries::new(TOKEN_STAGE, TOKEN, false);
        let mut is_time_mended = false;
        loop {
            let permit = self.permit(TOKEN_STAGE, Bucket::Token).await?;
            let signed_at = self.clock.now_seconds(self.host);
            let request = self.token_request(signed_at).await?;
            let outcome = self
                .exchange(
                    TOKEN_STAGE,
                    request,
                    permit,
                    Some(Nonce::Token),
                    Bucket::Token,
                    &|_| (),
                )
                .await;
            let answer = match tries.judge(self, Bucket::Token, outcome).await? {
                Step::Done(answer) | Step::Unauthorized(answer) => answer,
                Step::Again => continue,
                Step::TooMuch(failure) => return Err(failure),
            };
            if answer.status == 200 {
                return self.read_token(&answer);
            }
            let is_off = signed_at.abs_diff(self.clock.now_seconds(self.host)) > CLOCK_TOLERANCE_SECONDS;
            if is_off && !is_time_mended && matches!(answer.status, 400 | 401) {
                is_time_mended = true;
                self.budget.count_resent();
                continue;
            }
            return Err(token_failure(&answer));
        }
    }

    async fn token_request(&self, now: i64) -> Result<HttpRequest, Failure> {
        let client_id = &self.settings.client_id;
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": format!("{}{TOKEN_PATH}", self.settings.domain.origin()),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
            "jti": self.fresh_id(),
        });
        let assertion = self.sign(TOKEN_STAGE, SigningKey::Directory, &claims).await?;
        let proof = self
            .proof(TOKEN_STAGE, Method::Post, TOKEN_PATH, Nonce::Token, None)
            .await?;
        let body = format!(
            "grant_type=client_credentials&scope={}&client_assertion_type={}&client_assertion={assertion}",
            encoded(&SCOPES.join(" ")),
            encoded("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        );
        Ok(HttpRequest {
            method: Method::Post,
            authority: self.settings.domain.authority().to_owned(),
            target: TOKEN_PATH.to_owned(),
            headers: vec![
                ("accept", "application/json".to_owned()),
                ("content-type", "application/x-www-form-urlencoded".to_owned()),
                ("user-agent", format!("idsync/{}", crate::describe::VERSION)),
                ("dpop", proof),
            ],
            body: Some(body.into_bytes()),
        })
    }

    /// A proof for one request (RFC 9449, section 4.2): `htu` is the address without query and fragment.
    pub(crate) async fn proof(
        &self,
        stage: &'static str,
        method: Method,
        target: &str,
        whose: Nonce,
        token: Option<&Token>,
    ) -> Result<String, Failure> {
        let path = target.split(['?', '#']).next().unwrap_or(target);
        let mut claims = json!({
            "htm": method.as_str(),
            "htu": format!("{}{path}", self.settings.domain.origin()),
            "iat": self.clock.now_seconds(self.host),
            "jti": self.fresh_id(),
        });
        if let Some(token) = token {
            claims["ath"] = token.hash.as_str().into();
        }
        if let Some(nonce) = self.auth.nonce(whose).borrow().as_deref() {
            claims["nonce"] = nonce.into();
        }
        self.sign(stage, SigningKey::Proof, &claims).await
    }

    async fn sign(
        &self,
        stage: &'static str,
        key: SigningKey,
        claims: &serde_json::Value,
    ) -> Result<String, Failure> {
        self.host.sign(key, &claims.to_string()).await.map_err(|reason| {
            Failure::new(
                ErrorKind::InvalidSettings,
                stage,
                format!("Signing a request to Okta, the host refused: {reason}."),
                "Check that the directory has a key (`idsync directory key ID`) and that `okta_domain` is right.",
            )
        })
    }

    fn fresh_id(&self) -> String {
        let mut id = String::with_capacity(32);
        for byte in self.host.random() {
            // Writing to a string can't fail.
            let _ = write!(id, "{byte:02x}");
        }
        id
    }

    fn read_token(&self, answer: &Answer) -> Result<Token, Failure> {
        let grant: TokenGrant = answer.json(TOKEN_STAGE, TOKEN)?;
        let is_bound = grant.token_type.eq_ignore_ascii_case("DPoP");
        let is_usable =
            !grant.access_token.is_empty() && grant.access_token.bytes().all(|b| b.is_ascii_graphic());
        if !is_usable || !(is_bound || grant.token_type.eq_ignore_ascii_case("Bearer")) {
            return Err(Failure::protocol(
                TOKEN_STAGE,
                format!(
                    "Reading a token from Okta, it was of the kind `{}`, which can't be used.",
                    crate::okta_error::shown(&grant.token_type)
                ),
            ));
        }
        let scopes = match &grant.scope {
            Some(scope) => scope.split_ascii_whitespace().map(str::to_owned).collect(),
            // Left out, it is what was asked for (RFC 6749, section 5.1).
            None => SCOPES.map(str::to_owned).into(),
        };
        let life = Duration::from_secs(grant.expires_in.unwrap_or(3600));
        if life < SHORTEST_LIFE {
            return Err(Failure::protocol(
                TOKEN_STAGE,
                format!(
                    "Reading a token from Okta, it was good for {} s, in which nothing can be read.",
                    life.as_secs()
                ),
            ));
        }
        let renew_at = self.host.monotonic() + life.saturating_sub(RENEW_BEFORE.min(life / 4));
        let generation = self.auth.generation.get() + 1;
        self.auth.generation.set(generation);
        Ok(Token {
            hash: URL_SAFE_NO_PAD.encode(Sha256::digest(grant.access_token.as_bytes())),
            secret: grant.access_token.into(),
            is_bound,
            scopes,
            renew_at,
            generation,
        })
    }

    /// Fails when the token lacks a scope (RUNS §9.3).
    pub async fn check_scopes(&self) -> Result<(), Failure> {
        let token = self.token().await?;
        let missing: Vec<&str> = SCOPES
            .into_iter()
            .filter(|scope| !token.has_scope(scope))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.join("`, `");
        Err(Failure::new(
            ErrorKind::Forbidden,
            TOKEN_STAGE,
            format!("Okta's token lacks the scope `{missing}`."),
            format!("{} `{missing}`.", hints::SCOPE),
        ))
    }
}

/// Why there is no token. The code decides of what kind the failure is; Okta's sentence only makes the hint better.
fn token_failure(answer: &Answer) -> Failure {
    let error = answer.error();
    let (kind, hint) = match error.code.as_deref() {
        Some("invalid_client") => {
            let hint = if error.mentions(&["kid", "signature", "jwks", "public key"]) {
                hints::KEY
            } else if error.mentions(&["already been used", "jti"]) {
                hints::REPLAYED
            } else if error.mentions(&["expired", "iat", "future", "not yet valid"]) {
                hints::CLOCK
            } else if error.mentions(&["client_secret", "auth method", "authentication method"]) {
                hints::AUTH_METHOD
            } else if error.mentions(&[
                "client_id",
                "client id",
                "issuer",
                "'iss'",
                "subject",
                "unknown client",
            ]) {
                hints::CLIENT
            } else {
                hints::CLIENT_OR_KEY
            };
            (ErrorKind::Unauthorized, hint.to_owned())
        }
        Some("unauthorized_client" | "unsupported_grant_type") => {
            (ErrorKind::InvalidSettings, hints::SERVICE_APP.to_owned())
        }
        Some("invalid_scope" | "consent_required" | "access_denied") => {
            let scopes = SCOPES.join("`, `");
            (ErrorKind::Forbidden, format!("{} `{scopes}`.", hints::SCOPE))
        }
        _ if answer.status == 404 => (ErrorKind::InvalidSettings, hints::NO_ORG.to_owned()),
        _ if answer.status == 401 => (ErrorKind::Unauthorized, hints::CLIENT_OR_KEY.to_owned()),
        _ if answer.status == 403 => (ErrorKind::Forbidden, hints::FOUR_THINGS.to_owned()),
        _ => (ErrorKind::Protocol, hints::UNEXPECTED.to_owned()),
    };
    Failure {
        kind,
        hint,
        ..answer.failure(TOKEN_STAGE, TOKEN)
    }
}
