//! An answer before it is sent, and the three shapes of Okta's errors: OAuth body, Okta's body, `WWW-Authenticate`.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::ids::word;

/// An answer before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether `body` is compressed with gzip already.
    pub(crate) is_gzip: bool,
    /// Of a page of a listing: its links.
    pub(crate) links: Option<Links>,
}

/// The links of a page.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    pub(crate) this: Link,
    pub(crate) next: Option<Link>,
}

/// Where a link leads: a URL without its query, and the query.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) url: String,
    pub(crate) query: Vec<(String, String)>,
}

impl Link {
    /// The whole URL.
    pub(crate) fn href(&self) -> String {
        if self.query.is_empty() {
            return self.url.clone();
        }
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.query)
            .finish();
        format!("{}?{query}", self.url)
    }
}

impl Answer {
    /// An answer with a JSON body that is written already.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            status,
            headers,
            body: body.into(),
            is_gzip: false,
            links: None,
        }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            is_gzip: false,
            links: None,
        }
    }

    /// Sets a header; what is no header value becomes `?`.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("?"));
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }
}

/// Okta's error body.
pub(crate) fn okta_error(status: StatusCode, code: &str, summary: &str, causes: &[&str]) -> Answer {
    let seed = summary.bytes().fold(u64::from(status.as_u16()), |sum, byte| {
        sum * 31 % 1_000_003 + u64::from(byte)
    });
    let causes: Vec<_> = causes
        .iter()
        .map(|cause| json!({ "errorSummary": cause }))
        .collect();
    let body = json!({
        "errorCode": code,
        "errorSummary": summary,
        "errorLink": code,
        "errorId": format!("oae{}", word(seed, 1, 22)),
        "errorCauses": causes,
    });
    Answer::json(status, body.to_string())
}

/// 404 of a thing that is not there.
pub(crate) fn not_found(what: &str, kind: &str) -> Answer {
    let summary = format!("Not found: Resource not found: {what} ({kind})");
    okta_error(StatusCode::NOT_FOUND, "E0000007", &summary, &[])
}

/// 403 of an admin role that does not allow it.
pub(crate) fn forbidden() -> Answer {
    let summary = "You do not have permission to perform the requested action";
    okta_error(StatusCode::FORBIDDEN, "E0000006", summary, &[])
}

/// 400 of a parameter that can't be right.
pub(crate) fn invalid(parameter: &str, cause: &str) -> Answer {
    let summary = format!("Api validation failed: {parameter}");
    okta_error(StatusCode::BAD_REQUEST, "E0000001", &summary, &[cause])
}

/// 400 of a cursor that was never handed out.
pub(crate) fn invalid_cursor() -> Answer {
    okta_error(
        StatusCode::BAD_REQUEST,
        "E0000031",
        "Invalid search criteria.",
        &["Invalid cursor."],
    )
}

/// 429.
pub(crate) fn too_many_requests() -> Answer {
    let summary = "API call exceeded rate limit due to too many requests.";
    okta_error(StatusCode::TOO_MANY_REQUESTS, "E0000047", summary, &[])
}

/// An OAuth error body (RFC 6749 section 5.2).
pub(crate) fn oauth_error(status: StatusCode, error: &str, description: &str) -> Answer {
    Answer::json(
        status,
        json!({ "error": error, "error_description": description }).to_string(),
    )
}

/// An error that stands in `WWW-Authenticate` alone (RFC 6750 section 3, RFC 9449 section 7.1), as Okta sends it.
pub(crate) struct Challenge<'a> {
    /// `Bearer` or `DPoP`.
    pub(crate) scheme: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) error: &'a str,
    pub(crate) description: &'a str,
    pub(crate) path: &'a str,
}

impl Challenge<'_> {
    /// The answer.
    pub(crate) fn answer(&self, status: StatusCode) -> Answer {
        let Challenge {
            scheme,
            domain,
            scope,
            error,
            description,
            path,
        } = self;
        let algorithms = match *scheme {
            "DPoP" => "algs=\"RS256 RS384 RS512 ES256 ES384 ES512\", ",
            _ => "",
        };
        let text = format!(
            "{scheme} {algorithms}authorization_uri=\"http://{domain}/oauth2/v1/authorize\", \
             realm=\"http://{domain}\", scope=\"{scope}\", error=\"{error}\", \
             error_description=\"{description}\", resource=\"{path}\""
        );
        Answer::empty(status).with("www-authenticate", &text)
    }
}
