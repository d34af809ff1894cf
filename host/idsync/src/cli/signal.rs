//! SIGINT and SIGTERM: the first asks the work to end in order, the second ends it at once.

use std::time::Duration;

use idsync_model::CancellationToken;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output;

/// The shell's exit code of a command that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// Signals that come together are one: `timeout` and terminals send theirs to the process and to its group.
const TOGETHER: Duration = Duration::from_millis(500);

/// Runs `work`; the first signal triggers `cancel`, on the second this returns `None` while `work` is dropped.
pub async fn until_interrupted<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    until_told_twice(cancel, work, || {
        output::note(
            "Ending: requests in flight get 5 s. Interrupt again to end at once; nothing is lost either way.",
        );
    })
    .await
}

/// The same, with what is said at the first signal.
pub async fn until_told_twice<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = T>,
    say: impl Fn(),
) -> Option<T> {
    tokio::pin!(work);
    let Some(mut signals) = Signals::listen() else {
        // Without handlers the signals end the process, which loses nothing.
        return Some(work.await);
    };
    let mut asked = false;
    loop {
        tokio::select! {
            result = &mut work => return Some(result),
            () = signals.next() => {}
        }
        if asked {
            return None;
        }
        asked = true;
        say();
        cancel.cancel();
        tokio::select! {
            result = &mut work => return Some(result),
            () = tokio::time::sleep(TOGETHER) => signals.forget(),
        }
    }
}

/// Runs `work`, which has nothing to end in order; the first signal drops it.
pub async fn until_signal<T>(work: impl Future<Output = T>) -> Option<T> {
    let Some(mut signals) = Signals::listen() else {
        return Some(work.await);
    };
    tokio::select! {
        result = work => Some(result),
        () = signals.next() => None,
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Option<Self> {
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
        })
    }

    /// Those that have come by now.
    fn forget(&mut self) {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while self.interrupt.poll_recv(&mut context).is_ready()
            || self.terminate.poll_recv(&mut context).is_ready()
        {}
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
