//! The removal of a directory: a run of its own, which needs no lock and stops the one in progress.

use std::path::Path;

use idsync_model::{DirectoryId, RunId, TenantName};
use idsync_store::{Applied, Store};

use crate::error::EngineError;
use crate::lock::DirectoryLock;

/// Removes a directory with all that readers see of it, as run `run`. A run in progress can write nothing more.
pub async fn remove(
    store: &dyn Store,
    locks: &Path,
    tenant: &TenantName,
    directory: &DirectoryId,
    run: &RunId,
) -> Result<Applied, EngineError> {
    let applied = store.remove_directory(tenant, directory, run).await?;
    DirectoryLock::forget(locks, directory);
    Ok(applied)
}
