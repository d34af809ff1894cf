//! A run from start to end: what is asked, and the way from the lock to the report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use idsync_model::{
    Clock, DeleteLimits, DirectoryId, EventSink, Mode, OwnerId, Provider, RunEvent, RunId, RunReport,
    TenantName, Trigger,
};
use idsync_store::{Directory, NewRun, RunEnd, RunRecord, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;
use crate::halt::Halt;
use crate::lock::DirectoryLock;
use crate::mode::{self, ModeGrounds};
use crate::stages::Begun;
use crate::staging::{MAX_STAGED_BYTES, MAX_STAGED_ROWS};

/// How far a run may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// How long reading may take.
    pub time: Duration,
    /// How long a plugin that was told to end may take to do so.
    pub grace: Duration,
    /// How many rows may be staged.
    pub staged_rows: u64,
    /// How many bytes of text may be staged.
    pub staged_bytes: u64,
}

impl Default for ReadLimits {
    /// 6 hours, 10 seconds, 50 million rows, 16 GiB of text.
    fn default() -> Self {
        Self {
            time: Duration::from_hours(6),
            grace: Duration::from_secs(10),
            staged_rows: MAX_STAGED_ROWS,
            staged_bytes: MAX_STAGED_BYTES,
        }
    }
}

/// What is asked of a run.
#[derive(Debug, Clone)]
pub struct RunOrder {
    /// The id that the run gets.
    pub run: RunId,
    /// Whose directory it is.
    pub tenant: TenantName,
    /// The directory.
    pub directory: DirectoryId,
    /// Who asks.
    pub trigger: Trigger,
    /// Whether everything must be read, although less would do.
    pub full: bool,
    /// Whether to stop after the plan.
    pub dry_run: bool,
    /// The version of the plugin behind the provider.
    pub plugin_version: String,
    /// What the guard allows.
    pub deletions: DeleteLimits,
    /// How far the run may go.
    pub limits: ReadLimits,
}

/// How a run is listened to and ended.
#[derive(Clone)]
pub struct RunSignals {
    /// Triggered when a person or the host wants the run to end.
    pub cancel: CancellationToken,
    /// Whoever listens.
    pub events: Arc<dyn EventSink>,
}

/// Syncs directories.
#[derive(Clone)]
pub struct Sync {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    locks: PathBuf,
    owner: OwnerId,
}

impl Sync {
    /// A sync over a store; `locks` is the folder of the lock files, made where it is missing.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, locks: PathBuf) -> Self {
        Self {
            store,
            clock,
            locks,
            owner: OwnerId::generate(),
        }
    }

    /// Runs once. Whatever becomes of the run is in the report, and in the store before this returns.
    ///
    /// Errs when there is no run: the directory is busy, unknown or was never verified, or the store fails. Errs with
    /// `Unrecorded` when there was one whose end could not be stored.
    pub async fn run(
        &self,
        order: RunOrder,
        provider: Arc<dyn Provider>,
        signals: RunSignals,
    ) -> Result<RunReport, EngineError> {
        // Asked before the lock is: an unknown directory gets no lock file.
        self.store
            .directory(&order.tenant, order.directory.as_str())
            .await?;
        let _lock = DirectoryLock::take(&self.locks, &order.directory)?;
        let directory = self
            .store
            .directory(&order.tenant, order.directory.as_str())
            .await?;
        let Some(verified) = directory.verified.clone() else {
            return Err(EngineError::NotVerified { name: directory.name });
        };
        // Whoever had a lease is dead: it would hold the lock.
        let dead = self.store.lease(&order.tenant, &order.directory).await?;
        let mode = self.choose_mode(&order, &directory);
        let basis = self
            .store
            .begin_run(
                &order.tenant,
                NewRun {
                    run: order.run.clone(),
                    directory: order.directory.clone(),
                    trigger: order.trigger,
                    mode,
                    dry_run: order.dry_run,
                    started_at: self.clock.now(),
                    plugin_version: order.plugin_version.clone(),
                    owner: self.owner.clone(),
                    takes_over: dead.map(|lease| lease.fence),
                },
            )
            .await?;
        tracing::info!(run = %order.run, directory = %order.directory, ?mode, order.dry_run, "the run begins");
        signals.events.emit(RunEvent::Started {
            run: order.run.clone(),
            mode,
        });
        let begun = Begun {
            store: &self.store,
            order: &order,
            signals: &signals,
            verified: &verified,
            mode,
            basis,
        };
        let report = match go(&begun, provider).await {
            Ok(record) => report(&record)?,
            Err(halt) => report(&self.end_as_failed(&order, halt).await?)?,
        };
        tracing::info!(run = %order.run, outcome = report.outcome.as_str(), report.duration_ms, "the run has ended");
        signals.events.emit(RunEvent::Ended {
            run: order.run.clone(),
            outcome: report.outcome,
        });
        Ok(report)
    }

    fn choose_mode(&self, order: &RunOrder, directory: &Directory) -> Mode {
        let plugin_changed = directory.last_full_plugin_version.as_ref() != Some(&order.plugin_version);
        mode::choose(ModeGrounds {
            full_is_asked: order.full,
            full_is_due: directory.full_run_due || plugin_changed,
            last_full_read: directory.last_full_at,
            now: self.clock.now(),
        })
    }

    async fn end_as_failed(&self, order: &RunOrder, halt: Halt) -> Result<RunRecord, EngineError> {
        let Halt { failure, facts } = halt;
        let end = RunEnd::Failed {
            failure: failure.clone(),
            keeps_staging: false,
        };
        let ended = self.store.end_run(&order.tenant, &order.run, end, facts).await;
        let record = match ended {
            // The removal or the disabling of the directory has ended the run already, and said why.
            Err(StoreError::RunEnded { .. } | StoreError::LeaseLost { .. }) => {
                self.store.run(&order.tenant, &order.run).await
            }
            other => other,
        };
        let told = record.as_ref().ok().and_then(|record| record.error.as_ref());
        let told = told.unwrap_or(&failure);
        tracing::warn!(run = %order.run, kind = %told.kind, stage = told.stage, "{}", told.summary);
        record.map_err(|source| EngineError::Unrecorded {
            run: order.run.clone(),
            failure: Box::new(failure),
            source,
        })
    }
}

/// The way of a run that nothing stops.
async fn go(begun: &Begun<'_>, provider: Arc<dyn Provider>) -> Result<RunRecord, Halt> {
    let reading = begun.open_staging().await?;
    let read = reading.read(provider).await?;
    let planned = read.plan().await?;
    planned.settle().await
}

fn report(record: &RunRecord) -> Result<RunReport, EngineError> {
    record.report().ok_or_else(|| EngineError::Unended {
        run: record.run.clone(),
    })
}
