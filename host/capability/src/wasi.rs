//! The part of WASI that Rust's standard library asks for, linked interface by interface: clocks, randomness, and a
//! command line without arguments, variables or input, whose output goes to the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use idsync_model::{Clock, LogLevel};
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliCtxView};
use wasmtime_wasi::clocks::{HostWallClock, WasiClocks, WasiClocksCtxView};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, bindings as wasi};
use wasmtime_wasi::random::{WasiRandom, WasiRandomCtx};
use wasmtime_wasi::{WasiCtx, WasiCtxView};

use crate::log::LogBook;

/// Bytes that one write to standard output or error may carry.
const WRITE_LIMIT_BYTES: usize = 64 * 1024;
/// Bytes of a line that has not ended yet.
const LINE_LIMIT_BYTES: usize = 8 * 1024;

/// Random bytes that one call gives.
const RANDOM_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// What WASI has for one call. The time is that of the book's clock.
pub fn context(book: &Arc<LogBook>) -> WasiCtx {
    WasiCtx::builder()
        .stdout(Lines::new(Stream::Output, book))
        .stderr(Lines::new(Stream::Error, book))
        .wall_clock(TimeOfDay(Arc::clone(book.clock())))
        .max_random_size(RANDOM_LIMIT_BYTES)
        .build()
}

/// How a store's state lends the capability.
pub trait WasiGrantView: Send {
    /// The context of this call, and the handles of its guest.
    fn wasi(&mut self) -> WasiCtxView<'_>;
}

struct HasIo;

impl HasData for HasIo {
    type Data<'a> = &'a mut ResourceTable;
}

fn table<T: WasiGrantView>(state: &mut T) -> &mut ResourceTable {
    state.wasi().table
}

fn clocks<T: WasiGrantView>(state: &mut T) -> WasiClocksCtxView<'_> {
    let WasiCtxView { ctx, table } = state.wasi();
    WasiClocksCtxView {
        ctx: ctx.clocks(),
        table,
    }
}

fn random<T: WasiGrantView>(state: &mut T) -> &mut WasiRandomCtx {
    state.wasi().ctx.random()
}

fn cli<T: WasiGrantView>(state: &mut T) -> WasiCliCtxView<'_> {
    let WasiCtxView { ctx, table } = state.wasi();
    WasiCliCtxView {
        ctx: ctx.cli(),
        table,
    }
}

/// Links what a guest may reach of WASI besides HTTP. What is not named here does not exist for it.
pub fn add_to_linker<T: WasiGrantView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasi::io::error::add_to_linker::<T, HasIo>(linker, table)?;
    wasi::io::poll::add_to_linker::<T, HasIo>(linker, table)?;
    wasi::io::streams::add_to_linker::<T, HasIo>(linker, table)?;
    wasi::clocks::monotonic_clock::add_to_linker::<T, WasiClocks>(linker, clocks)?;
    wasi::clocks::wall_clock::add_to_linker::<T, WasiClocks>(linker, clocks)?;
    wasi::random::random::add_to_linker::<T, WasiRandom>(linker, random)?;
    wasi::random::insecure_seed::add_to_linker::<T, WasiRandom>(linker, random)?;
    wasi::cli::environment::add_to_linker::<T, WasiCli>(linker, cli)?;
    wasi::cli::exit::add_to_linker::<T, WasiCli>(linker, cli)?;
    wasi::cli::stdin::add_to_linker::<T, WasiCli>(linker, cli)?;
    wasi::cli::stdout::add_to_linker::<T, WasiCli>(linker, cli)?;
    wasi::cli::stderr::add_to_linker::<T, WasiCli>(linker, cli)?;
    wasi::cli::terminal_input::add_to_linker::<T, WasiCli>(linker, cli)?;
    wasi::cli::terminal_output::add_to_linker::<T, WasiCli>(linker, cli)?;
    wasi::cli::terminal_stdin::add_to_linker::<T, WasiCli>(linker, cli)?;
    wasi::cli::terminal_stdout::add_to_linker::<T, WasiCli>(linker, cli)?;
    wasi::cli::terminal_stderr::add_to_linker::<T, WasiCli>(linker, cli)?;
    Ok(())
}

/// The host's time of day, to the millisecond.
struct TimeOfDay(Arc<dyn Clock>);

impl HostWallClock for TimeOfDay {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.now().0).unwrap_or(0))
    }
}

#[derive(Clone, Copy)]
enum Stream {
    Output,
    Error,
}

/// Standard output or standard error, which ends up line by line in the log.
#[derive(Clone)]
struct Lines {
    stream: Stream,
    book: Arc<LogBook>,
    unfinished: Vec<u8>,
}

impl Lines {
    fn new(stream: Stream, book: &Arc<LogBook>) -> Self {
        Self {
            stream,
            book: book.clone(),
            unfinished: Vec::new(),
        }
    }

    fn write_line(&self, line: &[u8]) -> Result<(), StreamError> {
        let line = String::from_utf8_lossy(line);
        if line.trim().is_empty() {
            return Ok(());
        }
        match self.stream {
            Stream::Output => self.book.write(LogLevel::Info, &line, Vec::new()),
            Stream::Error => self.book.write_error(&line),
        }
        .map_err(|error| StreamError::Trap(error.into()))
    }

    fn finish_line(&mut self) -> Result<(), StreamError> {
        let line = std::mem::take(&mut self.unfinished);
        self.write_line(&line)
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// Asked for by WASI 0.3 alone, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

#[async_trait::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.unfinished.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.unfinished.len() >= LINE_LIMIT_BYTES {
                self.finish_line()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_LIMIT_BYTES)
    }
}

/// A guest that traps in the middle of a line has said something too.
impl Drop for Lines {
    fn drop(&mut self) {
        if !self.unfinished.is_empty() {
            let _ = self.finish_line();
        }
    }
}

#[cfg(test)]
mod tests {
    use idsync_model::{NoEvents, SystemClock};

    use super::*;
    use crate::log::LogOrigin;

    const LINE_LIMIT: u64 = 1_000;

    fn book() -> Arc<LogBook> {
        LogBook::new(
            LogOrigin::default(),
            Arc::new(NoEvents),
            Arc::new(SystemClock::new()),
            LINE_LIMIT,
        )
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let book = book();
        let mut stderr = Lines::new(Stream::Error, &book).p2_stream();
        stderr.write(Bytes::from_static(b"thread pani")).unwrap();
        stderr
            .write(Bytes::from_static(b"cked\n\nat lib.rs:1\nnote"))
            .unwrap();
        assert_eq!(book.error_tail(), "thread panicked\nat lib.rs:1");
        drop(stderr);
        assert!(book.error_tail().ends_with("\nnote"));
    }

    #[test]
    fn standard_output_is_bounded_too() {
        let book = book();
        let mut stdout = Lines::new(Stream::Output, &book).p2_stream();
        let mut last = Ok(());
        for _ in 0..=LINE_LIMIT {
            last = stdout.write(Bytes::from_static(b"x\n"));
        }
        let Err(StreamError::Trap(error)) = last else {
            panic!("it went on");
        };
        assert!(error.downcast_ref::<crate::CapabilityError>().is_some());
        assert_eq!(book.error_tail(), "");
    }
}
