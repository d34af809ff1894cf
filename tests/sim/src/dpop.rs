//! DPoP (RFC 9449): checks a proof, keeps the nonces that were handed out and the ids that were used.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::ids::word;

/// A proof is accepted so many seconds before and after it was made.
const LEEWAY: i64 = 300;

/// What a proof that was accepted says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The thumbprint of its key (RFC 7638).
    pub(crate) thumbprint: String,
    /// The nonce in it.
    pub(crate) nonce: Option<String>,
}

/// What a proof must fit.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    /// The URL without query and fragment.
    pub(crate) url: &'a str,
    /// The token that it accompanies, on a resource request.
    pub(crate) token: Option<&'a str>,
    /// Unix seconds by the org's clock.
    pub(crate) now: i64,
}

/// Ids of proofs and assertions that were seen, until they would be refused as too old.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    until: HashMap<String, i64>,
    sweep_at: usize,
}

impl Seen {
    /// Remembers an id; false when it was seen before.
    pub(crate) fn is_new(&mut self, id: &str, until: i64, now: i64) -> bool {
        if self.until.len() >= self.sweep_at {
            self.until.retain(|_, until| *until >= now);
            self.sweep_at = 2 * self.until.len() + 10_000;
        }
        self.until
            .insert(id.to_owned(), until)
            .is_none_or(|until| until < now)
    }
}

/// The nonces that were handed out: the present one, and the one before it.
#[derive(Debug)]
pub(crate) struct Nonces {
    seed: u64,
    turn: u64,
}

impl Nonces {
    /// The nonces of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, turn: 1 }
    }

    /// The nonce to use from now on.
    pub(crate) fn present(&self) -> String {
        word(self.seed, self.turn, 32)
    }

    /// Makes a new nonce the present one. The one before stays good.
    pub(crate) fn rotate(&mut self) {
        self.turn += 1;
    }

    /// Makes every nonce that was handed out stale.
    pub(crate) fn expire(&mut self) {
        self.turn += 2;
    }

    /// Whether a nonce was handed out and is still good.
    pub(crate) fn is_good(&self, nonce: &str) -> bool {
        nonce == self.present() || nonce == word(self.seed, self.turn.saturating_sub(1), 32)
    }
}

/// Checks a proof as RFC 9449 section 4.3 says. Errs with the text for `error_description`.
pub(crate) fn check(proof: &str, asked: &Asked<'_>, seen: &mut Seen) -> Result<Proof, &'static str> {
    let header = header_of(proof).ok_or("The DPoP proof JWT is malformed.")?;
    if header["typ"] != "dpop+jwt" {
        return Err("The DPoP proof JWT header 'typ' must be 'dpop+jwt'.");
    }
    if ["d", "p", "q", "k"]
        .iter()
        .any(|private| header["jwk"].get(private).is_some())
    {
        return Err("The DPoP proof JWT header 'jwk' must not contain a private key.");
    }
    let jwk: Jwk = serde_json::from_value(header["jwk"].clone())
        .map_err(|_| "The DPoP proof JWT header 'jwk' is missing or invalid.")?;
    let claims = verified(proof, &jwk).ok_or("The DPoP proof JWT signature is invalid.")?;
    if claims["htm"] != asked.method {
        return Err("The DPoP proof JWT 'htm' claim does not match the method of the request.");
    }
    let is_url = claims["htu"].as_str().and_then(|htu| Url::parse(htu).ok()) == Url::parse(asked.url).ok();
    if !is_url {
        return Err("The DPoP proof JWT 'htu' claim does not match the URL of the request.");
    }
    let made_at = claims["iat"]
        .as_i64()
        .ok_or("The DPoP proof JWT 'iat' claim is missing.")?;
    if (made_at - asked.now).abs() > LEEWAY {
        return Err("The DPoP proof JWT 'iat' claim is too far from the present time.");
    }
    if let Some(token) = asked.token {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()));
        if claims["ath"] != hash.as_str() {
            return Err("The DPoP proof JWT 'ath' claim does not match the access token.");
        }
    }
    let id = claims["jti"].as_str().filter(|id| !id.is_empty());
    let id = id.ok_or("The DPoP proof JWT 'jti' claim is missing.")?;
    let thumbprint = jwk
        .thumbprint(ThumbprintHash::SHA256)
        .map_err(|_| "The DPoP proof JWT key is invalid.")?;
    if !seen.is_new(&format!("{thumbprint} {id}"), made_at + LEEWAY, asked.now) {
        return Err("The DPoP proof JWT has already been used.");
    }
    Ok(Proof {
        thumbprint,
        nonce: claims["nonce"].as_str().map(str::to_owned),
    })
}

/// The header of a JWT as it stands there.
pub(crate) fn header_of(jwt: &str) -> Option<Value> {
    part_of(jwt, 0)
}

/// The claims of a JWT as they stand there, whether or not the signature is good.
pub(crate) fn claims_of(jwt: &str) -> Option<Value> {
    part_of(jwt, 1)
}

fn part_of(jwt: &str, n: usize) -> Option<Value> {
    let part = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(n)?).ok()?;
    serde_json::from_slice::<Value>(&part)
        .ok()
        .filter(Value::is_object)
}

/// The claims of a JWT whose signature fits a public key.
pub(crate) fn verified(jwt: &str, jwk: &Jwk) -> Option<Value> {
    let algorithm = jsonwebtoken::decode_header(jwt).ok()?.alg;
    if matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let mut rules = Validation::new(algorithm);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    let claims = jsonwebtoken::decode::<Value>(jwt, &key, &rules).ok()?.claims;
    claims.is_object().then_some(claims)
}
