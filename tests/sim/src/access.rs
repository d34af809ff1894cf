//! Who may ask: the token of a resource request, its DPoP proof (RFC 9449 section 7), and its scope.

use http::{HeaderMap, StatusCode};

use crate::answer::{Answer, Challenge, okta_error};
use crate::dpop::{self, Asked};
use crate::state::{State, lock};

/// A resource request, as far as access goes.
pub(crate) struct Access<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// The URL that was asked, without its query.
    pub(crate) url: &'a str,
    /// The scope that the endpoint needs.
    pub(crate) scope: &'a str,
}

impl Access<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn refuse(&self, state: &State, scheme: &str, status: u16, error: &str, description: &str) -> Answer {
        let challenge = Challenge {
            scheme,
            domain: &state.domain,
            scope: self.scope,
            error,
            description,
            path: self.path,
        };
        challenge.answer(StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED))
    }

    /// 401: the token is refused.
    pub(crate) fn unauthorized(&self, state: &State, description: &str) -> Answer {
        let scheme = if self.header("dpop").is_some() {
            "DPoP"
        } else {
            "Bearer"
        };
        self.refuse(state, scheme, 401, "invalid_token", description)
    }

    /// A nonce is asked for.
    pub(crate) fn ask_nonce(&self, state: &State, status: u16) -> Answer {
        let text = "Resource server requires nonce in DPoP proof.";
        let answer = self.refuse(state, "DPoP", status, "use_dpop_nonce", text);
        answer.with("dpop-nonce", &lock(&state.nonces).present())
    }

    /// Checks token, proof and scope; the thumbprint of an accepted proof goes to `thumbprint`.
    pub(crate) fn check(&self, state: &State, thumbprint: &mut Option<String>) -> Result<(), Answer> {
        let invalid_session = || okta_error(StatusCode::UNAUTHORIZED, "E0000005", "Invalid session", &[]);
        let credentials = self.header("authorization").ok_or_else(invalid_session)?;
        let (scheme, text) = credentials.split_once(' ').ok_or_else(invalid_session)?;
        let is_dpop = scheme.eq_ignore_ascii_case("DPoP");
        if !is_dpop && !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(invalid_session());
        }
        let token = lock(&state.tokens).get(text).cloned();
        let token = token.ok_or_else(|| self.unauthorized(state, "The access token is invalid."))?;
        let now = state.clock.now();
        if token.ends <= now {
            return Err(self.unauthorized(state, "The access token has expired."));
        }
        let scheme = if is_dpop { "DPoP" } else { "Bearer" };
        match (&token.bound_to, is_dpop) {
            (None, false) => {}
            (None, true) => {
                return Err(self.unauthorized(state, "The access token is not bound to a DPoP key."));
            }
            (Some(_), false) => {
                let text = "The access token is bound to a DPoP key and must be sent with the DPoP scheme.";
                return Err(self.refuse(state, "DPoP", 401, "invalid_token", text));
            }
            (Some(bound_to), true) => {
                let invalid = |text: &str| self.refuse(state, "DPoP", 400, "invalid_dpop_proof", text);
                let proof = self
                    .header("dpop")
                    .ok_or_else(|| invalid("The DPoP proof JWT header is missing."))?;
                let asked = Asked {
                    method: self.method,
                    url: self.url,
                    token: Some(text),
                    now,
                };
                let proof = dpop::check(proof, &asked, &mut lock(&state.seen)).map_err(invalid)?;
                if proof.thumbprint != *bound_to {
                    return Err(invalid(
                        "The DPoP proof JWT key does not match the key of the access token.",
                    ));
                }
                *thumbprint = Some(proof.thumbprint);
                let needs_nonce = crate::state::read(&state.settings).resource_nonce;
                let is_good = |nonce: &String| lock(&state.nonces).is_good(nonce);
                if needs_nonce && !proof.nonce.as_ref().is_some_and(is_good) {
                    return Err(self.ask_nonce(state, 401));
                }
            }
        }
        if !token.scopes.iter().any(|scope| scope == self.scope) {
            let text = "The access token provided does not contain the required scopes.";
            return Err(self.refuse(state, scheme, 403, "insufficient_scope", text));
        }
        Ok(())
    }
}
