//! Requests against an org on loopback that answers, stalls, cuts and floods by the path it is asked for.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Mutex;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use idsync_model::{Description, ErrorKind, Settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use wasmtime_wasi_http::{Error, FieldMap, WasiBody, WasiHttpHooks};

use super::connect::Resolve;
use super::*;

/// An org for one test: its address, its root, and the heads of the requests that it got.
struct Org {
    port: u16,
    ca: PathBuf,
    heads: Arc<Mutex<Vec<String>>>,
    _dir: TempDir,
}

/// What the org does upon a path.
fn answer_to(path: &str) -> (Vec<u8>, bool) {
    let plain = |head: &str, body: &[u8]| {
        let mut answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(body);
        answer
    };
    let gzip = |body: &[u8]| plain("200 OK\r\ncontent-encoding: gzip", body);
    match path {
        "/gzip" => (gzip(&packed(b"[1,2,3]")), true),
        "/empty-gzip" => (gzip(b""), true),
        "/bomb" => (gzip(&packed(&vec![0; 3 * 1024 * 1024])), true),
        "/cut-gzip" => {
            let packed = packed(&[7; 1000]);
            (gzip(&packed[..packed.len() - 4]), true)
        }
        "/no-gzip" => (gzip(b"this is no gzip at all"), true),
        "/brotli" => (plain("200 OK\r\ncontent-encoding: br", b"x"), true),
        "/large" => (plain("200 OK", &vec![b'x'; 2 * 1024 * 1024]), true),
        "/announced" => (
            b"HTTP/1.1 200 OK\r\ncontent-length: 600000000\r\n\r\n".to_vec(),
            true,
        ),
        "/endless" => {
            let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for _ in 0..40 {
                answer.extend_from_slice(b"10000\r\n");
                answer.extend_from_slice(&[b'x'; 0x10000]);
                answer.extend_from_slice(b"\r\n");
            }
            (answer, true)
        }
        "/headers" => (
            plain(&format!("200 OK\r\nx-long: {}", "x".repeat(70_000)), b""),
            true,
        ),
        "/many-headers" => (
            plain(&format!("200 OK\r\nx-long: {}", "x".repeat(400_000)), b""),
            false,
        ),
        "/cut" => (
            b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec(),
            false,
        ),
        "/hang-up" => (Vec::new(), false),
        "/silent" => (Vec::new(), true),
        "/stall" => (
            b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec(),
            true,
        ),
        "/redirect" => (plain("302 Found\r\nlocation: https://evil.example/", b""), true),
        "/cookie" => (plain("200 OK\r\nset-cookie: sid=1", b""), true),
        "/garbage" => (b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec(), false),
        _ => (plain("200 OK", b"here"), true),
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl Org {
    /// An org behind `acme.localhost`, whose root the client is to be given.
    async fn start(protocol: &'static [u8]) -> Self {
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::CommonName, "root of a test");
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["acme.localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &root)
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, root.pem()).unwrap();

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        tokio::spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else {
                    break;
                };
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    if protocol == b"h2" {
                        serve_h2(tls, seen).await;
                    } else {
                        serve_http1(tls, seen).await;
                    }
                });
            }
        });
        Self {
            port,
            ca,
            heads,
            _dir: dir,
        }
    }

    fn host(&self) -> HostPort {
        format!("acme.localhost:{}", self.port).parse().unwrap()
    }

    /// A client that trusts the org and may reach it.
    fn egress(&self) -> Egress {
        Egress::new(
            std::slice::from_ref(&self.ca),
            [self.host()].into_iter().collect(),
        )
        .unwrap()
    }

    fn last_head(&self) -> String {
        self.heads.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

async fn serve_http1(mut tls: TlsStream<TcpStream>, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while tls.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let path = text.split(' ').nth(1).unwrap().to_owned();
        seen.lock().unwrap().push(text);
        let (answer, stays) = answer_to(&path);
        if tls.write_all(&answer).await.is_err() || tls.flush().await.is_err() {
            return;
        }
        if !stays {
            let _ = tls.shutdown().await;
            return;
        }
    }
}

async fn serve_h2(tls: TlsStream<TcpStream>, seen: Arc<Mutex<Vec<String>>>) {
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        seen.lock()
            .unwrap()
            .push(format!("{:?} {}", request.version(), request.uri()));
        async move {
            Ok::<_, std::convert::Infallible>(Response::new(http_body_util::Full::new(Bytes::from_static(
                b"here",
            ))))
        }
    });
    let io = hyper_util::rt::TokioIo::new(tls);
    let executor = hyper_util::rt::TokioExecutor::new();
    let _ = hyper_util::server::conn::auto::Builder::new(executor)
        .serve_connection(io, service)
        .await;
}

/// Small bodies, so that no test moves much; patience for a machine that is busy.
fn limits() -> EgressLimits {
    EgressLimits {
        body_bytes: 1024 * 1024,
        ..EgressLimits::default()
    }
}

/// What becomes of a request within these limits.
async fn failure_within(org: &Org, path: &str, limits: EgressLimits) -> Error {
    let mut sender = sender(&org.egress());
    sender.limits = limits;
    let request = get(&format!("https://{}{path}", org.host()));
    let sent = sender.send_request(request, None, Box::new(async { Ok(()) }));
    match Box::into_pin(sent).await {
        Ok((answer, _)) => answer.into_body().collect().await.map(|_| ()).unwrap_err(),
        Err(error) => error,
    }
}

fn sender(egress: &Egress) -> Sender {
    let in_flight = Arc::default();
    Sender {
        client: egress.client().clone(),
        limits: limits(),
        next: InFlight::begin(&in_flight, 1),
        in_flight,
    }
}

async fn answer(egress: &Egress, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
    Box::into_pin(sender(egress).send_request(request, None, Box::new(async { Ok(()) })))
        .await
        .map(|(answer, _)| answer)
}

fn get(url: &str) -> Request<WasiBody> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::get(url).body(body).unwrap()
}

/// Asks for a path, and reads the body to its end.
async fn read(egress: &Egress, url: &str) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
    let answer = answer(egress, get(url)).await?;
    let (head, body) = answer.into_parts();
    Ok((head.status, head.headers, body.collect().await?.to_bytes()))
}

async fn ask(org: &Org, path: &str) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
    read(&org.egress(), &format!("https://{}{path}", org.host())).await
}

#[tokio::test]
async fn a_request_carries_what_the_host_adds() {
    let org = Org::start(b"http/1.1").await;
    let (status, _, body) = ask(&org, "/").await.unwrap();
    assert_eq!((status, body.as_ref()), (StatusCode::OK, b"here".as_slice()));
    let head = org.last_head().to_lowercase();
    assert!(
        head.contains(&format!("host: acme.localhost:{}\r\n", org.port)),
        "{head}"
    );
    assert!(head.contains("accept-encoding: gzip\r\n"), "{head}");
    assert!(
        head.contains(concat!("user-agent: idsync/", env!("CARGO_PKG_VERSION"), "\r\n")),
        "{head}"
    );
    for absent in ["cookie", "referer", "origin"] {
        assert!(!head.contains(absent), "{head}");
    }
}

#[tokio::test]
async fn http_2_is_spoken_and_one_connection_shared() {
    let org = Org::start(b"h2").await;
    let egress = org.egress();
    let url = format!("https://{}/a?b=c", org.host());
    for _ in 0..3 {
        assert_eq!(read(&egress, &url).await.unwrap().2.as_ref(), b"here");
    }
    assert_eq!(*org.heads.lock().unwrap(), vec![format!("HTTP/2.0 {url}"); 3]);
}

#[tokio::test]
async fn runs_9_5_a_redirect_is_returned_as_it_is_and_cookies_are_not_kept() {
    let org = Org::start(b"http/1.1").await;
    let (status, headers, _) = ask(&org, "/redirect").await.unwrap();
    assert_eq!(status, StatusCode::FOUND);
    assert_eq!(headers["location"], "https://evil.example/");
    let (_, headers, _) = ask(&org, "/cookie").await.unwrap();
    assert!(!headers.contains_key("set-cookie"));
    assert_eq!(org.heads.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn gzip_is_unpacked_and_leaves_no_trace() {
    let org = Org::start(b"http/1.1").await;
    let (_, headers, body) = ask(&org, "/gzip").await.unwrap();
    assert_eq!(body.as_ref(), b"[1,2,3]");
    assert!(!headers.contains_key("content-encoding") && !headers.contains_key("content-length"));
    assert!(ask(&org, "/empty-gzip").await.unwrap().2.is_empty());
}

#[tokio::test]
async fn bodies_above_the_limit_are_refused_packed_or_not() {
    let org = Org::start(b"http/1.1").await;
    for path in ["/bomb", "/large", "/announced", "/endless"] {
        let error = ask(&org, path).await.unwrap_err();
        assert!(
            matches!(error, Error::HttpResponseBodySize(Some(_))),
            "{path}: {error:?}"
        );
    }
}

#[tokio::test]
async fn packed_bodies_that_do_not_unpack_are_told_apart() {
    let org = Org::start(b"http/1.1").await;
    let cut = ask(&org, "/cut-gzip").await.unwrap_err();
    assert!(matches!(cut, Error::HttpResponseIncomplete), "{cut:?}");
    for path in ["/no-gzip", "/brotli"] {
        let error = ask(&org, path).await.unwrap_err();
        assert!(
            matches!(error, Error::HttpResponseContentCoding(Some(_))),
            "{path}: {error:?}"
        );
    }
}

#[tokio::test]
async fn headers_above_the_limit_are_refused() {
    let org = Org::start(b"http/1.1").await;
    for path in ["/headers", "/many-headers"] {
        let error = ask(&org, path).await.unwrap_err();
        assert!(
            matches!(error, Error::HttpResponseHeaderSectionSize(_)),
            "{path}: {error:?}"
        );
    }
}

#[tokio::test]
async fn broken_answers_get_the_code_of_how_they_broke() {
    let org = Org::start(b"http/1.1").await;
    let cut = ask(&org, "/cut").await.unwrap_err();
    assert!(matches!(cut, Error::HttpResponseIncomplete), "{cut:?}");
    let hung_up = ask(&org, "/hang-up").await.unwrap_err();
    assert!(matches!(hung_up, Error::ConnectionTerminated), "{hung_up:?}");
    let garbage = ask(&org, "/garbage").await.unwrap_err();
    assert!(matches!(garbage, Error::HttpProtocolError), "{garbage:?}");
}

#[tokio::test]
async fn answers_that_stall_are_given_up() {
    let org = Org::start(b"http/1.1").await;
    let moment = Duration::from_millis(100);
    let stall = EgressLimits {
        stall: moment,
        ..limits()
    };
    let stalled = failure_within(&org, "/stall", stall).await;
    assert!(matches!(stalled, Error::ConnectionReadTimeout), "{stalled:?}");
    let first_byte = EgressLimits {
        first_byte: moment,
        ..limits()
    };
    let silent = failure_within(&org, "/silent", first_byte).await;
    assert!(matches!(silent, Error::HttpResponseTimeout), "{silent:?}");
}

#[tokio::test]
async fn a_guests_own_limits_count_where_they_are_shorter() {
    let org = Org::start(b"http/1.1").await;
    let mut sender = sender(&org.egress());
    sender.limits = EgressLimits::default();
    let options = RequestOptions {
        connect_timeout: None,
        first_byte_timeout: Some(Duration::from_millis(100)),
        between_bytes_timeout: None,
    };
    let request = get(&format!("https://{}/silent", org.host()));
    let sent = sender.send_request(request, Some(options), Box::new(async { Ok(()) }));
    let error = Box::into_pin(sent).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::HttpResponseTimeout), "{error:?}");
}

#[tokio::test]
async fn a_root_that_is_not_trusted_is_a_certificate_error() {
    let org = Org::start(b"http/1.1").await;
    let stranger = Egress::new(&[], [org.host()].into_iter().collect()).unwrap();
    let error = read(&stranger, &format!("https://{}/", org.host()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TlsCertificateError), "{error:?}");
    let other_name: HostPort = format!("other.localhost:{}", org.port).parse().unwrap();
    let egress = Egress::new(
        std::slice::from_ref(&org.ca),
        [other_name.clone()].into_iter().collect(),
    )
    .unwrap();
    let error = read(&egress, &format!("https://{other_name}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TlsCertificateError), "{error:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_error() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let host: HostPort = format!("a.localhost:{}", listener.local_addr().unwrap().port())
        .parse()
        .unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    });
    let egress = Egress::new(&[], [host.clone()].into_iter().collect()).unwrap();
    let error = read(&egress, &format!("https://{host}/")).await.unwrap_err();
    assert!(matches!(error, Error::TlsProtocolError), "{error:?}");
}

/// Says for each name what the test wants it to say.
struct Says(Vec<SocketAddr>);

#[async_trait::async_trait]
impl Resolve for Says {
    async fn addresses(&self, host: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
        if host == "unknown.example" {
            return Err(std::io::Error::other("failed to lookup address information"));
        }
        Ok(self.0.clone())
    }
}

fn resolving_to(addresses: &[&str], allowed: &[&str]) -> Egress {
    let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    let allowed = allowed.iter().map(|h| h.parse::<HostPort>().unwrap()).collect();
    Egress::with_resolver(&[], allowed, Arc::new(Says(addresses))).unwrap()
}

#[tokio::test]
async fn an_address_of_inside_is_refused_after_resolution() {
    let egress = resolving_to(&["10.0.0.5:443", "[fd00::1]:443", "169.254.169.254:443"], &[]);
    for url in [
        "https://rebound.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://localhost/",
        "https://acme.localhost/",
    ] {
        let error = read(&egress, url).await.unwrap_err();
        assert!(
            matches!(error, Error::DestinationIpProhibited),
            "{url}: {error:?}"
        );
    }
}

#[tokio::test]
async fn what_the_operator_allows_is_one_host_at_one_port() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let host = format!("inner.example:{}", closed.port());
    let egress = resolving_to(&[&closed.to_string()], &[&host]);
    let reached = read(&egress, &format!("https://{host}/")).await.unwrap_err();
    assert!(matches!(reached, Error::ConnectionRefused), "{reached:?}");
    for other in [
        format!("other.example:{}", closed.port()),
        "inner.example".to_owned(),
    ] {
        let error = read(&egress, &format!("https://{other}/")).await.unwrap_err();
        assert!(
            matches!(error, Error::DestinationIpProhibited),
            "{other}: {error:?}"
        );
    }
}

#[tokio::test]
async fn names_that_do_not_resolve_are_a_dns_error() {
    for url in ["https://unknown.example/", "https://nothing.example/"] {
        let error = read(&resolving_to(&[], &[]), url).await.unwrap_err();
        assert!(
            matches!(error, Error::DnsError { rcode: Some(_), .. }),
            "{url}: {error:?}"
        );
    }
}

#[test]
fn certificates_that_are_none_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "nothing here").unwrap();
    for path in [empty, dir.path().join("missing.pem")] {
        let error = Egress::new(std::slice::from_ref(&path), PrivateEgress::default())
            .err()
            .unwrap();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

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
    EgressCtx::new(call, &egress, grant, limits)
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
    let mut ctx = call_of(CallKind::Sync, EgressLimits::default());
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
        let failure = CapabilityError::failure_in(&error, "sync").unwrap();
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
    let mut ctx = call_of(CallKind::Sync, EgressLimits::default());
    let request = HostOutgoingRequest {
        method: Method::Connect,
        ..request_to(None, "acme.okta.com")
    };
    let refused = handle(&mut ctx, &mut ResourceTable::new(), request).unwrap();
    assert!(matches!(refused, Err(ErrorCode::HttpRequestMethodInvalid)));
}

#[tokio::test]
async fn requests_in_flight_and_in_all_have_a_limit() {
    let limits = EgressLimits {
        in_flight: 2,
        requests: 3,
        ..EgressLimits::default()
    };
    let mut ctx = call_of(CallKind::Sync, limits);
    let mut table = ResourceTable::new();
    let mut next = |table: &mut ResourceTable| handle(&mut ctx, table, request_to(None, "acme.okta.com"));
    let first = next(&mut table).unwrap().unwrap();
    let _second = next(&mut table).unwrap().unwrap();
    let summary = |error: &wasmtime::Error| CapabilityError::failure_in(error, "sync").unwrap().summary;
    let error = next(&mut table).err().unwrap();
    assert!(summary(&error).contains("in flight"), "{}", summary(&error));

    // Dropping the handle drops the request.
    drop(table.delete(first).unwrap());
    tokio::task::yield_now().await;
    let _third = next(&mut table).unwrap().unwrap();
    let error = next(&mut table).err().unwrap();
    assert!(
        summary(&error).contains("requests, of which"),
        "{}",
        summary(&error)
    );
}

#[tokio::test]
async fn describe_and_normalize_send_nothing() {
    for call in [CallKind::Describe, CallKind::Normalize] {
        let mut ctx = call_of(call, EgressLimits::default());
        let error = handle(
            &mut ctx,
            &mut ResourceTable::new(),
            request_to(None, "acme.okta.com"),
        )
        .err()
        .unwrap();
        assert!(CapabilityError::failure_in(&error, "describe").is_some());
    }
}

#[test]
fn headers_that_are_the_hosts_are_refused_to_plugins() {
    let mut sender = sender(&resolving_to(&[], &[]));
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
