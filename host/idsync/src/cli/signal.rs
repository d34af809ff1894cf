//! SIGINT and SIGTERM: the first asks the work to end in order, the second ends it at once.

use idsync_model::CancellationToken;
use tokio::signal::unix::{SignalKind, signal};

use super::output;

/// The shell's exit code of a command that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// Runs `work`; the first signal triggers `cancel`, on the second this returns `None` while `work` is dropped.
pub async fn until_interrupted<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(work);
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process, which loses nothing.
        return Some(work.await);
    };
    let mut asked = false;
    loop {
        tokio::select! {
            result = &mut work => return Some(result),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if asked {
            return None;
        }
        asked = true;
        output::note(
            "Ending: requests in flight get 5 s. Interrupt again to end at once; nothing is lost either way.",
        );
        cancel.cancel();
    }
}
