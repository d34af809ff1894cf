//! An org on loopback that answers, stalls, cuts and floods by the path it is asked for.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, Response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::egress::{Egress, HostPort};

/// An org for one test: its address, its root, and the heads of the requests that it got, the
/// connections to it.
pub(super) struct Org {
    pub(super) port: u16,
    pub(super) ca: PathBuf,
    pub(super) heads: Arc<Mutex<Vec<String>>>,
    /// How many connections are open.
    pub(super) open: watch::Receiver<usize>,
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
                answer.extend(std::iter::repeat_n(b'x', 0x10000));
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
        "/refused-in-1994" => (
            plain("403 Forbidden\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT", b""),
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
    pub(super) async fn start(protocol: &'static [u8]) -> Self {
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
        let (count, open) = watch::channel(0);
        let count = Arc::new(count);
        tokio::spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else {
                    break;
                };
                let (acceptor, seen, count) = (acceptor.clone(), seen.clone(), count.clone());
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    count.send_modify(|open| *open += 1);
                    if protocol == b"h2" {
                        serve_h2(tls, seen).await;
                    } else {
                        serve_http1(tls, seen).await;
                    }
                    count.send_modify(|open| *open -= 1);
                });
            }
        });
        Self {
            port,
            ca,
            heads,
            open,
            _dir: dir,
        }
    }

    pub(super) fn host(&self) -> HostPort {
        format!("acme.localhost:{}", self.port).parse().unwrap()
    }

    /// A client that trusts the org and may reach it.
    pub(super) fn egress(&self) -> Egress {
        Egress::new(
            std::slice::from_ref(&self.ca),
            [self.host()].into_iter().collect(),
        )
        .unwrap()
    }

    pub(super) fn last_head(&self) -> String {
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
        // A page fills a large part of what a connection may carry unread.
        let body = match request.uri().path() {
            "/page" => Bytes::from(vec![b'x'; 1024 * 1024]),
            _ => Bytes::from_static(b"here"),
        };
        async move { Ok::<_, std::convert::Infallible>(Response::new(http_body_util::Full::new(body))) }
    });
    let io = hyper_util::rt::TokioIo::new(tls);
    let executor = hyper_util::rt::TokioExecutor::new();
    let _ = hyper_util::server::conn::auto::Builder::new(executor)
        .serve_connection(io, service)
        .await;
}
