//! What `sign-jwt` signs, and what it refuses.

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Map, Value};
use url::Url;

use super::SigningKey;
use crate::bindings::key_store::{JwtOptions, KeyError};
use crate::egress::EgressGrant;
use idsync_model::KeyAlgorithm;

/// Seconds for which claims that are meant for someone may be valid.
const VALIDITY_LIMIT_SECONDS: f64 = 3600.0;
/// Bytes of claims. Servers take headers of a few KiB.
const CLAIMS_LIMIT_BYTES: usize = 64 * 1024;

pub(super) fn sign(
    key: &SigningKey,
    claims: &str,
    options: &JwtOptions,
    grant: &EgressGrant,
) -> Result<String, KeyError> {
    let claims = allowed_claims(claims, key.is_the_directorys, grant).map_err(KeyError::NotAllowed)?;
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
    jsonwebtoken::encode(&header, &claims, key.pair.signing())
        .map_err(|error| KeyError::Unavailable(format!("the key did not sign: {error}")))
}

/// The claims, where the contract lets them be signed; else what is wrong with them.
fn allowed_claims(
    text: &str,
    is_the_directorys: bool,
    grant: &EgressGrant,
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
        return Err("claims with an `aud` need `iat` and `exp` in seconds".to_owned());
    };
    if expires - issued > VALIDITY_LIMIT_SECONDS {
        return Err("the claims are valid for more than an hour".to_owned());
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

fn may_be_meant_for(name: &str, grant: &EgressGrant) -> Result<(), String> {
    let Ok(url) = Url::parse(name) else {
        return Ok(());
    };
    let Some(host) = url.host_str() else {
        return Ok(());
    };
    let is_reached = url.scheme() == "https" && grant.allows(host, url.port_or_known_default().unwrap_or(0));
    if is_reached {
        Ok(())
    } else {
        Err(format!(
            "`aud` is a URL on `{host}`, which is none of the hosts that the description names"
        ))
    }
}

fn seconds(claims: &Map<String, Value>, name: &str) -> Option<f64> {
    claims.get(name).and_then(Value::as_f64)
}
