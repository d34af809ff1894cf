//! `POST /oauth2/v1/token`: client credentials with a `private_key_jwt` assertion (RFC 7523) and DPoP (RFC 9449).

use std::collections::HashMap;

use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::answer::{Answer, oauth_error};
use crate::dpop::{self, Asked};
use crate::ids::word;
use crate::settings::{Dpop, Settings};
use crate::state::{State, lock, read};

/// The longest time an assertion may have left, in seconds.
const LONGEST: i64 = 3_600;
/// How far the clock of the client may be ahead, in seconds.
const AHEAD: i64 = 300;

/// A token that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) scopes: Vec<String>,
    /// The thumbprint of the key it is bound to.
    pub(crate) bound_to: Option<String>,
    /// Unix seconds by the org's clock.
    pub(crate) ends: i64,
}

/// The tokens that were given out.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    given: HashMap<String, Token>,
    made: u64,
}

impl Tokens {
    /// The token of a text.
    pub(crate) fn get(&self, text: &str) -> Option<&Token> {
        self.given.get(text)
    }

    /// Ends every token.
    pub(crate) fn expire(&mut self) {
        self.given.values_mut().for_each(|token| token.ends = i64::MIN);
    }

    fn give(&mut self, state: &State, settings: &Settings, token: Token) -> String {
        self.made += 1;
        let now = state.clock.now();
        self.given.retain(|_, token| token.ends > now - 86_400);
        let mut claims = json!({
            "ver": 1,
            "jti": format!("AT.{}", word(state.seed, self.made, 43)),
            "iss": state.base(),
            "aud": state.base(),
            "sub": settings.client_id,
            "iat": now,
            "exp": now + settings.expires_in,
            "cid": settings.client_id,
            "scp": token.scopes,
        });
        if let Some(thumbprint) = &token.bound_to {
            claims["cnf"] = json!({ "jkt": thumbprint });
        }
        let key = EncodingKey::from_secret(b"the simulator looks its tokens up and never reads them");
        let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
        let text = text.unwrap_or_else(|_| word(state.seed, self.made, 64));
        self.given.insert(text.clone(), token);
        text
    }
}

/// A token request as it came.
pub(crate) struct TokenRequest<'a> {
    /// The form.
    pub(crate) body: &'a [u8],
    /// The `DPoP` header.
    pub(crate) proof: Option<&'a str>,
    /// The URL that was asked.
    pub(crate) url: &'a str,
}

/// Answers a token request; tells the thumbprint of a proof that was accepted.
pub(crate) fn answer(state: &State, request: &TokenRequest<'_>) -> (Answer, Option<String>) {
    let settings = state.settings();
    let mut thumbprint = None;
    let answer = grant(state, &settings, request, &mut thumbprint).unwrap_or_else(|refused| refused);
    let answer = answer
        .with("cache-control", "no-cache, no-store")
        .with("pragma", "no-cache");
    let is_nonce_told = request.proof.is_some();
    let answer = if is_nonce_told {
        answer.with("dpop-nonce", &lock(&state.nonces).present())
    } else {
        answer
    };
    (answer, thumbprint)
}

fn grant(
    state: &State,
    settings: &Settings,
    request: &TokenRequest<'_>,
    thumbprint: &mut Option<String>,
) -> Result<Answer, Answer> {
    let form: HashMap<String, String> = url::form_urlencoded::parse(request.body).into_owned().collect();
    let field = |name: &str| {
        form.get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    };
    if field("grant_type") != Some("client_credentials") {
        let text = "The authorization grant type is not supported by the authorization server.";
        return Err(oauth_error(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            text,
        ));
    }
    check_assertion(state, settings, request.url, &field)?;
    if let Some(proof) = request.proof {
        *thumbprint = Some(check_proof(state, request.url, proof)?);
    } else if settings.dpop == Dpop::Required {
        let text = "The DPoP proof JWT header is missing.";
        return Err(oauth_error(StatusCode::BAD_REQUEST, "invalid_dpop_proof", text));
    }
    let scopes = granted(settings, field("scope"))?;
    let life = settings.token_life.unwrap_or(settings.expires_in);
    let kind = if thumbprint.is_some() { "DPoP" } else { "Bearer" };
    let token = Token {
        scopes,
        bound_to: thumbprint.clone(),
        ends: state.clock.now() + life,
    };
    let scope = token.scopes.join(" ");
    let text = lock(&state.tokens).give(state, settings, token);
    let body = json!({
        "token_type": kind,
        "expires_in": settings.expires_in,
        "access_token": text,
        "scope": scope,
    });
    Ok(Answer::json(StatusCode::OK, body.to_string()))
}

fn invalid_client(text: &str) -> Answer {
    oauth_error(StatusCode::UNAUTHORIZED, "invalid_client", text)
}

fn check_assertion<'a>(
    state: &State,
    settings: &Settings,
    url: &str,
    field: &impl Fn(&str) -> Option<&'a str>,
) -> Result<(), Answer> {
    let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let assertion = field("client_assertion")
        .filter(|_| field("client_assertion_type") == Some(jwt))
        .ok_or_else(|| {
            invalid_client(
                "Client authentication failed. Either the client or the client credentials are invalid.",
            )
        })?;
    let malformed = || invalid_client("The client_assertion is malformed.");
    let header = dpop::header_of(assertion).ok_or_else(malformed)?;
    let told = dpop::claims_of(assertion).ok_or_else(malformed)?;
    let client = settings.client_id.as_str();
    if field("client_id").is_some_and(|id| id != client) || told["sub"] != client {
        return Err(invalid_client("Invalid value for 'client_id' parameter."));
    }
    let kid = header["kid"].as_str().unwrap_or_default();
    let key = read(&state.keys)
        .iter()
        .find(|key| key.common.key_id.as_deref() == Some(kid))
        .cloned();
    let key = key.ok_or_else(|| invalid_client("The client_assertion JWT kid is invalid."))?;
    let claims = dpop::verified(assertion, &key)
        .ok_or_else(|| invalid_client("The client_assertion signature is invalid."))?;
    if claims["iss"] != client {
        return Err(invalid_client(
            "The issuer claim for client_assertion must be the client_id.",
        ));
    }
    let audiences: Vec<&str> = match &claims["aud"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let own = format!("{}/oauth2/v1/token", state.base());
    if !audiences
        .iter()
        .any(|audience| *audience == url || *audience == own)
    {
        let text = "The audience claim for client_assertion must be the endpoint invoked for the request.";
        return Err(invalid_client(text));
    }
    let now = state.clock.now();
    let ends = claims["exp"].as_i64();
    let ends = ends.ok_or_else(|| invalid_client("The client_assertion token has no expiration."))?;
    if ends <= now {
        return Err(invalid_client("The client_assertion token is expired."));
    }
    if ends - now > LONGEST {
        return Err(invalid_client(
            "The client_assertion token has an expiration too far into the future.",
        ));
    }
    if claims["iat"]
        .as_i64()
        .is_some_and(|made_at| made_at - now > AHEAD)
    {
        return Err(invalid_client(
            "The client_assertion token was issued in the future.",
        ));
    }
    if let Some(id) = claims["jti"].as_str()
        && !lock(&state.seen).is_new(&format!("assertion {id}"), ends, now)
    {
        return Err(invalid_client(
            "The client_assertion token has already been used.",
        ));
    }
    Ok(())
}

fn check_proof(state: &State, url: &str, proof: &str) -> Result<String, Answer> {
    let asked = Asked {
        method: "POST",
        url,
        token: None,
        now: state.clock.now(),
    };
    let proof = dpop::check(proof, &asked, &mut lock(&state.seen))
        .map_err(|text| oauth_error(StatusCode::BAD_REQUEST, "invalid_dpop_proof", text))?;
    let is_good = proof
        .nonce
        .is_some_and(|nonce| lock(&state.nonces).is_good(&nonce));
    if !is_good {
        let text = "Authorization server requires nonce in DPoP proof.";
        return Err(oauth_error(StatusCode::BAD_REQUEST, "use_dpop_nonce", text));
    }
    Ok(proof.thumbprint)
}

/// The scopes that a token gets: those asked for and granted. The others are dropped without a word.
fn granted(settings: &Settings, asked: Option<&str>) -> Result<Vec<String>, Answer> {
    let asked = asked.ok_or_else(|| {
        let text = "The authorization server resource does not have any configured default scopes, \
                    'scope' must be provided.";
        oauth_error(StatusCode::BAD_REQUEST, "invalid_scope", text)
    })?;
    if asked.split_whitespace().any(|scope| !scope.starts_with("okta.")) {
        let text = "One or more scopes are not configured for the authorization server resource.";
        return Err(oauth_error(StatusCode::BAD_REQUEST, "invalid_scope", text));
    }
    let is_granted = |scope: &&str| settings.granted_scopes.iter().any(|granted| granted == scope);
    let scopes: Vec<String> = asked
        .split_whitespace()
        .filter(is_granted)
        .map(str::to_owned)
        .collect();
    if scopes.is_empty() {
        let text = "You are not allowed any of the requested scopes.";
        return Err(oauth_error(StatusCode::BAD_REQUEST, "consent_required", text));
    }
    Ok(scopes)
}
