//! What the plugin's logic reaches, natively: the same host functions that a component is linked to, without the
//! component between.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use idsync_capability::CapabilityError;
use idsync_capability::bindings::identity_store::{self as store, Host as _};
use idsync_capability::bindings::key_store::{self, Host as _, HostSigningKey as _};
use idsync_capability::bindings::log::{self, Host as _};
use idsync_capability::bindings::timer::Host as _;
use idsync_capability::bindings::types;
use idsync_capability::bindings::vault::Host as _;
use idsync_capability::egress::{EgressCtx, EgressCtxView};
use idsync_capability::keys::{KeysCtx, KeysCtxView, SigningKey as HeldKey};
use idsync_capability::log::LogCtx;
use idsync_capability::staging::StagingCtx;
use idsync_capability::timer::TimerCtx;
use idsync_capability::vault::VaultCtx;
use idsync_model::{Clock, ErrorKind, Failure, Usage};
use plugin_okta::host::{
    Body, Entity, Group, Headers, Host, HttpRequest, HttpResponse, LogLevel, MembersVerdict, Method,
    PagePart, SigningKey, StoredCounts, TransportError, User,
};
use tokio::sync::Mutex;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi_http::p2::bindings::http::types::{Method as WasiMethod, Scheme};
use wasmtime_wasi_http::p2::body::{HyperIncomingBody, HyperOutgoingBody};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{FieldMap, RequestOptions};

/// As the component asks for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(15);

/// The host of one call. What ends a component's call is kept, and reported in place of what the logic returns.
pub struct NativeHost {
    egress: RefCell<(EgressCtx, ResourceTable)>,
    keys: RefCell<(KeysCtx, ResourceTable)>,
    directory_key: OnceCell<u32>,
    proof_key: OnceCell<u32>,
    // One call at a time, as a component makes them.
    vault: Mutex<VaultCtx>,
    staging: Mutex<StagingCtx>,
    timer: RefCell<TimerCtx>,
    log: RefCell<LogCtx>,
    clock: Arc<dyn Clock>,
    fault: RefCell<Option<wasmtime::Error>>,
}

impl NativeHost {
    /// The host with what one call is granted.
    pub fn new(
        egress: EgressCtx,
        keys: KeysCtx,
        vault: VaultCtx,
        timer: TimerCtx,
        staging: StagingCtx,
        log: LogCtx,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            egress: RefCell::new((egress, ResourceTable::new())),
            keys: RefCell::new((keys, ResourceTable::new())),
            directory_key: OnceCell::new(),
            proof_key: OnceCell::new(),
            vault: Mutex::new(vault),
            staging: Mutex::new(staging),
            timer: RefCell::new(timer),
            log: RefCell::new(log),
            clock,
            fault: RefCell::new(None),
        }
    }

    /// What was used, and what should have ended the call.
    pub fn end(self) -> (Usage, Option<Failure>) {
        let log = self.log.into_inner();
        log.book().end();
        let (egress, _) = self.egress.into_inner();
        let usage = Usage {
            requests: egress.requests(),
            wake: self.timer.into_inner().wake().cloned(),
            provider_time: egress.provider_time(),
            ..Usage::default()
        };
        let fault = self.fault.into_inner().map(|error| {
            error.downcast_ref::<CapabilityError>().map_or_else(
                || {
                    Failure::new(
                        ErrorKind::Host,
                        "sync",
                        format!("{error:#}"),
                        "See the host's log.",
                    )
                },
                |error| error.to_failure("sync"),
            )
        });
        (usage, fault)
    }

    /// Keeps the first fault; what is answered in its place no longer matters.
    fn or_fault<T: Default>(&self, answer: wasmtime::Result<T>) -> T {
        answer.unwrap_or_else(|error| {
            self.fault.borrow_mut().get_or_insert(error);
            T::default()
        })
    }

    /// Hands a request to the host, as `wasi:http/outgoing-handler.handle` does.
    fn begin(
        &self,
        request: HttpRequest,
    ) -> wasmtime::Result<Result<HostFutureIncomingResponse, TransportError>> {
        let mut egress = self.egress.borrow_mut();
        let (ctx, table) = &mut *egress;
        let headers = match header_map(&request) {
            Ok(headers) => headers,
            Err(error) => return Ok(Err(error)),
        };
        let http = EgressCtxView { ctx, table }.http();
        let headers = FieldMap::new_immutable(http.hooks, headers);
        let outgoing = table.push(HostOutgoingRequest {
            method: match request.method {
                Method::Get => WasiMethod::Get,
                Method::Post => WasiMethod::Post,
            },
            scheme: Some(Scheme::Https),
            authority: Some(request.authority),
            path_with_query: Some(request.target),
            headers,
            body: request.body.map(outgoing_body),
        })?;
        let options = table.push(RequestOptions {
            connect_timeout: Some(CONNECT_TIMEOUT),
            first_byte_timeout: Some(FIRST_BYTE_TIMEOUT),
            between_bytes_timeout: Some(BETWEEN_BYTES_TIMEOUT),
        })?;
        let under_way = EgressCtxView { ctx, table }.handle(outgoing, Some(options))?;
        Ok(match under_way {
            Ok(answer) => Ok(table.delete(answer)?),
            Err(code) => Err(TransportError::Refused(format!(
                "the host refused the request ({code:?})"
            ))),
        })
    }

    fn signed(&self, key: SigningKey, claims: &str) -> wasmtime::Result<Result<String, key_store::KeyError>> {
        let mut keys = self.keys.borrow_mut();
        let (ctx, table) = &mut *keys;
        let mut view = KeysCtxView { ctx, table };
        let cell = match key {
            SigningKey::Directory => &self.directory_key,
            SigningKey::Proof => &self.proof_key,
        };
        let held = if let Some(held) = cell.get() {
            *held
        } else {
            let made: Result<Resource<HeldKey>, _> = match key {
                SigningKey::Directory => view.directory_key()?,
                SigningKey::Proof => view.ephemeral_key(key_store::Algorithm::Es256)?,
            };
            match made {
                Ok(made) => *cell.get_or_init(|| made.rep()),
                Err(error) => return Ok(Err(error)),
            }
        };
        let options = match key {
            SigningKey::Directory => key_store::JwtOptions {
                typ: Some("JWT".to_owned()),
                include_kid: true,
                include_jwk: false,
            },
            SigningKey::Proof => key_store::JwtOptions {
                typ: Some("dpop+jwt".to_owned()),
                include_kid: false,
                include_jwk: true,
            },
        };
        view.sign_jwt(Resource::new_borrow(held), claims.to_owned(), options)
    }
}

fn outgoing_body(bytes: Vec<u8>) -> HyperOutgoingBody {
    Full::new(Bytes::from(bytes))
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn header_map(request: &HttpRequest) -> Result<HeaderMap, TransportError> {
    let refused = || TransportError::Refused("a header of the request is not allowed".to_owned());
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 1);
    for (name, value) in &request.headers {
        let value = HeaderValue::from_str(value).map_err(|_| refused())?;
        headers.append(HeaderName::from_static(name), value);
    }
    if let Some(body) = &request.body {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Ok(headers)
}

/// The component tells the errors of `wasi:http` apart; a bench has no use for one of them.
fn broken(error: &wasmtime_wasi_http::Error) -> TransportError {
    TransportError::Broken(format!("the connection broke ({error:?})"))
}

/// The body of an answer.
pub struct AnswerBody(Option<HyperIncomingBody>);

impl Body for AnswerBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        while let Some(body) = &mut self.0 {
            match Pin::new(body).frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes.into()));
                    }
                }
                Some(Err(error)) => return Err(broken(&error)),
                None => self.0 = None,
            }
        }
        Ok(None)
    }
}

impl Host for NativeHost {
    type Body = AnswerBody;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<AnswerBody>, TransportError> {
        let lost = || TransportError::Broken("the host lost the answer".to_owned());
        let begun = match self.begin(request) {
            Ok(begun) => begun?,
            Err(error) => {
                self.fault.borrow_mut().get_or_insert(error);
                return Err(lost());
            }
        };
        let answer = match begun {
            HostFutureIncomingResponse::Pending(answer) => answer.await,
            HostFutureIncomingResponse::Ready(answer) => answer,
            HostFutureIncomingResponse::Consumed => return Err(lost()),
        };
        let (answer, _) = answer.map_err(|error| broken(&error))?;
        let (head, body) = answer.into_parts();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        Ok(HttpResponse {
            status: head.status.as_u16(),
            headers: Headers(headers),
            body: AnswerBody(Some(body)),
        })
    }

    async fn sign(&self, key: SigningKey, claims: &str) -> Result<String, String> {
        match self.signed(key, claims) {
            Ok(Ok(jwt)) => Ok(jwt),
            Ok(Err(key_store::KeyError::NotAllowed(what) | key_store::KeyError::Unavailable(what))) => {
                Err(what)
            }
            Err(error) => {
                self.fault.borrow_mut().get_or_insert(error);
                Err("the host failed".to_owned())
            }
        }
    }

    fn wall_ms(&self) -> i64 {
        self.clock.now().0
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let filled = rand::fill(&mut bytes);
        self.or_fault(filled.map_err(|_| wasmtime::Error::msg("there are no random numbers")));
        bytes
    }

    fn time_left(&self) -> Duration {
        let left = self.timer.borrow_mut().time_left();
        Duration::from_millis(self.or_fault(left))
    }

    fn cancelled(&self) -> bool {
        let cancelled = self.timer.borrow_mut().cancelled();
        self.or_fault(cancelled) || self.fault.borrow().is_some()
    }

    fn wake_at(&self, unix_seconds: u64, reason: &str) {
        let asked = self.timer.borrow_mut().wake_at(unix_seconds, reason.to_owned());
        self.or_fault(asked);
    }

    async fn stored(&self) -> StoredCounts {
        match self.staging.lock().await.stored().await {
            Ok(counts) => StoredCounts {
                users: counts.users,
                groups: counts.groups,
                memberships: counts.memberships,
            },
            Err(error) => self.or_fault(Err(error)),
        }
    }

    async fn put_users(&self, users: &[User<'_>]) {
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        let users = users
            .iter()
            .map(|user| store::User {
                external_id: user.external_id.to_string(),
                email: user.email.to_string(),
                username: user.username.to_string(),
                display_name: owned(&user.display_name),
                given_name: owned(&user.given_name),
                family_name: owned(&user.family_name),
                active: user.active,
                provider_status: user.provider_status.to_string(),
            })
            .collect();
        let put = self.staging.lock().await.put_users(users).await;
        self.or_fault(put);
    }

    async fn put_groups(&self, groups: &[Group]) -> Vec<bool> {
        let asked = groups.len();
        let groups = groups
            .iter()
            .map(|group| store::Group {
                external_id: group.external_id.clone(),
                name: group.name.clone(),
                description: group.description.clone(),
                provider_kind: group.provider_kind.clone(),
                members_version: group.members_changed_at.map(store::MembersVersion::ChangedAt),
            })
            .collect();
        let put = self.staging.lock().await.put_groups(groups).await;
        let mut wanted = self.or_fault(put);
        wanted.resize(asked, false);
        wanted
    }

    async fn put_members(
        &self,
        group: &str,
        users: &[&str],
        read_at_ms: u64,
        part: PagePart,
    ) -> MembersVerdict {
        let mut flags = store::PagePart::empty();
        if part.first {
            flags |= store::PagePart::FIRST;
        }
        if part.last {
            flags |= store::PagePart::LAST;
        }
        let users = users.iter().map(|id| (*id).to_owned()).collect();
        let mut staging = self.staging.lock().await;
        let put = staging
            .put_members(group.to_owned(), users, read_at_ms, flags)
            .await;
        match put {
            Ok(store::MembersVerdict::Taken) => MembersVerdict::Taken,
            Ok(store::MembersVerdict::ReadAgain) => MembersVerdict::ReadAgain,
            Err(error) => {
                self.or_fault::<()>(Err(error));
                MembersVerdict::Taken
            }
        }
    }

    async fn restart(&self, kind: Entity) {
        let restarted = self.staging.lock().await.restart(entity(kind)).await;
        self.or_fault(restarted);
    }

    async fn drop_group(&self, group: &str) {
        let dropped = self.staging.lock().await.drop_group(group.to_owned()).await;
        self.or_fault(dropped);
    }

    async fn skip(&self, kind: Entity, external_id: &str, reason: &str) {
        let mut staging = self.staging.lock().await;
        let skipped = staging
            .skip(entity(kind), external_id.to_owned(), reason.to_owned())
            .await;
        self.or_fault(skipped);
    }

    async fn checkpoint(&self, state: Vec<u8>) {
        let kept = self.staging.lock().await.checkpoint(state).await;
        self.or_fault(kept);
    }

    async fn remember(&self, name: &str, value: Vec<u8>) {
        let kept = self.vault.lock().await.remember(name.to_owned(), value).await;
        self.or_fault(kept);
    }

    async fn recall(&self, name: &str) -> Option<Vec<u8>> {
        let recalled = self.vault.lock().await.recall(name.to_owned()).await;
        self.or_fault(recalled)
    }

    fn log(&self, level: LogLevel, message: &str, fields: &[(&str, &str)]) {
        let level = match level {
            LogLevel::Debug => log::Level::Debug,
            LogLevel::Info => log::Level::Info,
            LogLevel::Warn => log::Level::Warn,
        };
        let fields = fields
            .iter()
            .map(|(name, value)| log::Field {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect();
        let written = self.log.borrow_mut().write(level, message.to_owned(), fields);
        self.or_fault(written);
    }

    fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        let told = self.log.borrow_mut().progress(stage.to_owned(), done, total);
        self.or_fault(told);
    }
}

fn entity(kind: Entity) -> types::Entity {
    match kind {
        Entity::User => types::Entity::User,
        Entity::Group => types::Entity::Group,
        Entity::Membership => types::Entity::Membership,
    }
}
