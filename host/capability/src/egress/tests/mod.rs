//! Requests against an org on loopback, and to addresses that are not to be reached.

mod admission;
mod org;

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use idsync_model::SystemClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpHooks};

use self::org::Org;
use super::connect::Resolve;
use super::*;

/// Small bodies, so that no test moves much; patience for a machine that is busy.
fn limits() -> EgressLimits {
    EgressLimits {
        in_flight: 64,
        requests: 1_000,
        header_bytes: 64 * 1024,
        body_bytes: 1024 * 1024,
        connect: Duration::from_secs(10),
        first_byte: Duration::from_mins(1),
        stall: Duration::from_secs(30),
    }
}

/// What becomes of a request within these limits.
async fn failure_within(org: &Org, path: &str, limits: EgressLimits) -> Error {
    let mut sender = sender(&org.egress().client());
    sender.limits = limits;
    let request = get(&format!("https://{}{path}", org.host()));
    let sent = sender.send_request(request, None, Box::new(async { Ok(()) }));
    match Box::into_pin(sent).await {
        Ok((answer, _)) => answer.into_body().collect().await.map(|_| ()).unwrap_err(),
        Err(error) => error,
    }
}

fn sender(client: &EgressClient) -> Sender {
    let in_flight = Arc::default();
    Sender {
        client: client.clone(),
        limits: limits(),
        next: InFlight::begin(&in_flight, 1),
        provider_clock: ProviderClock::new(Arc::new(SystemClock::new())),
        in_flight,
    }
}

async fn answer(client: &EgressClient, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
    Box::into_pin(sender(client).send_request(request, None, Box::new(async { Ok(()) })))
        .await
        .map(|(answer, _)| answer)
}

fn get(url: &str) -> Request<WasiBody> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::get(url).body(body).unwrap()
}

/// Asks for a path, and reads the body to its end.
async fn read(client: &EgressClient, url: &str) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
    let answer = answer(client, get(url)).await?;
    let (head, body) = answer.into_parts();
    Ok((head.status, head.headers, body.collect().await?.to_bytes()))
}

async fn ask(org: &Org, path: &str) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
    read(&org.egress().client(), &format!("https://{}{path}", org.host())).await
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
async fn a_request_is_in_flight_until_its_answer_was_read_to_its_end() {
    let org = Org::start(b"http/1.1").await;
    for path in ["/", "/gzip", "/bomb"] {
        let mut sender = sender(&org.egress().client());
        let request = get(&format!("https://{}{path}", org.host()));
        let sent = sender.send_request(request, None, Box::new(async { Ok(()) }));
        let (answer, _) = Box::into_pin(sent).await.unwrap();
        assert!(InFlight::begin(&sender.in_flight, 1).is_none(), "{path}");
        let mut body = answer.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        assert!(InFlight::begin(&sender.in_flight, 1).is_some(), "{path}");
        drop(body);
    }
}

#[tokio::test]
async fn http_2_is_spoken_and_one_connection_shared() {
    let org = Org::start(b"h2").await;
    let client = org.egress().client();
    let url = format!("https://{}/a?b=c", org.host());
    for _ in 0..3 {
        assert_eq!(read(&client, &url).await.unwrap().2.as_ref(), b"here");
    }
    assert_eq!(*org.heads.lock().unwrap(), vec![format!("HTTP/2.0 {url}"); 3]);
    assert_eq!(*org.open.borrow(), 1);
}

#[tokio::test]
async fn bodies_that_one_directory_leaves_unread_hold_up_no_other() {
    let org = Org::start(b"h2").await;
    let egress = org.egress();
    let (idle, other) = (egress.client(), egress.client());
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(
            answer(&idle, get(&format!("https://{}/page", org.host())))
                .await
                .unwrap(),
        );
    }
    let url = format!("https://{}/", org.host());
    let mut sender = sender(&idle);
    sender.limits.stall = Duration::from_millis(100);
    // The window of the idle one's connection is full soon: then nothing comes through it any more.
    let stalled = loop {
        sender.next = InFlight::begin(&Arc::default(), 1);
        let sent = sender.send_request(get(&url), None, Box::new(async { Ok(()) }));
        let (answer, _) = Box::into_pin(sent).await.unwrap();
        if let Err(error) = answer.into_body().collect().await {
            break error;
        }
    };
    assert!(matches!(stalled, Error::ConnectionReadTimeout), "{stalled:?}");
    assert_eq!(read(&other, &url).await.unwrap().2.as_ref(), b"here");
    drop(unread);
    assert_eq!(read(&idle, &url).await.unwrap().2.as_ref(), b"here");
}

#[tokio::test]
async fn a_directorys_connections_go_with_its_client() {
    for protocol in [b"h2".as_slice(), b"http/1.1"] {
        let mut org = Org::start(protocol).await;
        let client = org.egress().client();
        let url = format!("https://{}/", org.host());
        read(&client, &url).await.unwrap();
        read(&client, &url).await.unwrap();
        assert_eq!(*org.open.borrow(), 1, "it is kept for the next request");
        drop(client);
        let closed = tokio::time::timeout(Duration::from_secs(20), org.open.wait_for(|open| *open == 0));
        assert!(closed.await.is_ok(), "{}", String::from_utf8_lossy(protocol));
    }
}

#[tokio::test]
async fn runs_6_2_the_providers_time_is_read_from_its_answers() {
    let org = Org::start(b"http/1.1").await;
    let mut sender = sender(&org.egress().client());
    let clock = sender.provider_clock.clone();
    let request = get(&format!("https://{}/refused-in-1994", org.host()));
    let sent = sender.send_request(request, None, Box::new(async { Ok(()) }));
    let (answer, _) = Box::into_pin(sent).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let told = clock.latest().unwrap();
    assert_eq!(told.provider.to_string(), "1994-11-06T08:49:37Z");
    assert!(told.host > told.provider);
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
    let mut sender = sender(&org.egress().client());
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
    let error = read(&stranger.client(), &format!("https://{}/", org.host()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TlsCertificateError), "{error:?}");
    let other_name: HostPort = format!("other.localhost:{}", org.port).parse().unwrap();
    let egress = Egress::new(
        std::slice::from_ref(&org.ca),
        [other_name.clone()].into_iter().collect(),
    )
    .unwrap();
    let error = read(&egress.client(), &format!("https://{other_name}/"))
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
    let error = read(&egress.client(), &format!("https://{host}/"))
        .await
        .unwrap_err();
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
        let error = read(&egress.client(), url).await.unwrap_err();
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
    let reached = read(&egress.client(), &format!("https://{host}/"))
        .await
        .unwrap_err();
    assert!(matches!(reached, Error::ConnectionRefused), "{reached:?}");
    for other in [
        format!("other.example:{}", closed.port()),
        "inner.example".to_owned(),
    ] {
        let error = read(&egress.client(), &format!("https://{other}/"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::DestinationIpProhibited),
            "{other}: {error:?}"
        );
    }
}

#[tokio::test]
async fn names_that_do_not_resolve_are_a_dns_error() {
    for url in ["https://unknown.example/", "https://nothing.example/"] {
        let error = read(&resolving_to(&[], &[]).client(), url).await.unwrap_err();
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
