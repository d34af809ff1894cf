//! Clients: a pool of connections over checked addresses for each directory, and what all of them share.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use idsync_model::{Description, Settings};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use wasmtime_wasi_http::WasiBody;

use super::connect::{Connector, Dialer, Resolve, SystemResolver};
use super::grant::{EgressGrant, GrantError, PrivateEgress};

/// For name, connection and TLS together.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// Between two signs of life asked for on an HTTP/2 connection with requests on it, and for each answer.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// HTTP/2 windows (RFC 9113, section 5.2): a page of a listing fits into one without waiting for the guest.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
const FRAME_BYTES: u32 = 64 * 1024;
/// Above the limit on headers, so that what is over that limit is seen and told apart.
const HEADER_BUFFER_BYTES: u32 = 256 * 1024;

/// What all clients share: the roots that are trusted, the resolver, the hosts that the operator allows.
#[derive(Clone)]
pub struct Egress {
    connector: Connector,
    allowed: PrivateEgress,
}

/// The connections of one directory. Its clones use the same ones, which are closed when the last clone is gone and no
/// answer is being read any more.
///
/// Bodies that are left unread use up the window of their HTTP/2 connection (RFC 9113, section 5.2), and everything
/// else on it waits: hence a plugin shares none with another directory, whatever host both of them name.
#[derive(Clone)]
pub struct EgressClient(pub(super) Client<Connector, WasiBody>);

/// Why nothing could be reached.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// A file of certificates could not be read.
    #[error("the certificates in {} could not be read", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
}

impl EgressError {
    /// What to do about it.
    pub fn hint(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Certificates { .. } => {
                "Give `--ca-cert` (or the variable IDSYNC_CA_CERT) a PEM file with at least one certificate."
            }
            Self::Tls(_) => {
                "Leave out `--ca-cert` to see whether its certificates are the reason; otherwise report this as a \
                 fault of idsync."
            }
        })
    }
}

impl Egress {
    /// Clients that trust the roots of the web and those in the PEM files `ca_certs`, and reach inner addresses and
    /// other ports where `allowed` says so.
    pub fn new(ca_certs: &[PathBuf], allowed: PrivateEgress) -> Result<Self, EgressError> {
        Self::with_resolver(ca_certs, allowed, Arc::new(SystemResolver))
    }

    pub(super) fn with_resolver(
        ca_certs: &[PathBuf],
        allowed: PrivateEgress,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, EgressError> {
        let dialer = Dialer::new(resolver, allowed.clone(), CONNECT_LIMIT);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(ca_certs)?)
            .https_only()
            .enable_all_versions()
            .wrap_connector(dialer);
        Ok(Self {
            connector: Connector::new(https, CONNECT_LIMIT),
            allowed,
        })
    }

    /// A client without connections, for one directory.
    #[expect(
        clippy::disallowed_methods,
        reason = "clients are made here alone, and their connector checks the address"
    )]
    pub fn client(&self) -> EgressClient {
        EgressClient(
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_LIMIT)
                .http1_max_buf_size(HEADER_BUFFER_BYTES as usize)
                .http1_max_headers(256)
                .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
                .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .http2_max_frame_size(FRAME_BYTES)
                .http2_max_header_list_size(HEADER_BUFFER_BYTES)
                .http2_keep_alive_interval(PING_INTERVAL)
                .http2_keep_alive_timeout(PING_INTERVAL)
                .build(self.connector.clone()),
        )
    }

    /// The hosts that a call may reach.
    pub fn grant(&self, description: &Description, settings: &Settings) -> Result<EgressGrant, GrantError> {
        EgressGrant::new(description, settings, &self.allowed)
    }
}

fn tls_config(ca_certs: &[PathBuf]) -> Result<ClientConfig, EgressError> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    for path in ca_certs {
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|error| not_certificates(path, error.into()))?;
        }
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, EgressError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| not_certificates(path, error.into()))?;
    if found.is_empty() {
        return Err(not_certificates(path, "it holds no certificate".into()));
    }
    Ok(found)
}

fn not_certificates(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> EgressError {
    EgressError::Certificates {
        path: path.to_owned(),
        source,
    }
}
