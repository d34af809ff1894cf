//! One request on its way: what the host adds and takes away, and how long it waits.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HeaderMap, HeaderName,
    HeaderValue, REFERER, SET_COOKIE, TE, TRAILER, USER_AGENT, VIA,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::connect::capture_connection;
use tokio::time::timeout;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, Result as HttpResult, WasiBody,
    WasiHttpHooks,
};

use super::EgressLimits;
use super::ahead::Ahead;
use super::body::{AnswerBody, InFlight};
use super::client::EgressClient;
use super::failure::{Phase, code_for};
use super::grant::HostPort;
use super::provider_clock::ProviderClock;

/// `idsync/VERSION`, where the plugin names no client.
const AGENT: &str = concat!("idsync/", env!("CARGO_PKG_VERSION"));

/// Headers that are the host's to set, or nobody's.
static NOT_A_PLUGINS: [HeaderName; 8] = [
    ACCEPT_ENCODING,
    COOKIE,
    EXPECT,
    FORWARDED,
    REFERER,
    TE,
    TRAILER,
    VIA,
];

/// How `wasmtime-wasi-http` sends the requests of one call.
pub(super) struct Sender {
    pub(super) client: EgressClient,
    pub(super) limits: EgressLimits,
    pub(super) in_flight: Arc<AtomicU64>,
    pub(super) provider_clock: ProviderClock,
    /// What the next request is counted as. It is set right before it is sent.
    pub(super) next: Option<InFlight>,
}

type Sent = Box<dyn Future<Output = HttpResult<()>> + Send>;

impl WasiHttpHooks for Sender {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name) || NOT_A_PLUGINS.contains(name))
    }

    fn is_supported_scheme(&mut self, scheme: &Scheme) -> bool {
        *scheme == Scheme::HTTPS
    }

    /// The client sets it from the URL.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Sent,
    ) -> Box<dyn Future<Output = HttpResult<(Response<WasiBody>, Sent)>> + Send> {
        let client = self.client.clone();
        let limits = self.limits.clone();
        let provider_clock = self.provider_clock.clone();
        let in_flight = self.next.take();
        Box::new(async move {
            let in_flight = in_flight.ok_or(Error::HttpRequestDenied)?;
            let answer = send(&client, request, &limits, options.unwrap_or_default(), in_flight).await?;
            provider_clock.see(answer.headers());
            let sent: Sent = Box::new(async { Ok(()) });
            Ok((answer, sent))
        })
    }
}

async fn send(
    client: &EgressClient,
    mut request: Request<WasiBody>,
    limits: &EgressLimits,
    options: RequestOptions,
    in_flight: InFlight,
) -> HttpResult<Response<WasiBody>> {
    let within = |limit: Duration, wished: Option<Duration>| wished.map_or(limit, |wished| wished.min(limit));
    *request.uri_mut() = in_one_form(request.uri())?;
    let headers = request.headers_mut();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(AGENT));

    let mut connection = capture_connection(&mut request);
    let mut answer = pin!(client.0.request(request));
    let connected = async {
        let _ = connection.wait_for_connection_metadata().await;
    };
    let early = tokio::select! {
        biased;
        answer = &mut answer => Some(answer),
        connected = timeout(within(limits.connect, options.connect_timeout), connected) => {
            connected.map_err(|_| Error::ConnectionTimeout)?;
            None
        }
    };
    let answer = match early {
        Some(answer) => answer,
        None => timeout(within(limits.first_byte, options.first_byte_timeout), answer)
            .await
            .map_err(|_| Error::HttpResponseTimeout)?,
    };
    let answer = answer.map_err(|error| code_for(&error, Phase::Head))?;

    let (mut head, body) = answer.into_parts();
    let header_bytes = size_of_headers(&head.headers);
    if header_bytes > limits.header_bytes {
        return Err(Error::HttpResponseHeaderSectionSize(
            u32::try_from(header_bytes).ok(),
        ));
    }
    let is_gzip = is_gzip(&head.headers)?;
    let announced = head
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if let Some(size) = announced.filter(|size| *size > limits.body_bytes) {
        return Err(Error::HttpResponseBodySize(Some(size)));
    }
    head.headers.remove(SET_COOKIE);
    if is_gzip {
        head.headers.remove(CONTENT_ENCODING);
        head.headers.remove(CONTENT_LENGTH);
    }
    let stall = within(limits.stall, options.between_bytes_timeout);
    let body = AnswerBody::new(body, is_gzip, limits.body_bytes, stall);
    Ok(Response::from_parts(
        head,
        Ahead::of(body, in_flight).boxed_unsync(),
    ))
}

/// The URL with its host in the form that the grant was compared in, so that what was allowed is what is asked.
fn in_one_form(uri: &Uri) -> HttpResult<Uri> {
    let invalid = || Error::HttpRequestUriInvalid;
    let target = HostPort::new(uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443))
        .map_err(|_| invalid())?;
    let path = uri
        .path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"));
    Uri::builder()
        .scheme(Scheme::HTTPS)
        .authority(Authority::try_from(target.to_string()).map_err(|_| invalid())?)
        .path_and_query(path)
        .build()
        .map_err(|_| invalid())
}

/// Bytes of headers as HTTP/1.1 writes them.
pub(super) fn size_of_headers(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum()
}

/// Whether the body is packed; an error where it is in a way that was not asked for.
fn is_gzip(headers: &HeaderMap) -> HttpResult<bool> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(false);
    };
    if codings.next().is_some() {
        return Err(Error::HttpResponseContentCoding(Some("several".to_owned())));
    }
    match coding.as_bytes().to_ascii_lowercase().trim_ascii() {
        b"" | b"identity" => Ok(false),
        b"gzip" | b"x-gzip" => Ok(true),
        other => Err(Error::HttpResponseContentCoding(Some(
            String::from_utf8_lossy(other).chars().take(40).collect(),
        ))),
    }
}
