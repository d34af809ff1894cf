//! An answer's body on its way to the guest: unpacked, measured, and given up when it stalls.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::time::timeout;
use wasmtime_wasi_http::Error;

use super::failure::{Phase, code_for};
use super::gzip::Unpacking;

/// A request that is under way: until its answer was read to its end, failed, or was dropped.
pub(super) struct InFlight(Arc<AtomicU64>);

impl InFlight {
    /// Counts one more, unless there are `limit` already.
    pub(super) fn begin(count: &Arc<AtomicU64>, limit: u64) -> Option<Self> {
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < limit).then_some(n + 1)
            })
            .ok()
            .map(|_| Self(count.clone()))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of one answer.
pub(super) struct AnswerBody<B> {
    inner: B,
    unpacking: Option<Unpacking>,
    received: u64,
    limit: u64,
    stall: Duration,
}

impl<B> AnswerBody<B> {
    /// A body that may have `limit` bytes, as it is and unpacked, and may rest for as long as `stall`.
    pub(super) fn new(inner: B, is_gzip: bool, limit: u64, stall: Duration) -> Self {
        Self {
            inner,
            unpacking: is_gzip.then(|| Unpacking::new(limit)),
            received: 0,
            limit,
            stall,
        }
    }
}

impl<B> AnswerBody<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    /// The next bytes; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let mut has_some = false;
            if let Some(unpacking) = &mut self.unpacking {
                if unpacking.fill_piece()? {
                    return Ok(unpacking.take_piece());
                }
                has_some = unpacking.has_some();
            }
            // What is here already goes into the same piece; the guest does not wait for what is not.
            let frame = tokio::select! {
                biased;
                frame = timeout(self.stall, self.inner.frame()) => frame.map_err(|_| Error::ConnectionReadTimeout)?,
                () = ready(()), if has_some => return Ok(self.take_piece()),
            };
            let Some(frame) = frame else {
                if let Some(unpacking) = &self.unpacking {
                    unpacking.check_end()?;
                }
                return Ok(self.take_piece());
            };
            let frame = frame.map_err(|error| code_for(&error, Phase::Body))?;
            // Trailers say nothing that a plugin is promised.
            let Ok(bytes) = frame.into_data() else { continue };
            self.received += bytes.len() as u64;
            if self.received > self.limit {
                return Err(Error::HttpResponseBodySize(Some(self.received)));
            }
            match &mut self.unpacking {
                Some(unpacking) => unpacking.go_on_with(bytes),
                None if bytes.is_empty() => {}
                None => return Ok(Some(bytes)),
            }
        }
    }

    fn take_piece(&mut self) -> Option<Bytes> {
        self.unpacking.as_mut()?.take_piece()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::Write as _;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use hyper::body::Frame;

    use super::*;

    /// A body in parts; for one that is missing it must be asked twice.
    struct Parts(VecDeque<Option<Bytes>>);

    impl Body for Parts {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            match self.0.pop_front() {
                Some(Some(part)) => Poll::Ready(Some(Ok(Frame::data(part)))),
                Some(None) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                None => Poll::Ready(None),
            }
        }
    }

    #[tokio::test]
    async fn what_has_come_is_one_piece_and_what_has_not_is_not_waited_for() {
        let text = "a listing's page ".repeat(1000);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let parts = || packed.chunks(20).map(|part| Some(Bytes::copy_from_slice(part)));
        let (stall, limit) = (Duration::from_secs(5), 1 << 20);

        let mut body = AnswerBody::new(Parts(parts().collect()), true, limit, stall);
        assert_eq!(body.next().await.unwrap().unwrap(), text);
        assert!(body.next().await.unwrap().is_none());

        let (first, rest) = (parts().take(4), parts().skip(4));
        let late = first.chain([None]).chain(rest).collect();
        let mut body = AnswerBody::new(Parts(late), true, limit, stall);
        let pieces = [
            body.next().await.unwrap().unwrap(),
            body.next().await.unwrap().unwrap(),
        ];
        assert_eq!(pieces.concat(), text.as_bytes());
        assert!(body.next().await.unwrap().is_none());
    }
}
