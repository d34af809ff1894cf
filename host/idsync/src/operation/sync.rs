//! Syncing a directory.

use std::sync::Arc;

use idsync_engine::{EngineError, ReadLimits, RunOrder, RunSignals, Sync};
use idsync_model::{CancellationToken, DeleteLimits, EventSink, RunId, RunReport, Trigger};

use crate::app::App;
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
    let plugin = app.plugin(&directory.provider).await?;
    let provider = Arc::new(app.bind(&plugin, &directory).await?);
    let order = RunOrder {
        run: RunId::generate(),
        tenant: app.tenant().clone(),
        directory: directory.id,
        trigger: Trigger::Manual,
        full: options.full,
        dry_run: options.dry_run,
        plugin_version: plugin.description().version.clone(),
        deletions: DeleteLimits::default(),
        limits: ReadLimits::default(),
    };
    let sync = Sync::new(Arc::clone(app.store()), Arc::clone(app.clock()), app.locks_dir());
    Ok(sync.run(order, provider, RunSignals { cancel, events }).await?)
}
