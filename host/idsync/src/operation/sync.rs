//! Syncing a directory.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use idsync_engine::lease::Owner;
use idsync_engine::{EngineError, ReadLimits, RunOrder, RunSignals, Sync};
use idsync_model::{CancellationToken, EventSink, RunId, RunReport, Trigger};

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
        plugin_digest: plugin.digest().to_string(),
        contract: plugin.contract().to_owned(),
        limits: ReadLimits::default(),
        takes_over: None,
    };
    let owner = Arc::new(Owner::take(&app.locks_dir()).map_err(EngineError::from)?);
    let sync = Sync::new(Arc::clone(app.store()), Arc::clone(app.clock()), owner, Arc::new(random));
    let signals = RunSignals {
        cancel,
        stop: CancellationToken::new(),
        events,
    };
    Ok(sync.run(order, provider, signals).await?)
}

/// A number from 0 to 1 that another process draws otherwise: the keys of each new hasher are random.
fn random() -> f64 {
    let drawn = RandomState::new().hash_one(());
    f64::from(u32::try_from(drawn >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}
