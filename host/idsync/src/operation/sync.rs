//! Syncing a directory.

use std::sync::Arc;

use idsync_engine::{EngineError, ReadLimits, RunOrder, RunSignals, purge_if_due};
use idsync_model::{CancellationToken, DirectoryId, EventSink, RunId, RunReport, Trigger, UnixMillis};

use super::holder::process_of;
use crate::app::App;
use crate::binding;
use crate::error::{CommandError, Kind};

/// What is asked of a sync.
#[derive(Debug, Clone, Copy, Default)]
pub struct SyncOptions {
    /// Stop after the plan.
    pub dry_run: bool,
    /// Read everything.
    pub full: bool,
}

/// Syncs a directory once, with the settings that were last verified.
pub async fn run(
    app: &App,
    id_or_name: &str,
    options: SyncOptions,
    cancel: CancellationToken,
    events: Arc<dyn EventSink>,
) -> Result<RunReport, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    if directory.verified.is_none() {
        return Err(EngineError::NotVerified { name: directory.name }.into());
    }
    let id = directory.id.clone();
    let run = RunId::generate();
    let ready = Box::pin(binding::ready(app, &directory, &run)).await?;
    let order = RunOrder {
        run,
        tenant: app.tenant().clone(),
        directory: directory.id,
        trigger: Trigger::Manual,
        full: options.full,
        dry_run: options.dry_run,
        plugin_version: ready.plugin_version,
        plugin_digest: ready.plugin_digest,
        contract: ready.contract,
        notes: ready.notes,
        limits: ReadLimits::default(),
        takes_over: None,
    };
    let sync = app.sync().await?;
    let signals = RunSignals {
        cancel,
        // The end of this process is a person's wish: nothing is to be done again by itself.
        stop: CancellationToken::new(),
        events,
    };
    let report = match Box::pin(sync.run(order, ready.provider, signals)).await {
        Ok(report) => report,
        Err(EngineError::Busy { name, run, since }) => {
            return Err(busy(app, &id, &name, &run, since).await);
        }
        Err(error) => return Err(error.into()),
    };
    // Where no service runs, this is what keeps the store from growing for ever.
    if let Err(error) = purge_if_due(app.store().as_ref()).await {
        tracing::warn!(%error, "purging what is kept no longer failed; it is tried again with the next sync");
    }
    Ok(report)
}

/// Who syncs the directory now and since when, and what to do when that hangs: a stopped process keeps its lease.
async fn busy(app: &App, id: &DirectoryId, name: &str, run: &RunId, since: UnixMillis) -> CommandError {
    // Without an answer the process is not named; the rest is known.
    let lease = app.store().lease(app.tenant(), id).await.ok().flatten();
    let process = lease
        .filter(|lease| lease.run == *run)
        .and_then(|lease| process_of(&app.locks_dir().join(lease.owner.as_str())));
    let (who, end_it) = match process {
        Some(process) => (
            format!("process {process} has been doing that with {run}"),
            format!("end process {process}"),
        ),
        None => (
            format!("{run} has been doing that"),
            "end the process that runs it".to_owned(),
        ),
    };
    CommandError::new(
        Kind::Busy,
        format!("directory `{name}` can't be synced now: {who} since {since}"),
        format!(
            "Wait until it has ended, or end it with `idsync run cancel {run}`. When it hangs, {end_it}: that loses \
             nothing. A service takes it over by itself after 60 s without a sign of life."
        ),
    )
}
