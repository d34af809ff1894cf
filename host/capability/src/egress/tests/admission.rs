//! Which requests of a guest are let through, and what becomes of a call that sends others.

use std::net::SocketAddr;

use idsync_model::{Description, ErrorKind, Settings, SystemClock};
use wasmtime_wasi_http::{Error, FieldMap, WasiHttpHooks as _};

use super::{limits, resolving_to, sender};
use crate::egress::connect::Resolve;
use crate::egress::*;

/// Never says anything.
struct Silent;

#[async_trait::async_trait]
impl Resolve for Silent {
    async fn addresses(&self, _: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
        std::future::pending().await
    }
}

/// A call whose description names `acme.okta.com`.
fn call_of(call: CallKind, limits: EgressLimits) -> EgressCtx {
    call_until(CancellationToken::new(), call, limits)
}

fn call_until(cancel: CancellationToken, call: CallKind, limits: EgressLimits) -> EgressCtx {
    let description = Description {
        id: "okta".to_owned(),
        name: "Okta".to_owned(),
        version: "1.0.0".to_owned(),
        settings: Vec::new(),
        key: None,
        hosts: vec!["acme.okta.com".to_owned()],
        permissions: Vec::new(),
        guide: Vec::new(),
        docs_url: None,
    };
    // Nothing is resolved, so nothing leaves the process, and every request stays in flight.
    let egress = Egress::with_resolver(&[], PrivateEgress::default(), Arc::new(Silent)).unwrap();
    let grant = egress.grant(&description, &Settings::default()).unwrap();
    let clock = Arc::new(SystemClock::new());
    EgressCtx::new(call, &egress.client(), grant, limits, clock, cancel)
}

fn request_to(scheme: Option<Scheme>, authority: &str) -> HostOutgoingRequest {
    HostOutgoingRequest {
        method: Method::Get,
        scheme,
        authority: Some(authority.to_owned()),
        path_with_query: Some("/".to_owned()),
        headers: FieldMap::default(),
        body: None,
    }
}

type Handled = wasmtime::Result<Result<Resource<HostFutureIncomingResponse>, ErrorCode>>;

fn handle(ctx: &mut EgressCtx, table: &mut ResourceTable, request: HostOutgoingRequest) -> Handled {
    let request = table.push(request).unwrap();
    EgressCtxView { ctx, table }.handle(request, None)
}

#[tokio::test]
async fn a_host_outside_the_description_ends_the_call() {
    let mut ctx = call_of(CallKind::Sync, limits());
    let mut table = ResourceTable::new();
    for (scheme, authority) in [
        (Some(Scheme::Https), "evil.example"),
        (Some(Scheme::Https), "acme.okta.com:8443"),
        (Some(Scheme::Https), "acme.okta.com@evil.example"),
        (Some(Scheme::Http), "acme.okta.com"),
        (None, ""),
    ] {
        let error = handle(&mut ctx, &mut table, request_to(scheme, authority))
            .err()
            .unwrap();
        let failure = crate::error::failure_in(&error, "sync");
        assert_eq!(failure.kind, ErrorKind::Plugin);
        let host = authority.rsplit('@').next().unwrap();
        assert!(
            failure.summary.contains(&format!("://{host}`")),
            "{}",
            failure.summary
        );
        assert!(!failure.summary.contains('@'), "{}", failure.summary);
    }
    assert_eq!(ctx.requests(), 0);
    let allowed = request_to(None, "ACME.okta.com:443");
    assert!(handle(&mut ctx, &mut table, allowed).unwrap().is_ok());
    assert_eq!(ctx.requests(), 1);
}

#[tokio::test]
async fn a_tunnel_is_not_opened() {
    let mut ctx = call_of(CallKind::Sync, limits());
    let request = HostOutgoingRequest {
        method: Method::Connect,
        ..request_to(None, "acme.okta.com")
    };
    let refused = handle(&mut ctx, &mut ResourceTable::new(), request).unwrap();
    assert!(matches!(refused, Err(ErrorCode::HttpRequestMethodInvalid)));
}

#[tokio::test]
async fn runs_6_6_no_request_is_begun_once_the_call_is_asked_to_end() {
    let cancel = CancellationToken::new();
    let mut ctx = call_until(cancel.clone(), CallKind::Sync, limits());
    let mut table = ResourceTable::new();
    let under_way = handle(&mut ctx, &mut table, request_to(None, "acme.okta.com")).unwrap();
    cancel.cancel();
    let refused = handle(&mut ctx, &mut table, request_to(None, "acme.okta.com")).unwrap();
    assert!(matches!(refused, Err(ErrorCode::ConnectionTerminated)));
    assert_eq!(ctx.requests(), 1);
    assert!(
        InFlight::begin(&ctx.sender.in_flight, 1).is_none(),
        "the first goes on"
    );
    drop(under_way);
}

#[tokio::test]
async fn requests_in_flight_and_in_all_have_a_limit() {
    let limits = EgressLimits {
        in_flight: 2,
        requests: 3,
        ..limits()
    };
    let mut ctx = call_of(CallKind::Sync, limits);
    let mut table = ResourceTable::new();
    let mut next = |table: &mut ResourceTable| handle(&mut ctx, table, request_to(None, "acme.okta.com"));
    let first = next(&mut table).unwrap().unwrap();
    let _second = next(&mut table).unwrap().unwrap();
    let failure = |error: &wasmtime::Error| crate::error::failure_in(error, "sync");
    let error = failure(&next(&mut table).err().unwrap());
    assert!(error.summary.ends_with(": 2 requests in flight"), "{error:?}");
    assert!(error.hint.contains("not of the provider"), "{error:?}");

    // Dropping the handle drops the request.
    drop(table.delete(first).unwrap());
    tokio::task::yield_now().await;
    let _third = next(&mut table).unwrap().unwrap();
    let error = failure(&next(&mut table).err().unwrap());
    assert!(error.summary.ends_with(": 3 requests"), "{error:?}");
}

#[tokio::test]
async fn describe_and_normalize_send_nothing() {
    for call in [CallKind::Describe, CallKind::Normalize] {
        let mut ctx = call_of(call, limits());
        let error = handle(
            &mut ctx,
            &mut ResourceTable::new(),
            request_to(None, "acme.okta.com"),
        )
        .err()
        .unwrap();
        assert!(error.is::<CapabilityError>());
    }
}

#[test]
fn headers_that_are_the_hosts_are_refused_to_plugins() {
    let mut sender = sender(&resolving_to(&[], &[]).client());
    for name in [
        "accept-encoding",
        "host",
        "connection",
        "cookie",
        "referer",
        "te",
        "transfer-encoding",
        "upgrade",
    ] {
        assert!(sender.is_forbidden_header(&name.parse().unwrap()), "{name}");
    }
    for name in ["authorization", "dpop", "accept", "user-agent", "content-type"] {
        assert!(!sender.is_forbidden_header(&name.parse().unwrap()), "{name}");
    }
}

#[test]
fn the_code_of_a_broken_body_is_found_again() {
    let broken = wasmtime::Error::from(Error::HttpResponseBodySize(Some(9)));
    assert!(matches!(
        failure::code_in(&broken),
        Some(ErrorCode::HttpResponseBodySize(Some(9)))
    ));
    assert!(failure::code_in(&wasmtime::Error::msg("another")).is_none());
}
