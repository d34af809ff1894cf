//! What goes on beside a run: its lease beats, and whoever wants it to end is heard.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use idsync_model::{Clock, ErrorKind, Failure, RunId, TenantName, with_causes};
use idsync_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::halt::{HOST_HINT, cancelled, ended, stopped, taken_over};
use crate::lease::{BEAT_EVERY, LOST_AFTER};
use crate::text;

/// How often a run looks up from its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// How often it asks whether it is to end.
    pub ask_every: Duration,
    /// How often its lease beats; a multiple of the above.
    pub beat_every: Duration,
}

impl Default for Pulse {
    /// Every second, every 10 seconds.
    fn default() -> Self {
        Self {
            ask_every: Duration::from_secs(1),
            beat_every: BEAT_EVERY,
        }
    }
}

/// Why a run is to end before it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// A person wants it.
    Cancelled,
    /// The process is about to end.
    Stopped,
    /// Another process has the lease.
    LeaseLost,
    /// The run has an end already: its directory was disabled or removed.
    Ended,
    /// The lease could not be kept, because the store did not answer for too long.
    StoreAway(String),
}

impl Interruption {
    /// Whether the run can write nothing more.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::LeaseLost | Self::Ended)
    }

    /// The failure that the run ends with.
    pub(crate) fn failure(&self, stage: &str) -> Failure {
        match self {
            Self::Cancelled => cancelled(stage),
            Self::Stopped => stopped(stage),
            Self::LeaseLost => taken_over(stage),
            Self::Ended => ended(stage),
            Self::StoreAway(why) => Failure::new(
                ErrorKind::Host,
                stage,
                format!(
                    "the store did not take the run's heartbeat for {} s: {why}",
                    LOST_AFTER.as_secs()
                ),
                HOST_HINT,
            ),
        }
    }
}

/// Tells a run to end, and says why.
pub(crate) struct Interrupt {
    /// Triggered when the run is to end, whatever the reason.
    pub(crate) token: CancellationToken,
    cancel: CancellationToken,
    stop: CancellationToken,
    first: OnceLock<Interruption>,
}

impl Interrupt {
    /// An interrupt that a person triggers by `cancel` and the process by `stop`.
    pub(crate) fn new(cancel: &CancellationToken, stop: &CancellationToken) -> Self {
        Self {
            token: cancel.child_token(),
            cancel: cancel.clone(),
            stop: stop.clone(),
            first: OnceLock::new(),
        }
    }

    /// Why the run is to end, where it is. A lost lease goes before all else: nothing can be written then.
    pub(crate) fn reason(&self) -> Option<Interruption> {
        if let Some(reason) = self.first.get() {
            Some(reason.clone())
        } else if self.cancel.is_cancelled() {
            Some(Interruption::Cancelled)
        } else if self.stop.is_cancelled() {
            Some(Interruption::Stopped)
        } else {
            None
        }
    }

    pub(crate) fn end(&self, why: Interruption) {
        // The first reason stands.
        let _ = self.first.set(why);
        self.token.cancel();
    }

    /// Why a run can write nothing more, if that is what the store says.
    pub(crate) fn loss(error: &StoreError) -> Option<Interruption> {
        match error {
            StoreError::LeaseLost { .. } => Some(Interruption::LeaseLost),
            StoreError::RunEnded { .. }
            | StoreError::UnknownRun { .. }
            | StoreError::UnknownDirectory { .. } => Some(Interruption::Ended),
            _ => None,
        }
    }
}

/// A run that is looked after.
pub(crate) struct Vigil<'a> {
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) tenant: &'a TenantName,
    pub(crate) run: &'a RunId,
    pub(crate) pulse: Pulse,
}

impl Vigil<'_> {
    /// Keeps the lease and listens, for as long as it is polled. An error of the store is no loss of the lease: it is
    /// tried again, until others must think that the run is dead.
    pub(crate) async fn keep(&self, interrupt: &Interrupt) -> Infallible {
        let asks_per_beat = self.pulse.beat_every.as_millis() / self.pulse.ask_every.as_millis().max(1);
        let mut asks: u128 = 0;
        let mut failing_since = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.pulse.ask_every) => {}
                () = interrupt.stop.cancelled(), if !interrupt.token.is_cancelled() => {
                    interrupt.end(Interruption::Stopped);
                    continue;
                }
            }
            asks += 1;
            if asks < asks_per_beat {
                self.ask(interrupt).await;
                continue;
            }
            asks = 0;
            match self.store.beat(self.tenant, self.run).await {
                Ok(()) => failing_since = None,
                Err(error) => {
                    if let Some(loss) = Interrupt::loss(&error) {
                        interrupt.end(loss);
                        return pending().await;
                    }
                    let now = self.clock.monotonic();
                    let since = *failing_since.get_or_insert(now);
                    tracing::warn!(run = %self.run, error = with_causes(&error), "the run's heartbeat failed");
                    if now.saturating_sub(since) >= LOST_AFTER {
                        let mut why = with_causes(&error);
                        text::cut(&mut why);
                        interrupt.end(Interruption::StoreAway(why));
                    }
                }
            }
        }
    }

    /// Whether a person, in whatever process, wants the run to end.
    async fn ask(&self, interrupt: &Interrupt) {
        match self.store.cancel_asked(self.tenant, self.run).await {
            Ok(true) => interrupt.end(Interruption::Cancelled),
            Ok(false) => {}
            // The next beat tells what is wrong.
            Err(error) => tracing::debug!(run = %self.run, %error, "whether to cancel could not be asked"),
        }
    }
}
