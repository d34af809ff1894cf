//! A client of the simulated org: TLS that trusts its CA, assertions, proofs, one connection for each request.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use okta_sim::Sim;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A text that no other call gives.
fn unique() -> String {
    format!("jti-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A private key.
pub struct Signer {
    key: EncodingKey,
    kid: String,
}

impl Signer {
    pub fn new(kid: &str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        Self {
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
            kid: kid.to_owned(),
        }
    }

    pub fn with_kid(self, kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            ..self
        }
    }

    fn jwk(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.kid.clone());
        jwk
    }

    pub fn thumbprint(&self) -> String {
        self.jwk().thumbprint(ThumbprintHash::SHA256).unwrap()
    }

    /// An assertion with some claims that differ from the right ones.
    pub fn assertion(&self, sim: &Sim, wrong: &Value) -> String {
        let (client_id, now) = (&sim.info().client_id, sim.now());
        let mut claims = json!({
            "iss": client_id, "sub": client_id, "aud": format!("{}/oauth2/v1/token", sim.info().base),
            "iat": now, "exp": now + 300, "jti": unique(),
        });
        merge(&mut claims, wrong);
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    /// A DPoP proof with some claims that differ from the right ones.
    fn proof(&self, claims: Value, wrong: &Value) -> String {
        let mut claims = claims;
        merge(&mut claims, wrong);
        let mut jwk = self.jwk();
        jwk.common.key_id = None;
        let header = Header {
            typ: Some("dpop+jwt".to_owned()),
            jwk: Some(jwk),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

fn merge(into: &mut Value, from: &Value) {
    for (name, value) in from.as_object().unwrap() {
        into[name] = value.clone();
    }
}

/// An answer that was read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    /// Status and description of an OAuth error.
    pub fn oauth(&self) -> (u16, &'static str) {
        let text = self.json()["error_description"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (self.status, text.leak())
    }

    pub fn next(&self) -> Option<String> {
        let mut links = self
            .headers
            .get_all("link")
            .iter()
            .flat_map(|value| value.to_str().unwrap().split(", "));
        let next = links.find_map(|link| link.strip_suffix(">; rel=\"next\""));
        next.map(|link| link.trim_start_matches('<').to_owned())
    }
}

/// A client of one org.
pub struct Client {
    sim: Arc<Sim>,
    tls: Arc<rustls::ClientConfig>,
    pub key: Signer,
    pub dpop: Signer,
    pub nonce: Option<String>,
    pub access_token: String,
    pub scope: String,
}

impl Client {
    pub fn new(sim: &Arc<Sim>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&sim.info().ca).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            sim: Arc::clone(sim),
            tls: Arc::new(tls),
            key: Signer::new("mine"),
            dpop: Signer::new("proofs"),
            nonce: None,
            access_token: String::new(),
            scope: String::new(),
        }
    }

    /// The public key to register.
    pub fn jwk(&self) -> String {
        serde_json::to_string(&self.key.jwk()).unwrap()
    }

    pub fn assertion(&self) -> String {
        self.key.assertion(&self.sim, &json!({}))
    }

    pub fn token_proof(&self, nonce: Option<&str>) -> String {
        let claims = json!({
            "jti": unique(), "iat": self.sim.now(), "htm": "POST",
            "htu": format!("{}/oauth2/v1/token", self.sim.info().base), "nonce": nonce,
        });
        self.dpop.proof(claims, &json!({}))
    }

    /// A proof of a resource request, with some claims that differ from the right ones.
    pub fn proof(&self, method: &str, path: &str, wrong: &Value) -> String {
        let path = path.split('?').next().unwrap();
        let claims = json!({
            "jti": unique(), "iat": self.sim.now(), "htm": method,
            "htu": format!("{}{path}", self.sim.info().base), "nonce": self.nonce,
            "ath": URL_SAFE_NO_PAD.encode(Sha256::digest(&self.access_token)),
        });
        self.dpop.proof(claims, wrong)
    }

    /// A token request; all three scopes are asked for unless others are named.
    pub async fn token(&self, assertion: String, proof: Option<String>, scope: Option<&str>) -> Reply {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair(
                "scope",
                scope.unwrap_or("okta.apps.read okta.groups.read okta.users.read"),
            )
            .append_pair(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            .append_pair("client_assertion", &assertion)
            .finish();
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(proof.as_deref().map(|proof| ("dpop", proof)));
        self.send("POST", "/oauth2/v1/token", &headers, &form).await
    }

    /// Gets a token.
    pub async fn sign_in(&mut self) {
        let first = self
            .token(self.assertion(), Some(self.token_proof(None)), None)
            .await;
        self.nonce = Some(first.header("dpop-nonce"));
        let proof = self.token_proof(self.nonce.as_deref());
        let granted = self.token(self.assertion(), Some(proof), None).await.json();
        granted["access_token"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.access_token);
        granted["scope"].as_str().unwrap().clone_into(&mut self.scope);
    }

    /// A resource request as it should be.
    pub async fn get(&self, path: &str) -> Reply {
        self.try_get(path, true).await.unwrap()
    }

    pub async fn try_get(&self, path: &str, is_http2: bool) -> anyhow::Result<Reply> {
        let (authorization, proof) = (
            format!("DPoP {}", self.access_token),
            self.proof("GET", path, &json!({})),
        );
        let headers = [
            ("authorization", authorization.as_str()),
            ("dpop", proof.as_str()),
        ];
        self.try_send("GET", path, &headers, "", is_http2).await
    }

    /// All rows of a listing, by its next links.
    pub async fn walk(&self, path: &str) -> Vec<Value> {
        let (mut path, mut rows) = (path.to_owned(), Vec::new());
        loop {
            let reply = self.get(&path).await;
            assert_eq!(reply.status, 200, "{path}: {reply:?}");
            rows.extend(reply.json().as_array().unwrap().iter().cloned());
            match reply.next() {
                Some(next) => path = next.strip_prefix(&self.sim.info().base).unwrap().to_owned(),
                None => return rows,
            }
        }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.try_send(method, path, headers, body, true).await.unwrap()
    }

    async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
        is_http2: bool,
    ) -> anyhow::Result<Reply> {
        let (host, port) = self.sim.info().domain.split_once(':').unwrap();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = vec![if is_http2 {
            b"h2".to_vec()
        } else {
            b"http/1.1".to_vec()
        }];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
        let io = TokioIo::new(
            connector
                .connect(ServerName::try_from(host.to_owned())?, stream)
                .await?,
        );
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::from(body.to_owned()));
        let reply = if is_http2 {
            let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(1 << 20)
                .handshake(io)
                .await?;
            tokio::spawn(connection);
            sender
                .send_request(
                    request
                        .uri(format!("{}{path}", self.sim.info().base))
                        .body(body)?,
                )
                .await?
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(connection);
            let request = request
                .header("host", &self.sim.info().domain)
                .uri(path)
                .body(body)?;
            sender.send_request(request).await?
        };
        read(reply).await
    }

    /// A request to the control API.
    pub async fn control(&self, method: &str, path: &str, body: &str) -> Reply {
        let at = self.sim.info().control.trim_start_matches("http://").to_owned();
        let io = TokioIo::new(TcpStream::connect(&at).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", at);
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        read(sender.send_request(request).await.unwrap()).await.unwrap()
    }
}

async fn read(reply: http::Response<hyper::body::Incoming>) -> anyhow::Result<Reply> {
    let (parts, body) = reply.into_parts();
    let body = body.collect().await.context("reading the body")?.to_bytes();
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    })
}
