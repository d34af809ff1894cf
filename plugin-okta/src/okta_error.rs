//! What Okta says of a request that it refused, from all three places where it says it (RUNS §9.4): the OAuth body, its
//! own error body, and `WWW-Authenticate` where the body is empty.

use serde::Deserialize;

use crate::host::Headers;

/// How Okta says that a proof is not good, whatever is wrong with it (RFC 9449, section 12.2).
pub const PROOF_REFUSED: &str = "invalid_dpop_proof";

/// No more of Okta's text is shown.
const MAX_TEXT_CHARS: usize = 300;

/// An error in Okta's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OktaError {
    /// Such as `E0000006` or `invalid_client`.
    pub code: Option<String>,
    /// The sentence beside it.
    pub text: Option<String>,
    /// Okta's id of the request.
    pub request_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Option<String>,
    error_description: Option<String>,
    #[serde(rename = "errorCode")]
    code: Option<String>,
    #[serde(rename = "errorSummary")]
    summary: Option<String>,
    #[serde(rename = "errorId")]
    id: Option<String>,
    #[serde(rename = "errorCauses")]
    causes: Vec<Cause>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    #[serde(rename = "errorSummary")]
    summary: Option<String>,
}

impl OktaError {
    /// Reads an answer's error.
    pub fn read(headers: &Headers, body: &[u8]) -> Self {
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let challenge = |name: &str| {
            headers
                .all("www-authenticate")
                .find_map(|value| attribute(value, name))
        };
        let summary = body.summary.map(|summary| {
            let causes = body.causes.into_iter().filter_map(|cause| cause.summary);
            std::iter::once(summary)
                .chain(causes)
                .collect::<Vec<_>>()
                .join(" ")
        });
        Self {
            code: body
                .code
                .or(body.error)
                .or_else(|| challenge("error"))
                .map(|code| shown(&code)),
            text: summary
                .or(body.error_description)
                .or_else(|| challenge("error_description"))
                .map(|text| shown(&text)),
            request_id: headers
                .get("x-okta-request-id")
                .map(shown)
                .or(body.id.map(|id| shown(&id))),
        }
    }

    /// Whether the code is this one.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether the text speaks of one of these. It refines what is said to people and decides nothing.
    pub fn mentions(&self, words: &[&str]) -> bool {
        self.text
            .as_deref()
            .is_some_and(|text| words.iter().any(|word| text.to_ascii_lowercase().contains(word)))
    }

    /// Code and text for a sentence that ends here, or an empty text.
    pub fn quoted(&self) -> String {
        match (&self.text, &self.code) {
            (Some(text), Some(code)) => format!(": \u{201c}{text}\u{201d} ({code})"),
            (Some(text), None) => format!(": \u{201c}{text}\u{201d}"),
            (None, Some(code)) => format!(" ({code})"),
            (None, None) => String::new(),
        }
    }
}

/// The value of one attribute of a challenge (RFC 9110, section 11.6.1).
fn attribute(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    while let Some(at) = rest.find(name) {
        let is_whole = rest[..at]
            .chars()
            .next_back()
            .is_none_or(|c| c == ' ' || c == ',');
        let after = &rest[at + name.len()..];
        if let Some(value) = after.trim_start().strip_prefix('=').filter(|_| is_whole) {
            let value = value.trim_start();
            return Some(match value.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next().unwrap_or_default().to_owned(),
                None => value.split([',', ' ']).next().unwrap_or_default().to_owned(),
            });
        }
        rest = after;
    }
    None
}

/// A text of Okta's in a form that can stand in a line of a log or a page.
pub fn shown(text: &str) -> String {
    let clean = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean: String = clean.chars().filter(|c| !c.is_control()).collect();
    if clean.chars().count() <= MAX_TEXT_CHARS {
        return clean;
    }
    clean.chars().take(MAX_TEXT_CHARS).chain(['\u{2026}']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers(
            pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn runs_9_4_errors_are_read_from_the_oauth_body() {
        let error = OktaError::read(
            &headers(&[("X-Okta-Request-Id", "r1")]),
            br#"{"error":"invalid_client","error_description":"No."}"#,
        );
        assert!(error.is("invalid_client"));
        assert_eq!(error.text.as_deref(), Some("No."));
        assert_eq!(error.request_id.as_deref(), Some("r1"));
    }

    #[test]
    fn runs_9_4_errors_are_read_from_oktas_own_body_with_their_causes() {
        let body = br#"{"errorCode":"E0000001","errorSummary":"Failed.","errorId":"oae1","errorCauses":[{"errorSummary":"Because."}]}"#;
        let error = OktaError::read(&Headers::default(), body);
        assert!(error.is("E0000001"));
        assert_eq!(error.text.as_deref(), Some("Failed. Because."));
        assert_eq!(error.request_id.as_deref(), Some("oae1"));
    }

    #[test]
    fn runs_9_4_errors_are_read_from_the_challenge_of_an_empty_body() {
        let challenge = "DPoP algs=\"ES256\", realm=\"http://a\", scope=\"okta.groups.read\", error=\"insufficient_scope\", \
                         error_description=\"Lacks it, you see.\", resource=\"/x\"";
        let error = OktaError::read(&headers(&[("www-authenticate", challenge)]), b"");
        assert!(error.is("insufficient_scope"));
        assert_eq!(error.text.as_deref(), Some("Lacks it, you see."));
        assert_eq!(
            error.quoted(),
            ": \u{201c}Lacks it, you see.\u{201d} (insufficient_scope)"
        );
    }

    #[test]
    fn a_body_that_is_no_error_says_nothing() {
        assert_eq!(
            OktaError::read(&Headers::default(), b"<html>"),
            OktaError::default()
        );
    }

    #[test]
    fn a_long_text_is_cut_on_a_character() {
        let text = shown(&"\u{e4}\n".repeat(400));
        assert_eq!(text.chars().count(), MAX_TEXT_CHARS + 1);
    }
}
