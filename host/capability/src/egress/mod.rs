//! Egress: requests of plugins, by HTTPS, to the hosts that their description names, over connections that no other
//! directory uses.

mod address;
mod ahead;
mod body;
mod client;
mod connect;
mod failure;
mod grant;
mod gzip;
mod provider_clock;
mod send;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use idsync_model::{Clock, ProviderTime};
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime::{StoreContextMut, error::Context as _};
use wasmtime_wasi_http::p2::bindings::LinkOptions;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, IoError, Method, Scheme};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{RequestOptions, WasiHttp, WasiHttpCtx, WasiHttpCtxView};

pub use client::{Egress, EgressClient, EgressError};
pub use grant::{EgressGrant, GrantError, HostPort, NotAHost, PrivateEgress};

use self::body::InFlight;
use self::provider_clock::ProviderClock;
use self::send::{Sender, size_of_headers};
use crate::text::cleaned;
use crate::{CallKind, CapabilityError};

const TYPES: &str = "wasi:http/types@0.2.12";
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Limits of one call's requests.
#[derive(Debug, Clone)]
pub struct EgressLimits {
    /// Requests whose answer was not read to its end, nor dropped.
    pub in_flight: u64,
    /// Requests in all.
    pub requests: u64,
    /// Bytes of a request's headers, and of an answer's.
    pub header_bytes: usize,
    /// Bytes of an answer's body, both as it comes and after decompression.
    pub body_bytes: u64,
    /// For name, connection and TLS together. More than 10 seconds have no effect.
    pub connect: Duration,
    /// From the connection to the answer's headers.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub stall: Duration,
}

/// Requests of one call.
pub struct EgressCtx {
    call: CallKind,
    grant: EgressGrant,
    http: WasiHttpCtx,
    sender: Sender,
    requests: u64,
    cancel: CancellationToken,
}

impl EgressCtx {
    /// A call that may reach the hosts of `grant`, over the connections of `client`, until it is asked to end.
    pub fn new(
        call: CallKind,
        client: &EgressClient,
        grant: EgressGrant,
        limits: EgressLimits,
        clock: Arc<dyn Clock>,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            call,
            grant,
            http: WasiHttpCtx::new(),
            sender: Sender {
                client: client.clone(),
                limits,
                in_flight: Arc::default(),
                provider_clock: ProviderClock::new(clock),
                next: None,
            },
            requests: 0,
            cancel,
        }
    }

    /// How many requests were sent.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The provider's clock, by the last answer that told it.
    pub fn provider_time(&self) -> Option<ProviderTime> {
        self.sender.provider_clock.latest()
    }

    /// Looks at a request before it is sent, and counts it.
    fn admit(&mut self, request: &HostOutgoingRequest) -> Result<Option<ErrorCode>, CapabilityError> {
        self.call.permit("wasi:http/outgoing-handler.handle")?;
        let authority = request.authority.as_deref().unwrap_or_default();
        match &request.scheme {
            None | Some(Scheme::Https) => {}
            Some(Scheme::Http) => return Err(denied("http", authority)),
            Some(Scheme::Other(scheme)) => return Err(denied(scheme, authority)),
        }
        let target: HostPort = authority.parse().map_err(|_| denied("https", authority))?;
        if !self.grant.allows(target.host(), target.port()) {
            return Err(denied("https", authority));
        }
        // A tunnel would carry what is not looked at.
        if matches!(request.method, Method::Connect) {
            return Ok(Some(ErrorCode::HttpRequestMethodInvalid));
        }
        // What is under way goes on.
        if self.cancel.is_cancelled() {
            return Ok(Some(ErrorCode::ConnectionTerminated));
        }
        let limits = &self.sender.limits;
        let header_bytes = size_of_headers(&request.headers);
        if header_bytes > limits.header_bytes {
            return Ok(Some(ErrorCode::HttpRequestHeaderSectionSize(
                u32::try_from(header_bytes).ok(),
            )));
        }
        if self.requests == limits.requests {
            return Err(CapabilityError::Limit {
                what: "requests",
                limit: limits.requests,
            });
        }
        let in_flight =
            InFlight::begin(&self.sender.in_flight, limits.in_flight).ok_or(CapabilityError::Limit {
                what: "requests in flight",
                limit: limits.in_flight,
            })?;
        self.requests += 1;
        self.sender.next = Some(in_flight);
        Ok(None)
    }
}

/// What stands before an `@` may be a password, and is not shown.
fn denied(scheme: &str, authority: &str) -> CapabilityError {
    let host = authority.rsplit('@').next().unwrap_or_default();
    CapabilityError::EgressDenied {
        host: cleaned(&format!("{scheme}://{host}"), 200),
    }
}

/// The context with the handles of its guest.
pub struct EgressCtxView<'a> {
    /// The context of this call.
    pub ctx: &'a mut EgressCtx,
    /// The guest's handles.
    pub table: &'a mut ResourceTable,
}

impl<'a> EgressCtxView<'a> {
    /// What `wasi:http/types` is linked to.
    pub fn http(self) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView {
            hooks: &mut self.ctx.sender,
            table: self.table,
            ctx: &mut self.ctx.http,
        }
    }

    /// What `wasi:http/outgoing-handler.handle` is linked to.
    pub fn handle(
        mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Result<Resource<HostFutureIncomingResponse>, ErrorCode>> {
        // The guest gives its options away with the request. `wasmtime-wasi-http` only reads them, and would leave them
        // in the table for as long as the call lasts.
        let given = options.as_ref().map(|options| Resource::new_own(options.rep()));
        let answer = self.answer(request, options);
        if let Some(options) = given {
            self.table.delete::<RequestOptions>(options)?;
        }
        answer
    }

    fn answer(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Result<Resource<HostFutureIncomingResponse>, ErrorCode>> {
        if let Some(code) = self.ctx.admit(self.table.get(&request)?)? {
            self.table.delete(request)?;
            return Ok(Err(code));
        }
        let view = EgressCtxView {
            ctx: &mut *self.ctx,
            table: &mut *self.table,
        };
        let answer = view.http().handle(request, options);
        // A request that was refused on the way is in flight no more.
        self.ctx.sender.next = None;
        match answer {
            Ok(answer) => Ok(Ok(answer)),
            Err(error) => error.downcast().map(Err),
        }
    }
}

/// How a store's state lends the capability.
pub trait EgressView: Send {
    /// The context of this call.
    fn egress(&mut self) -> EgressCtxView<'_>;
}

/// Links `wasi:http/types` and `wasi:http/outgoing-handler`.
///
/// Two functions are our own: `handle` ends the call where the contract was broken, which `wasmtime-wasi-http` has no
/// way to do, and `http-error-code` knows the errors of bodies too.
pub fn add_to_linker<T: EgressView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let options = LinkOptions::default();
    types::add_to_linker::<T, WasiHttp>(linker, &(&options).into(), |state| state.egress().http())?;
    linker.allow_shadowing(true);
    linker
        .instance(TYPES)?
        .func_wrap(
            "http-error-code",
            |mut store: StoreContextMut<'_, T>, (error,): (Resource<IoError>,)| {
                let error = store.data_mut().egress().table.get(&error)?;
                Ok((failure::code_in(error),))
            },
        )
        .context("linking wasi:http/types")?;
    linker.allow_shadowing(false);
    linker
        .instance(OUTGOING_HANDLER)?
        .func_wrap(
            "handle",
            |mut store: StoreContextMut<'_, T>,
             (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>)| {
                Ok((store.data_mut().egress().handle(request, options)?,))
            },
        )
        .context("linking wasi:http/outgoing-handler")
}
