//! An answer's body on its way to the guest: unpacked, measured, and given up when it stalls.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::time::timeout;
use wasmtime_wasi_http::Error;

use super::failure::{Phase, code_for};

/// Unpacked bytes that are handed on together.
const PIECE_BYTES: usize = 64 * 1024;
/// Packed bytes that are unpacked at once: gzip packs at most 1,032 to 1, so one step gives about 256 KiB at most.
const STEP_BYTES: usize = 256;

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
            if let Some(unpacking) = &mut self.unpacking
                && let Some(piece) = unpacking.next_piece()?
            {
                return Ok(Some(piece));
            }
            let frame = timeout(self.stall, self.inner.frame())
                .await
                .map_err(|_| Error::ConnectionReadTimeout)?;
            let Some(frame) = frame else {
                return match &mut self.unpacking {
                    Some(unpacking) => unpacking.finish(),
                    None => Ok(None),
                };
            };
            let frame = frame.map_err(|error| code_for(&error, Phase::Body))?;
            // Trailers say nothing that a plugin is promised.
            let Ok(bytes) = frame.into_data() else { continue };
            self.received += bytes.len() as u64;
            if self.received > self.limit {
                return Err(Error::HttpResponseBodySize(Some(self.received)));
            }
            match &mut self.unpacking {
                Some(unpacking) => unpacking.packed = bytes,
                None if bytes.is_empty() => {}
                None => return Ok(Some(bytes)),
            }
        }
    }
}

/// Gzip (RFC 1952), unpacked step by step.
struct Unpacking {
    packed: Bytes,
    decoder: MultiGzDecoder<Unpacked>,
    has_begun: bool,
}

/// Where unpacked bytes gather. It takes no more than the limit.
struct Unpacked {
    bytes: BytesMut,
    total: u64,
    limit: u64,
}

impl io::Write for Unpacked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.total += bytes.len() as u64;
        if self.total > self.limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Unpacking {
    fn new(limit: u64) -> Self {
        Self {
            packed: Bytes::new(),
            decoder: MultiGzDecoder::new(Unpacked {
                bytes: BytesMut::new(),
                total: 0,
                limit,
            }),
            has_begun: false,
        }
    }

    /// A piece of what is unpacked. None when more packed bytes are needed, unless a full piece is not there yet.
    fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        while !self.packed.is_empty() && self.decoder.get_ref().bytes.len() < PIECE_BYTES {
            let step = self.packed.split_to(STEP_BYTES.min(self.packed.len()));
            self.has_begun = true;
            let written = self.decoder.write_all(&step);
            written.map_err(|error| self.code(&error))?;
        }
        Ok(self.take())
    }

    /// What is left at the end of the packed bytes.
    fn finish(&mut self) -> Result<Option<Bytes>, Error> {
        // An answer to HEAD, and one without content, names the coding and has no bytes.
        if self.has_begun {
            let finished = self.decoder.try_finish();
            finished.map_err(|error| match error.kind() {
                io::ErrorKind::FileTooLarge => self.code(&error),
                // The end is missing, or its checksum does not fit: asking again may help.
                _ => Error::HttpResponseIncomplete,
            })?;
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Option<Bytes> {
        let bytes = &mut self.decoder.get_mut().bytes;
        (!bytes.is_empty()).then(|| bytes.split().freeze())
    }

    fn code(&self, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::FileTooLarge => Error::HttpResponseBodySize(Some(self.decoder.get_ref().total)),
            _ => Error::HttpResponseContentCoding(Some("gzip".to_owned())),
        }
    }
}
