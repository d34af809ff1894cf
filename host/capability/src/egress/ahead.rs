//! Unpacks an answer's body ahead of the guest, on another core: a guest that works on one page has the next one ready.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use wasmtime_wasi_http::Error;

use super::body::{AnswerBody, InFlight};

/// What may wait for the guest, besides the one piece that was unpacked last: bytes, and pieces, which may be of one byte
/// each.
const AHEAD_BYTES: u32 = 256 * 1024;
const AHEAD_PIECES: usize = 16;

/// A body whose bytes are made by a task of its own, which ends with it.
pub(super) struct Ahead {
    pieces: mpsc::Receiver<Result<Option<Bytes>, Error>>,
    room: Arc<Semaphore>,
    _task: JoinSet<()>,
    /// None once there is nothing more to come.
    in_flight: Option<InFlight>,
}

impl Ahead {
    /// Begins with `body`, which counts as in flight until all of it was taken.
    pub(super) fn of<B>(mut body: AnswerBody<B>, in_flight: InFlight) -> Self
    where
        B: Body<Data = Bytes, Error = hyper::Error> + Send + Unpin + 'static,
    {
        let (send, pieces) = mpsc::channel(AHEAD_PIECES);
        let room = Arc::new(Semaphore::new(AHEAD_BYTES as usize));
        let taken = Arc::clone(&room);
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let piece = body.next().await;
                let length = match &piece {
                    Ok(Some(bytes)) => share(bytes),
                    Ok(None) | Err(_) => 0,
                };
                if let Ok(room) = taken.acquire_many(length).await {
                    room.forget();
                }
                let is_last = !matches!(piece, Ok(Some(_)));
                if send.send(piece).await.is_err() || is_last {
                    return;
                }
            }
        });
        Self {
            pieces,
            room,
            _task: task,
            in_flight: Some(in_flight),
        }
    }
}

/// The room that a piece takes: a large one takes all of it.
fn share(bytes: &Bytes) -> u32 {
    u32::try_from(bytes.len()).map_or(AHEAD_BYTES, |length| length.min(AHEAD_BYTES))
}

impl Body for Ahead {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.in_flight.is_none() {
            return Poll::Ready(None);
        }
        let piece = match ready!(self.pieces.poll_recv(cx)) {
            Some(Ok(Some(bytes))) => {
                self.room.add_permits(share(&bytes) as usize);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Some(Ok(None)) => None,
            Some(Err(error)) => Some(Err(error)),
            // The task is gone without a last word: the process ends, or it panicked.
            None => Some(Err(Error::InternalError(None))),
        };
        self.in_flight = None;
        Poll::Ready(piece)
    }
}
