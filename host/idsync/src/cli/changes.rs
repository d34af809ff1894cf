//! `idsync changes`

use std::io::{self, BufWriter, Write as _, stdout};
use std::os::fd::AsFd as _;
use std::time::Duration;

use idsync_model::FeedCursor;
use idsync_store::ChangeRow;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use tokio::time::MissedTickBehavior;

use super::args::ChangesArguments;
use super::signal::{INTERRUPTED, until_signal};
use crate::app::{App, spawn_blocking};
use crate::error::CommandError;
use crate::operation::changes;

/// How often the store is asked for changes while it has no new ones.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Writes changes to standard output, one JSON object a line.
pub async fn run(app: &App, arguments: ChangesArguments) -> Result<u8, CommandError> {
    match until_signal(write(app, arguments)).await {
        Some(written) => written.map(|()| 0),
        None => Ok(INTERRUPTED),
    }
}

async fn write(app: &App, arguments: ChangesArguments) -> Result<(), CommandError> {
    let directory = match &arguments.directory {
        Some(id_or_name) => Some(changes::directory(app, id_or_name).await?),
        None => None,
    };
    let mut since = arguments.since;
    let mut pause = tokio::time::interval(ASK_EVERY);
    // After a reader that was slow, the store is not asked for all the times that were missed.
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reader = Reader::of_stdout();
    loop {
        let page = changes::page(app, &since, directory.as_ref()).await?;
        let is_last = page.next >= page.last;
        since = FeedCursor::of(page.feed, page.next);
        let rows = page.rows;
        // On a thread of its own: a reader that does not read must not keep a signal from being seen.
        match spawn_blocking(move || lines_out(&rows)).await? {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => {
                return Err(CommandError::host(
                    &error,
                    "Standard output could not be written.",
                ));
            }
        }
        if is_last {
            if !arguments.follow {
                return Ok(());
            }
            tokio::select! {
                _ = pause.tick() => {}
                () = reader.gone() => return Ok(()),
            }
        }
    }
}

/// Whoever reads standard output, where the system can tell that he is gone: of a pipe it can, of a file it need not.
struct Reader(Option<Sender>);

impl Reader {
    fn of_stdout() -> Self {
        let pipe = stdout().as_fd().try_clone_to_owned();
        // Nothing is written with it, so that it may block as it likes.
        Self(pipe.and_then(Sender::from_owned_fd_unchecked).ok())
    }

    /// Returns when he is gone, so that following ends although nothing comes to be written.
    async fn gone(&self) {
        if let Some(pipe) = &self.0
            && pipe.ready(Interest::ERROR).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

fn lines_out(rows: &[ChangeRow]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut lines = BufWriter::with_capacity(1 << 16, stdout().lock());
    for row in rows {
        serde_json::to_writer(&mut lines, row)?;
        lines.write_all(b"\n")?;
    }
    lines.flush()
}
