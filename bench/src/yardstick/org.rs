//! Requests to the org: a token by a signed assertion, and a DPoP proof with each request, as the org demands of idsync
//! too (RFC 7523, RFC 9449).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Certificate, Client, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use url::Url;

use super::Options;
use crate::time;

const SCOPES: &str = "okta.apps.read okta.groups.read okta.users.read";

/// The org, and who asks it.
pub struct Org {
    client: Client,
    base: String,
    client_id: String,
    assertion_key: EncodingKey,
    key_id: String,
    proof_key: EncodingKey,
    proof_header: Header,
    access_token: String,
    token_hash: String,
    requests: AtomicU64,
    at_once: Semaphore,
}

/// A page of a listing.
pub struct Page {
    pub body: Vec<u8>,
    pub next: Option<String>,
}

impl Org {
    /// Makes keys and registers the public one, as the set-up of a directory does beforehand.
    pub async fn connect(options: &Options) -> Result<Self> {
        let ca = std::fs::read(&options.ca).with_context(|| format!("reading {}", options.ca.display()))?;
        let url = Url::parse(&options.base).context("reading the URL of the org")?;
        let host = url.host_str().context("the URL of the org has no host")?;
        let port = url
            .port_or_known_default()
            .context("the URL of the org has no port")?;
        let client = Client::builder()
            .tls_certs_merge([Certificate::from_pem(&ca).context("reading the certificate of the CA")?])
            .resolve(host, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .http2_initial_stream_window_size(2 << 20)
            .http2_initial_connection_window_size(16 << 20)
            .http2_max_frame_size(64 << 10)
            .no_proxy()
            .build()
            .context("setting up the client")?;
        let assertion_key = new_key()?;
        let mut public = Jwk::from_encoding_key(&assertion_key, Algorithm::ES256)?;
        // Each run has a key of its own, and the org may have met other runs.
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(serde_json::to_vec(&public)?));
        public.common.key_id = Some(key_id.clone());
        Client::builder()
            .no_proxy()
            .build()?
            .post(format!("{}/jwk", options.control))
            .body(serde_json::to_string(&public)?)
            .send()
            .await?
            .error_for_status()
            .context("registering the public key")?;
        let proof_key = new_key()?;
        let proof_header = Header {
            typ: Some("dpop+jwt".to_owned()),
            jwk: Some(Jwk::from_encoding_key(&proof_key, Algorithm::ES256)?),
            ..Header::new(Algorithm::ES256)
        };
        Ok(Self {
            client,
            base: options.base.clone(),
            client_id: options.client_id.clone(),
            assertion_key,
            key_id,
            proof_key,
            proof_header,
            access_token: String::new(),
            token_hash: String::new(),
            requests: AtomicU64::new(0),
            at_once: Semaphore::new(options.concurrency),
        })
    }

    /// How many requests were made.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Gets a token; the first answer tells the nonce that its proof needs.
    pub async fn sign_in(mut self) -> Result<Self> {
        let first = self.ask_for_token(None).await?;
        let nonce = first
            .headers()
            .get("dpop-nonce")
            .and_then(|nonce| nonce.to_str().ok())
            .context("the org tells no nonce")?
            .to_owned();
        let granted = self.ask_for_token(Some(&nonce)).await?;
        let granted: Value = serde_json::from_slice(&granted.error_for_status()?.bytes().await?)?;
        let token = granted["access_token"]
            .as_str()
            .context("the org gives no token")?;
        self.token_hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
        self.access_token = format!("DPoP {token}");
        Ok(self)
    }

    async fn ask_for_token(&self, nonce: Option<&str>) -> Result<Response> {
        let url = format!("{}/oauth2/v1/token", self.base);
        let now = time::unix();
        let n = self.requests.fetch_add(1, Ordering::Relaxed);
        let claims = json!({
            "iss": self.client_id, "sub": self.client_id, "aud": url,
            "iat": now, "exp": now + 300, "jti": self.id(n),
        });
        let header = Header {
            kid: Some(self.key_id.clone()),
            ..Header::new(Algorithm::ES256)
        };
        let assertion = jsonwebtoken::encode(&header, &claims, &self.assertion_key)?;
        let proof =
            self.proof(&json!({ "jti": self.id(n), "iat": now, "htm": "POST", "htu": url, "nonce": nonce }))?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", SCOPES)
            .append_pair(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            .append_pair("client_assertion", &assertion)
            .finish();
        self.client
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("dpop", proof)
            .body(form)
            .send()
            .await
            .context("asking for a token")
    }

    /// A `jti` that no other request has, of this run or another (RFC 9449, section 11.1).
    fn id(&self, n: u64) -> String {
        format!("{}-{n}", self.key_id)
    }

    fn proof(&self, claims: &Value) -> Result<String> {
        jsonwebtoken::encode(&self.proof_header, claims, &self.proof_key).context("signing a proof")
    }

    /// A page of a listing. Nothing is tried again but what the org's limits held up.
    pub async fn page(&self, url: &str) -> Result<Page> {
        let _turn = self.at_once.acquire().await?;
        let response = loop {
            let response = self.ask(url).await?;
            if response.status() != StatusCode::TOO_MANY_REQUESTS {
                break response;
            }
            // Unix seconds, by the org's clock, which is this machine's (Okta, rate limits).
            let reset: u64 = response
                .headers()
                .get("x-rate-limit-reset")
                .and_then(|reset| reset.to_str().ok()?.parse().ok())
                .context("the org does not tell when its limit ends")?;
            tokio::time::sleep(Duration::from_secs(reset.saturating_sub(time::unix()).max(1))).await;
        };
        if !response.status().is_success() {
            bail!("{url} answered {}", response.status());
        }
        let next = next_of(response.headers());
        let body = response.bytes().await.with_context(|| format!("reading {url}"))?;
        Ok(Page {
            body: body.into(),
            next,
        })
    }

    async fn ask(&self, url: &str) -> Result<Response> {
        let n = self.requests.fetch_add(1, Ordering::Relaxed);
        let now = time::unix();
        let htu = url.split('?').next().unwrap_or(url);
        let proof = self.proof(&json!({
            "jti": self.id(n), "iat": now, "htm": "GET", "htu": htu, "ath": self.token_hash,
        }))?;
        self.client
            .get(url)
            .header("authorization", &self.access_token)
            .header("dpop", proof)
            .send()
            .await
            .with_context(|| format!("asking for {url}"))
    }
}

fn new_key() -> Result<EncodingKey> {
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .context("making a key")?;
    Ok(EncodingKey::from_ec_der(pair.as_ref()))
}

/// The next page (RFC 8288). Okta sends its links in one header or in several.
fn next_of(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(", "))
        .find_map(|link| link.strip_suffix(">; rel=\"next\"")?.strip_prefix('<'))
        .map(str::to_owned)
}
