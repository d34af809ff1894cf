//! The service's HTTP listener: who may ask, and how long an asker may take.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use idsync_model::{CancellationToken, ErrorKind};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::error::{CommandError, Kind};

/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a request may take with its answer: each has its own connection, so a slow reader holds nothing longer.
const EXCHANGE_TIME: Duration = Duration::from_secs(30);
/// The largest head of a request, in bytes. It is also hyper's buffer, which may not be smaller than 8 KiB.
const HEAD_BYTES: usize = 16 * 1024;
/// Connections at once; more wait.
const CONNECTIONS: usize = 64;
/// How long to wait before accepting goes on after it failed, as it does when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Where the service listens.
#[derive(Debug)]
pub struct HttpListener {
    socket: TcpListener,
    address: SocketAddr,
    /// The host as it was given, such as `localhost`.
    name: String,
}

impl HttpListener {
    /// Binds `listen`, a `HOST:PORT`. Port 0 is any free one.
    pub async fn bind(listen: &str) -> Result<Self, CommandError> {
        let Some((name, port)) = listen.rsplit_once(':').filter(|(name, _)| !name.is_empty()) else {
            return Err(not_an_address(listen));
        };
        if port.parse::<u16>().is_err() {
            return Err(not_an_address(listen));
        }
        let socket = TcpListener::bind(listen)
            .await
            .map_err(|error| not_bound(listen, &error))?;
        let address = socket.local_addr().map_err(|error| not_bound(listen, &error))?;
        Ok(Self {
            socket,
            address,
            name: name.trim_matches(['[', ']']).to_ascii_lowercase(),
        })
    }

    /// The address that is listened at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether others than this machine can ask.
    pub fn is_public(&self) -> bool {
        !self.address.ip().is_loopback()
    }

    /// Answers until `stop`. Requests under way are given up then: nothing depends on them.
    pub async fn serve(self, routes: Router, stop: CancellationToken) {
        let routes = if self.is_public() {
            routes
        } else {
            let name = Arc::new(self.name);
            routes.layer(middleware::from_fn(move |request, next| {
                let name = Arc::clone(&name);
                async move { only_for_own_host(&name, request, next).await }
            }))
        };
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let service = TowerToHyperService::new(routes.clone());
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(HEAD_BYTES)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    // How a connection ends concerns its client alone.
                    _ = tokio::time::timeout(EXCHANGE_TIME, connection) => {}
                }
                drop(place);
            });
        }
    }
}

/// A page of any site can make a browser on this machine ask here, under a name of the site's own that it lets resolve
/// to this machine. Such a request is told by its `Host`.
async fn only_for_own_host(name: &str, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    if host.is_none_or(|host| is_own_host(host, name)) {
        return next.run(request).await;
    }
    (
        StatusCode::FORBIDDEN,
        "This service answers on this machine only: ask it as localhost or by its IP address.\n",
    )
        .into_response()
}

fn is_own_host(host: &HeaderValue, name: &str) -> bool {
    let Some(authority) = host
        .to_str()
        .ok()
        .and_then(|text| text.parse::<http::uri::Authority>().ok())
    else {
        return false;
    };
    let host = authority.host().trim_matches(['[', ']']);
    host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || host.eq_ignore_ascii_case(name)
}

fn not_an_address(listen: &str) -> CommandError {
    CommandError::usage(
        format!("--listen `{listen}` is no address"),
        "Give a host and a port, such as 127.0.0.1:8080.",
    )
}

fn not_bound(listen: &str, error: &std::io::Error) -> CommandError {
    use std::io::ErrorKind as Io;
    let hint = match error.kind() {
        Io::AddrInUse => "Another process listens there: end it, or give another port with --listen.",
        Io::AddrNotAvailable => {
            "No network interface of this machine has that address: give one that it has."
        }
        Io::PermissionDenied => "Ports below 1024 need a privilege: give a higher one with --listen.",
        _ => "Give a host that resolves to an address of this machine, and a port, with --listen.",
    };
    CommandError::new(
        Kind::Run(ErrorKind::Host),
        format!("listening at {listen} failed: {error}"),
        hint,
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use axum::routing::get;

    use super::*;

    async fn started(listen: &str) -> (SocketAddr, CancellationToken) {
        let listener = HttpListener::bind(listen).await.unwrap();
        let (address, stop) = (listener.address(), CancellationToken::new());
        let routes = Router::new().route("/names", get(|| async { "Acme" }));
        tokio::spawn(listener.serve(routes, stop.clone()));
        (address, stop)
    }

    async fn answer(address: SocketAddr, request: &str) -> String {
        let request = request.to_owned();
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            // The server may answer and close before all of it was taken.
            let _ = stream.write_all(request.as_bytes());
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        })
        .await
        .unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn on_loopback_only_this_machine_s_own_names_are_answered() {
        let (address, stop) = started("127.0.0.1:0").await;
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080"] {
            let text = answer(address, &format!("GET /names HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert!(
                text.starts_with("HTTP/1.1 200") && text.ends_with("Acme"),
                "{host}: {text}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8080",
            "127.0.0.1.evil.example",
            "a b",
        ] {
            let text = answer(address, &format!("GET /names HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert!(
                text.starts_with("HTTP/1.1 403") && !text.contains("Acme"),
                "{host}: {text}"
            );
        }
        stop.cancel();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_head_that_is_too_large_is_refused() {
        let (address, stop) = started("127.0.0.1:0").await;
        let request = format!(
            "GET /names HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "x".repeat(HEAD_BYTES)
        );
        let text = answer(address, &request).await;
        assert!(!text.contains("Acme"), "{text}");
        stop.cancel();
    }

    #[tokio::test]
    async fn a_taken_port_and_a_foreign_address_are_told_apart() {
        let first = HttpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = HttpListener::bind(&first.address().to_string())
            .await
            .unwrap_err();
        assert!(taken.hint.contains("Another process listens there"), "{taken:?}");
        assert!(taken.summary.contains(&first.address().to_string()), "{taken:?}");
        // TEST-NET-1 (RFC 5737) is nobody's address.
        let foreign = HttpListener::bind("192.0.2.1:0").await.unwrap_err();
        assert!(foreign.hint.contains("No network interface"), "{foreign:?}");
        for text in ["8080", ":8080", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999"] {
            let error = HttpListener::bind(text).await.unwrap_err();
            assert_eq!(error.exit_code(), 2, "{text}");
            assert!(error.summary.contains("is no address"), "{text}: {error:?}");
        }
    }

    #[tokio::test]
    async fn what_others_can_reach_is_known() {
        assert!(!HttpListener::bind("localhost:0").await.unwrap().is_public());
        assert!(HttpListener::bind("0.0.0.0:0").await.unwrap().is_public());
    }
}
