//! Connecting: names are resolved here, and every address is looked at before it is used.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::address::is_public;
use super::failure::ConnectFailure;
use super::grant::{HostPort, PrivateEgress};
use crate::text::cleaned;

type Connecting<S> = Pin<Box<dyn Future<Output = Result<S, ConnectFailure>> + Send>>;

/// Turns names into addresses.
#[async_trait]
pub(super) trait Resolve: Send + Sync {
    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Asks the system.
pub(super) struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Opens TCP connections to addresses that may be reached.
#[derive(Clone)]
pub(super) struct Dialer {
    resolver: Arc<dyn Resolve>,
    allowed: PrivateEgress,
    limit: Duration,
}

impl Dialer {
    pub(super) fn new(resolver: Arc<dyn Resolve>, allowed: PrivateEgress, limit: Duration) -> Self {
        Self {
            resolver,
            allowed,
            limit,
        }
    }

    async fn dial(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectFailure> {
        let port = uri.port_u16().unwrap_or(443);
        let target = HostPort::new(uri.host().unwrap_or_default(), port)
            .map_err(|why| ConnectFailure::Name(why.to_owned()))?;
        let addresses = self.permitted(&target).await?;
        // One address that swallows packets leaves time for the others.
        let tries = u32::try_from(addresses.len().clamp(1, 4)).unwrap_or(4);
        let patience = self.limit / tries;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(ConnectFailure::Unreachable)?;
                    return Ok(TokioIo::new(stream));
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(ConnectFailure::Unreachable(last))
    }

    /// The addresses of the host that may be reached.
    async fn permitted(&self, target: &HostPort) -> Result<Vec<SocketAddr>, ConnectFailure> {
        let mut addresses = self.resolve(target).await?;
        if addresses.is_empty() {
            return Err(ConnectFailure::Name("the name has no address".to_owned()));
        }
        if !self.allowed.allows(target) {
            addresses.retain(|address| is_public(address.ip()));
        }
        if addresses.is_empty() {
            return Err(ConnectFailure::Prohibited);
        }
        Ok(addresses)
    }

    async fn resolve(&self, target: &HostPort) -> Result<Vec<SocketAddr>, ConnectFailure> {
        let host = target.host();
        let literal: Option<IpAddr> = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        if let Some(address) = literal {
            return Ok(vec![SocketAddr::new(address, target.port())]);
        }
        // RFC 6761, section 6.3: these names are loopback whatever a resolver says.
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![
                (Ipv4Addr::LOCALHOST, target.port()).into(),
                (Ipv6Addr::LOCALHOST, target.port()).into(),
            ]);
        }
        self.resolver
            .addresses(host, target.port())
            .await
            .map_err(|error| ConnectFailure::Name(cleaned(&error.to_string(), 200)))
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectFailure;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}

/// A dialer with TLS on top, and one limit of time for both.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Dialer>,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(https: HttpsConnector<Dialer>, limit: Duration) -> Self {
        Self { https, limit }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = ConnectFailure;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            match timeout(limit, connecting).await {
                Err(_) => Err(ConnectFailure::Timeout),
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => Err(match error.downcast::<ConnectFailure>() {
                    Ok(failure) => *failure,
                    Err(error) => ConnectFailure::Handshake(error),
                }),
            }
        })
    }
}
