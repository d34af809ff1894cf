//! The host trait over the component's imports: HTTP, keys, time, vault, log and the identity store.

use std::cell::OnceCell;
use std::time::Duration;

use crate::executor::ready;
use crate::host::{
    Body, Entity, Group, Headers, Host, HttpRequest, HttpResponse, LogLevel, MembersVerdict, Method,
    PagePart, SigningKey, StoredCounts, TransportError, User,
};
use crate::wasm::idsync::plugin::{identity_store, key_store, log, timer, types, vault};
use crate::wasm::wasi::clocks::{monotonic_clock, wall_clock};
use crate::wasm::wasi::http::outgoing_handler;
use crate::wasm::wasi::http::types::{self as http, IncomingBody, IncomingResponse};
use crate::wasm::wasi::io::streams::{InputStream, StreamError};
use crate::wasm::wasi::random::random;
use crate::wasm_error::transport_error;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take to begin.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a body may stand still.
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of a body is asked for at once.
const READ_BYTES: u64 = 1 << 18;
/// The most that `blocking-write-and-flush` takes at once.
const WRITE_BYTES: usize = 4096;

/// The host as the component sees it.
pub(crate) struct WasmHost {
    directory_key: OnceCell<key_store::SigningKey>,
    proof_key: OnceCell<key_store::SigningKey>,
}

impl WasmHost {
    pub(crate) fn new() -> Self {
        Self {
            directory_key: OnceCell::new(),
            proof_key: OnceCell::new(),
        }
    }

    fn key(&self, key: SigningKey) -> Result<&key_store::SigningKey, key_store::KeyError> {
        let (cell, made): (_, fn() -> _) = match key {
            SigningKey::Directory => (&self.directory_key, key_store::directory_key),
            SigningKey::Proof => (&self.proof_key, || {
                key_store::ephemeral_key(key_store::Algorithm::Es256)
            }),
        };
        if let Some(key) = cell.get() {
            return Ok(key);
        }
        let made = made()?;
        Ok(cell.get_or_init(|| made))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The body of an answer. The fields stand in the order in which the resources must be dropped: each was made from
/// the one below it.
pub(crate) struct IncomingStream {
    stream: Option<InputStream>,
    _body: IncomingBody,
    _response: IncomingResponse,
}

impl Body for IncomingStream {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        loop {
            let Some(stream) = &self.stream else {
                return Ok(None);
            };
            match stream.read(READ_BYTES) {
                Ok(bytes) if bytes.is_empty() => ready(stream.subscribe()).await,
                Ok(bytes) => return Ok(Some(bytes)),
                Err(StreamError::Closed) => {
                    self.stream = None;
                    return Ok(None);
                }
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(match http::http_error_code(&error) {
                        Some(code) => transport_error(&code),
                        None => TransportError::Broken(format!(
                            "the answer's body could not be read: {}",
                            error.to_debug_string()
                        )),
                    });
                }
            }
        }
    }
}

fn outgoing(request: &HttpRequest) -> Result<http::OutgoingRequest, TransportError> {
    let refused =
        |what: &str| TransportError::Refused(format!("the request's {what} is not allowed by the host"));
    let length = request.body.as_ref().map(|body| body.len().to_string());
    let mut headers: Vec<(&str, &[u8])> = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    if let Some(length) = &length {
        headers.push(("content-length", length.as_bytes()));
    }
    let fields = http::Fields::from_list(&headers).map_err(|_| refused("header"))?;
    let outgoing = http::OutgoingRequest::new(fields);
    let method = match request.method {
        Method::Get => http::Method::Get,
        Method::Post => http::Method::Post,
    };
    outgoing.set_method(&method).map_err(|()| refused("method"))?;
    outgoing
        .set_scheme(Some(&http::Scheme::Https))
        .map_err(|()| refused("scheme"))?;
    outgoing
        .set_authority(Some(&request.authority))
        .map_err(|()| refused("address"))?;
    outgoing
        .set_path_with_query(Some(&request.target))
        .map_err(|()| refused("path"))?;
    Ok(outgoing)
}

fn options() -> http::RequestOptions {
    let options = http::RequestOptions::new();
    // A host that does not know one of these has its own; there is nothing else to do about it.
    let _ = options.set_connect_timeout(Some(nanoseconds(CONNECT_TIMEOUT)));
    let _ = options.set_first_byte_timeout(Some(nanoseconds(FIRST_BYTE_TIMEOUT)));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds(BETWEEN_BYTES_TIMEOUT)));
    options
}

fn write_body(body: http::OutgoingBody, bytes: &[u8]) -> Result<(), TransportError> {
    let broken = |what: &str| TransportError::Broken(format!("the request's body could not be {what}"));
    {
        let stream = body.write().map_err(|()| broken("opened"))?;
        for piece in bytes.chunks(WRITE_BYTES) {
            stream
                .blocking_write_and_flush(piece)
                .map_err(|_| broken("sent"))?;
        }
    }
    http::OutgoingBody::finish(body, None).map_err(|code| transport_error(&code))
}

impl Host for WasmHost {
    type Body = IncomingStream;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<IncomingStream>, TransportError> {
        let outgoing = outgoing(&request)?;
        let body = outgoing
            .body()
            .map_err(|()| TransportError::Refused("the request has no body".to_owned()))?;
        let future =
            outgoing_handler::handle(outgoing, Some(options())).map_err(|code| transport_error(&code))?;
        write_body(body, request.body.as_deref().unwrap_or_default())?;
        ready(future.subscribe()).await;
        let response = match future.get() {
            Some(Ok(Ok(response))) => response,
            Some(Ok(Err(code))) => return Err(transport_error(&code)),
            Some(Err(())) | None => {
                return Err(TransportError::Broken("the host lost the answer".to_owned()));
            }
        };
        let headers = response
            .headers()
            .entries()
            .into_iter()
            .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
            .collect();
        let unreadable = |()| TransportError::Broken("the answer's body can't be read".to_owned());
        let body = response.consume().map_err(unreadable)?;
        let stream = body.stream().map_err(unreadable)?;
        Ok(HttpResponse {
            status: response.status(),
            headers: Headers(headers),
            body: IncomingStream {
                stream: Some(stream),
                _body: body,
                _response: response,
            },
        })
    }

    async fn sign(&self, key: SigningKey, claims: &str) -> Result<String, String> {
        let options = match key {
            SigningKey::Directory => key_store::JwtOptions {
                typ: Some("JWT"),
                include_kid: true,
                include_jwk: false,
            },
            SigningKey::Proof => key_store::JwtOptions {
                typ: Some("dpop+jwt"),
                include_kid: false,
                include_jwk: true,
            },
        };
        self.key(key)
            .and_then(|key| key.sign_jwt(claims, options))
            .map_err(|error| match error {
                key_store::KeyError::NotAllowed(what) | key_store::KeyError::Unavailable(what) => what,
            })
    }

    fn wall_ms(&self) -> i64 {
        let now = wall_clock::now();
        let seconds = i64::try_from(now.seconds).unwrap_or(i64::MAX / 1000);
        seconds
            .saturating_mul(1000)
            .saturating_add(i64::from(now.nanoseconds / 1_000_000))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now())
    }

    async fn sleep(&self, duration: Duration) {
        ready(monotonic_clock::subscribe_duration(nanoseconds(duration))).await;
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(random::get_random_bytes(16)) {
            *to = from;
        }
        bytes
    }

    fn time_left(&self) -> Duration {
        Duration::from_millis(timer::time_left())
    }

    fn cancelled(&self) -> bool {
        timer::cancelled()
    }

    fn wake_at(&self, unix_seconds: u64, reason: &str) {
        timer::wake_at(unix_seconds, reason);
    }

    async fn stored(&self) -> StoredCounts {
        let stored = identity_store::stored();
        StoredCounts {
            users: stored.users,
            groups: stored.groups,
            memberships: stored.memberships,
        }
    }

    async fn put_users(&self, users: &[User<'_>]) {
        let users: Vec<identity_store::User<'_>> = users.iter().map(Into::into).collect();
        identity_store::put_users(&users);
    }

    async fn put_groups(&self, groups: &[Group]) -> Vec<bool> {
        let groups: Vec<identity_store::Group<'_>> = groups.iter().map(Into::into).collect();
        identity_store::put_groups(&groups)
    }

    async fn put_members(
        &self,
        group: &str,
        users: &[&str],
        read_at_ms: u64,
        part: PagePart,
    ) -> MembersVerdict {
        let mut flags = identity_store::PagePart::empty();
        flags.set(identity_store::PagePart::FIRST, part.first);
        flags.set(identity_store::PagePart::LAST, part.last);
        match identity_store::put_members(group, users, read_at_ms, flags) {
            identity_store::MembersVerdict::Taken => MembersVerdict::Taken,
            identity_store::MembersVerdict::ReadAgain => MembersVerdict::ReadAgain,
        }
    }

    async fn restart(&self, kind: Entity) {
        identity_store::restart(kind.into());
    }

    async fn drop_group(&self, group: &str) {
        identity_store::drop_group(group);
    }

    async fn skip(&self, kind: Entity, external_id: &str, reason: &str) {
        identity_store::skip(kind.into(), external_id, reason);
    }

    async fn checkpoint(&self, state: Vec<u8>) {
        identity_store::checkpoint(&state);
    }

    async fn remember(&self, name: &str, value: Vec<u8>) {
        vault::remember(name, &value);
    }

    async fn recall(&self, name: &str) -> Option<Vec<u8>> {
        vault::recall(name)
    }

    fn log(&self, level: LogLevel, message: &str, fields: &[(&str, &str)]) {
        let level = match level {
            LogLevel::Debug => log::Level::Debug,
            LogLevel::Info => log::Level::Info,
            LogLevel::Warn => log::Level::Warn,
        };
        let fields: Vec<log::Field<'_>> = fields
            .iter()
            .map(|(name, value)| log::Field { name, value })
            .collect();
        log::write(level, message, &fields);
    }

    fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        log::progress(stage, done, total);
    }
}

impl<'u> From<&'u User<'_>> for identity_store::User<'u> {
    fn from(user: &'u User<'_>) -> Self {
        Self {
            external_id: &user.external_id,
            email: &user.email,
            username: &user.username,
            display_name: user.display_name.as_deref(),
            given_name: user.given_name.as_deref(),
            family_name: user.family_name.as_deref(),
            active: user.active,
            provider_status: &user.provider_status,
        }
    }
}

impl<'g> From<&'g Group> for identity_store::Group<'g> {
    fn from(group: &'g Group) -> Self {
        Self {
            external_id: &group.external_id,
            name: &group.name,
            description: group.description.as_deref(),
            provider_kind: group.provider_kind.as_deref(),
            members_version: group
                .members_changed_at
                .map(identity_store::MembersVersion::ChangedAt),
        }
    }
}

impl From<Entity> for types::Entity {
    fn from(entity: Entity) -> Self {
        match entity {
            Entity::User => Self::User,
            Entity::Group => Self::Group,
            Entity::Membership => Self::Membership,
        }
    }
}
