//! Connections: TLS, HTTP/2 and HTTP/1.1, and the ways an answer can leave or fail to.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use crate::answer::Answer;
use crate::front::{Delivery, serve};
use crate::state::{State, lock};

/// A body on its way out.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

/// A body that breaks off on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the answer breaks off, as the fault that was set says")]
pub(crate) struct Broken;

/// A body that is sent whole.
pub(crate) fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// Serves the org until `stop` says so.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    state: Arc<State>,
    mut stop: watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|is_over| *is_over) => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let (acceptor, state, mut stop) = (acceptor.clone(), Arc::clone(&state), stop.clone());
        tokio::spawn(async move {
            let broken = Arc::new(Notify::new());
            let work = async {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                lock(&state.log).connected();
                let service = service_fn(|request| respond(Arc::clone(&state), Arc::clone(&broken), request));
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http1().auto_date_header(false);
                builder
                    .http2()
                    .auto_date_header(false)
                    .max_concurrent_streams(256)
                    .max_header_list_size(1 << 20);
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            };
            tokio::select! {
                () = work => {}
                () = broken.notified() => {}
                _ = stop.wait_for(|is_over| *is_over) => {}
            }
        });
    }
}

async fn respond(
    state: Arc<State>,
    broken: Arc<Notify>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let mut released = state.released.subscribe();
    released.mark_unchanged();
    Ok(match serve(&state, &parts, &body).await {
        Delivery::Whole(answer) => {
            let body = answer.body.clone();
            response(answer, whole(body))
        }
        Delivery::Cut {
            answer,
            after_bytes,
            connection,
        } => {
            let (length, sent) = split(&answer, after_bytes);
            let end = stream::once(async move {
                if connection {
                    broken.notify_one();
                    std::future::pending::<()>().await;
                }
                Err(Broken)
            });
            with_length(response(answer, streamed(sent, end)), length)
        }
        Delivery::Stalled { answer, after_bytes } => {
            let (length, sent) = split(&answer, after_bytes);
            let end = stream::once(async move {
                let _ = released.changed().await;
                Err(Broken)
            });
            with_length(response(answer, streamed(sent, end)), length)
        }
        Delivery::Big { answer, mib, is_gzip } => response(answer, big(mib, is_gzip)),
        Delivery::Silence => {
            let _ = released.changed().await;
            broken.notify_one();
            std::future::pending().await
        }
        Delivery::Reset => {
            broken.notify_one();
            std::future::pending().await
        }
    })
}

fn response(answer: Answer, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn with_length(mut response: Response<Body>, length: usize) -> Response<Body> {
    response
        .headers_mut()
        .insert("content-length", HeaderValue::from(length));
    response
}

/// The length that is announced, and the part that is sent: never all of it.
fn split(answer: &Answer, after_bytes: usize) -> (usize, Bytes) {
    let length = answer.body.len().max(after_bytes + 1);
    (
        length,
        answer
            .body
            .slice(..after_bytes.min(answer.body.len().saturating_sub(1))),
    )
}

fn streamed<S>(first: Bytes, rest: S) -> Body
where
    S: futures::Stream<Item = Result<Frame<Bytes>, Broken>> + Send + 'static,
{
    let first = stream::iter((!first.is_empty()).then(|| Ok(Frame::data(first))));
    StreamBody::new(first.chain(rest)).boxed_unsync()
}

/// A JSON array of so many MiB of spaces.
fn big(mib: u32, is_gzip: bool) -> Body {
    let (head, part, tail) = if is_gzip {
        let bomb = crate::gzip::bomb(mib);
        (bomb.head, bomb.part, bomb.tail)
    } else {
        (
            Bytes::from_static(b"["),
            Bytes::from(vec![b' '; 1 << 20]),
            Bytes::from_static(b"]"),
        )
    };
    let parts = (0..mib).map(move |_| part.clone());
    let all = std::iter::once(head).chain(parts).chain(std::iter::once(tail));
    StreamBody::new(stream::iter(all.map(|part| Ok(Frame::data(part))))).boxed_unsync()
}
