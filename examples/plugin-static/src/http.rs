//! One GET request over `wasi:http`.

use crate::bindings::idsync::plugin::types::{ErrorKind, Failure};
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingRequest, Scheme, http_error_code,
};
use crate::bindings::wasi::io::streams::StreamError;

/// How much is read at once. A single call over the boundary may not carry more than 4 MiB.
const CHUNK_BYTES: u64 = 256 * 1024;

/// What a server answered.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// When, by the server's own clock: Unix milliseconds.
    pub date: Option<u64>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Asks `host` for `path`.
pub fn get(host: &str, path: &str, token: Option<&str>) -> Result<Answer, Failure> {
    let response = send(host, path, token).map_err(|code| unreachable_host(host, &code))?;
    let date = response
        .headers()
        .get("date")
        .first()
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|text| httpdate::parse_http_date(text).ok())
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|since| u64::try_from(since.as_millis()).ok());
    let status = response.status();
    let body = read(&response).map_err(|code| unreachable_host(host, &code))?;
    Ok(Answer { status, date, body })
}

fn send(host: &str, path: &str, token: Option<&str>) -> Result<IncomingResponse, ErrorCode> {
    let unusable = |()| ErrorCode::HttpRequestUriInvalid;
    let headers = Fields::new();
    let accept = b"application/json".to_vec();
    headers
        .append("accept", &accept)
        .map_err(|_| ErrorCode::InternalError(None))?;
    if let Some(token) = token {
        headers
            .append("authorization", format!("Bearer {token}").as_bytes())
            .map_err(|_| {
                ErrorCode::InternalError(Some("the token holds characters no header may hold".to_owned()))
            })?;
    }
    let request = OutgoingRequest::new(headers);
    request.set_method(&Method::Get).map_err(unusable)?;
    request.set_scheme(Some(&Scheme::Https)).map_err(unusable)?;
    request.set_authority(Some(host)).map_err(unusable)?;
    request.set_path_with_query(Some(path)).map_err(unusable)?;
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    response
        .get()
        .and_then(Result::ok)
        .unwrap_or(Err(ErrorCode::InternalError(None)))
}

/// Reads the body to its end. The streams of the bindings keep the error code, which std's `Read` would turn to text.
fn read(response: &IncomingResponse) -> Result<Vec<u8>, ErrorCode> {
    let body = response.consume().map_err(|()| ErrorCode::InternalError(None))?;
    let stream = body.stream().map_err(|()| ErrorCode::InternalError(None))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(CHUNK_BYTES) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(http_error_code(&error).unwrap_or(ErrorCode::InternalError(None)));
            }
        }
    }
}

/// What a request that brought no answer means. What the host refused will be refused again: that is a matter of the
/// settings or of what the server sends, while everything else may be better next time.
fn unreachable_host(host: &str, code: &ErrorCode) -> Failure {
    let (kind, hint) = match code {
        ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable => (
            ErrorKind::InvalidSettings,
            "Check the setting `host`: the address behind it may not be reached from here.",
        ),
        ErrorCode::HttpResponseBodySize(_) | ErrorCode::HttpResponseHeaderSectionSize(_) => (
            ErrorKind::Protocol,
            "The document is larger than one answer may be.",
        ),
        _ => (ErrorKind::Unavailable, ""),
    };
    Failure {
        kind,
        summary: format!("asking {host} for the directory brought no answer: {code:?}"),
        hint: hint.to_owned(),
        stage: "document".to_owned(),
        provider_code: None,
        request_id: None,
        retry_at: None,
    }
}
