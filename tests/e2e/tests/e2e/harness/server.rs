//! A small web server over TLS with a certificate authority of its own, for plugins that talk to no Okta org.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// What the server answers and has been asked.
#[derive(Default)]
struct Pages {
    bodies: HashMap<String, String>,
    asked: Vec<String>,
}

/// A web server on loopback, under a name that ends with `.localhost`.
pub struct WebServer {
    folder: TempDir,
    authority: String,
    pages: Arc<Mutex<Pages>>,
}

impl WebServer {
    /// Starts it under a name such as `people.localhost`.
    pub fn named(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test can be made");
        let config = Arc::new(certified(name, &folder.path().join("ca.pem")));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let pages = Arc::new(Mutex::new(Pages::default()));
        let shared = Arc::clone(&pages);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // A client that goes away in the middle is the client's matter.
                let _ = serve(connection, Arc::clone(&config), &shared);
            }
        });
        Self {
            folder,
            authority: format!("{name}:{port}"),
            pages,
        }
    }

    /// `HOST:PORT`
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The file with the certificate to trust.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Answers a path with this body from now on.
    pub fn put(&self, path: &str, body: &str) {
        let mut pages = self.pages.lock().expect("no holder panics");
        pages.bodies.insert(path.to_owned(), body.to_owned());
    }

    /// The head of each request so far.
    pub fn asked(&self) -> Vec<String> {
        self.pages.lock().expect("no holder panics").asked.clone()
    }
}

fn serve(connection: TcpStream, config: Arc<ServerConfig>, pages: &Mutex<Pages>) -> std::io::Result<()> {
    let tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(tls, connection);
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let body = {
        let mut pages = pages.lock().expect("no holder panics");
        pages.asked.push(head);
        pages.bodies.get(&path).cloned()
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// The TLS configuration of a server of this name; the certificate of its authority goes to a file.
fn certified(name: &str, ca_file: &Path) -> ServerConfig {
    let ca_key = KeyPair::generate().expect("a key can be made");
    let mut ca = CertificateParams::new(Vec::new()).expect("no names are no problem");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).expect("the parameters are whole");
    fs::write(ca_file, ca_certificate.pem()).expect("the folder of the test can be written");
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .expect("the name is a host name")
        .signed_by(&key, &issuer)
        .expect("the parameters are whole");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("key and certificate belong together")
}
