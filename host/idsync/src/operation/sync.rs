//! Syncing a directory.

use std::sync::Arc;

use idsync_engine::{EngineError, ReadLimits, RunOrder, RunSignals, Sync, purge_if_due};
use idsync_model::{CancellationToken, EventSink, RunId, RunReport, Trigger};

use crate::app::App;
use crate::binding;
use crate::error::CommandError;

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
        limits: ReadLimits::default(),
        takes_over: None,
    };
    let sync = Sync::new(
        Arc::clone(app.store()),
        Arc::clone(app.clock()),
        app.owner().await?,
        app.random(),
    );
    let signals = RunSignals {
        cancel,
        // The end of this process is a person's wish: nothing is to be done again by itself.
        stop: CancellationToken::new(),
        events,
    };
    let report = Box::pin(sync.run(order, ready.provider, signals)).await?;
    // Where no service runs, this is what keeps the store from growing for ever.
    if let Err(error) = purge_if_due(app.store().as_ref(), None).await {
        tracing::warn!(%error, "purging what is kept no longer failed; it is tried again with the next sync");
    }
    Ok(report)
}
