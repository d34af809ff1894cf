//! One run of a service, from its provider to its report.

use std::sync::Arc;
use std::time::Duration;

use idsync_model::{CancellationToken, DirectoryId, RunId, Trigger, UnixMillis, with_causes};
use idsync_store::{Scheduled, StoreError};
use tokio::task::JoinError;

use super::idle::Idle;
use super::{Listener, Providers};
use crate::due;
use crate::error::EngineError;
use crate::resume::died_in_a_row;
use crate::run::{ReadLimits, RunOrder, RunSignals, Sync};

/// How many earlier runs of a directory whose lease was lost are looked at: more make no longer rest.
const DEATHS_LOOKED_AT: u64 = 5;

/// What every run needs.
pub(super) struct Parts {
    pub(super) sync: Sync,
    pub(super) providers: Arc<dyn Providers>,
    pub(super) listener: Arc<dyn Listener>,
    pub(super) stop: CancellationToken,
}

impl Parts {
    /// How long a directory is still left alone whose lease was lost: its runs may be what kills the process.
    pub(super) async fn rest(
        &self,
        scheduled: &Scheduled,
        now: UnixMillis,
    ) -> Result<Option<Duration>, StoreError> {
        let store = &self.sync.store;
        let runs = store
            .runs(
                &scheduled.tenant,
                Some(&scheduled.directory),
                1 + DEATHS_LOOKED_AT,
            )
            .await?;
        let Some((last, earlier)) = runs.split_first() else {
            return Ok(None);
        };
        // The store does not know yet that the newest one is dead.
        let Some(rest) = due::rest_after(1 + died_in_a_row(earlier)) else {
            return Ok(None);
        };
        let until = last.started_at.plus(rest);
        Ok((last.started_at <= now && until > now).then(|| until.since(now)))
    }

    /// One run, from its provider to its report. Errs when there was none.
    pub(super) async fn carry_out(
        self: Arc<Self>,
        idle: Idle,
        limits: ReadLimits,
    ) -> Result<(), EngineError> {
        let Idle {
            scheduled,
            takes_over,
            ..
        } = idle;
        let run = RunId::generate();
        // The plugin may take a while to be made ready.
        let bound = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            bound = self.providers.bind(&scheduled, &run) => bound,
        };
        let mut order = RunOrder {
            run: run.clone(),
            tenant: scheduled.tenant.clone(),
            directory: scheduled.directory.clone(),
            trigger: Trigger::Schedule,
            full: false,
            dry_run: false,
            plugin_version: String::new(),
            plugin_digest: String::new(),
            contract: String::new(),
            notes: Vec::new(),
            limits,
            takes_over,
        };
        let signals = RunSignals {
            cancel: CancellationToken::new(),
            stop: self.stop.clone(),
            events: self.listener.events(&scheduled, &run),
        };
        let report = match bound {
            Ok(bound) => {
                order.plugin_version = bound.plugin_version;
                order.plugin_digest = bound.plugin_digest;
                order.contract = bound.contract;
                order.notes = bound.notes;
                self.sync.run(order, bound.provider, signals).await?
            }
            Err(failure) => self.sync.fail(order, failure, signals).await?,
        };
        self.listener.ended(&scheduled, &report);
        Ok(())
    }
}

/// Whether there was a run, so that the store knows when the next one is due.
pub(super) fn has_run(directory: &DirectoryId, end: Result<Result<(), EngineError>, JoinError>) -> bool {
    match end {
        Ok(Ok(())) => return true,
        Ok(Err(EngineError::Busy { run, .. })) => {
            tracing::debug!(%directory, %run, "the directory is being synced already");
        }
        Ok(Err(error)) => {
            tracing::warn!(%directory, "the directory could not be synced: {}", with_causes(&error));
        }
        Err(broken) => {
            tracing::error!(%directory, "a run broke off, which is a fault of idsync: {}", with_causes(&broken));
        }
    }
    false
}
