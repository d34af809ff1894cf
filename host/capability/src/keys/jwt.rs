//! What `sign-jwt` signs, and what it refuses.

use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Map, Value};
use url::Url;

use super::{KeyPair, SigningKey};
use crate::bindings::key_store::{JwtOptions, KeyError};
use crate::egress::EgressGrant;
use crate::text::cleaned;
use idsync_model::{KeyAlgorithm, UnixMillis};

/// Seconds for which claims that are meant for someone may be valid.
const VALIDITY_LIMIT_SECONDS: i64 = 3_600;
/// Seconds by which the end of claims may lie ahead of the host's clock.
const AHEAD_LIMIT_SECONDS: i64 = 24 * 3_600;
/// Bytes of claims. Servers take headers of a few KiB.
const CLAIMS_LIMIT_BYTES: usize = 16 * 1024;
/// Characters of an `aud` in an error.
const SHOWN_CHARS: usize = 200;

pub(super) fn sign(
    key: &SigningKey,
    claims: &str,
    options: &JwtOptions,
    grant: &EgressGrant,
    now: UnixMillis,
) -> Result<String, KeyError> {
    let claims = allowed_claims(claims, key.is_the_directorys, grant, now).map_err(KeyError::NotAllowed)?;
    let mut header = Header::new(match key.pair.algorithm() {
        KeyAlgorithm::Rs256 => Algorithm::RS256,
        KeyAlgorithm::Es256 => Algorithm::ES256,
    });
    header.typ = match options.typ.as_deref() {
        None => None,
        Some(typ @ ("JWT" | "dpop+jwt")) => Some(typ.to_owned()),
        Some(typ) => {
            return Err(KeyError::NotAllowed(format!(
                "`typ` is `{typ}`; it may be `JWT` or `dpop+jwt`"
            )));
        }
    };
    header.kid = options.include_kid.then(|| key.pair.kid().to_owned());
    header.jwk = options.include_jwk.then(|| key.pair.bare_jwk());
    compact(&header, &claims, &key.pair)
        .map_err(|error| KeyError::Unavailable(format!("the key did not sign: {error}")))
}

/// The compact serialization (RFC 7515, section 3.1). The library's own would read and check the private half again for
/// each signature.
fn compact(header: &Header, claims: &Map<String, Value>, pair: &KeyPair) -> Result<String, SignError> {
    let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let message = format!(
        "{}.{}",
        part(&serde_json::to_vec(header)?),
        part(&serde_json::to_vec(claims)?)
    );
    let signature = pair.sign(message.as_bytes())?;
    Ok(format!("{message}.{}", part(&signature)))
}

#[derive(Debug, thiserror::Error)]
enum SignError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Signature(#[from] Unspecified),
}

/// The claims, where the contract lets them be signed; else what is wrong with them.
fn allowed_claims(
    text: &str,
    is_the_directorys: bool,
    grant: &EgressGrant,
    now: UnixMillis,
) -> Result<Map<String, Value>, String> {
    if text.len() > CLAIMS_LIMIT_BYTES {
        return Err(format!("the claims are longer than {CLAIMS_LIMIT_BYTES} bytes"));
    }
    let Ok(Value::Object(claims)) = serde_json::from_str(text) else {
        return Err("the claims are no JSON object".to_owned());
    };
    let audience = match claims.get("aud") {
        None if is_the_directorys => {
            return Err("claims without an `aud` are not signed with the directory's key".to_owned());
        }
        None => return Ok(claims),
        Some(audience) => audience,
    };
    for name in audience_names(audience)? {
        may_be_meant_for(name, grant)?;
    }
    let (Some(issued), Some(expires)) = (seconds(&claims, "iat"), seconds(&claims, "exp")) else {
        return Err("claims with an `aud` need `iat` and `exp` in whole seconds".to_owned());
    };
    if issued <= 0 || expires < issued {
        return Err("the claims end before they begin: `iat` is above 0, and `exp` not below it".to_owned());
    }
    if expires.saturating_sub(issued) > VALIDITY_LIMIT_SECONDS {
        return Err("the claims are valid for more than an hour".to_owned());
    }
    // The provider's clock counts, so that ours may only tell what no clock that is near the truth would.
    if expires.saturating_sub(now.0 / 1_000) > AHEAD_LIMIT_SECONDS {
        return Err("the claims end more than a day ahead of the host's clock".to_owned());
    }
    Ok(claims)
}

/// `aud` is one string or a list of them (RFC 7519, section 4.1.3).
fn audience_names(audience: &Value) -> Result<Vec<&str>, String> {
    let names = match audience {
        Value::String(name) => Some(vec![name.as_str()]),
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        _ => None,
    };
    match names {
        Some(names) if !names.is_empty() => Ok(names),
        _ => Err("`aud` is neither a string nor a list of strings".to_owned()),
    }
}

/// Lets pass a URL on a host that may be reached, a `urn`, and a plain name that nobody takes for a host or a URL.
/// What is not understood is refused: its reader may understand it.
fn may_be_meant_for(name: &str, grant: &EgressGrant) -> Result<(), String> {
    let is_plain = name.chars().all(|c| c.is_ascii_graphic() || c == ' ') && !name.contains('\\');
    let is_allowed = is_plain
        && match Url::parse(name) {
            Ok(url) => match url.host_str() {
                Some(host) => {
                    url.scheme() == "https"
                        && url.username().is_empty()
                        && url.password().is_none()
                        && url
                            .port_or_known_default()
                            .is_some_and(|port| grant.allows(host, port))
                }
                None => url.scheme() == "urn",
            },
            Err(_) => !name.is_empty() && !name.contains(['/', '.', ':']),
        };
    if is_allowed {
        Ok(())
    } else {
        Err(format!(
            "`aud` is `{}`, which is neither an https URL on a host that the description names, nor a urn, nor a name \
             without `/`, `.` and `:`",
            cleaned(name, SHOWN_CHARS)
        ))
    }
}

/// Whole seconds since 1970: RFC 7519 lets them have a fraction, and nobody needs one.
fn seconds(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    claims.get(name).and_then(Value::as_i64)
}
