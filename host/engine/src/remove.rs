//! The removal of a directory: a run of its own, which needs no lease and stops the one in progress.

use idsync_model::{DirectoryId, RunId, TenantName};
use idsync_store::{Applied, Store};

use crate::error::EngineError;

/// Removes a directory with all that readers see of it, as run `run`. A run in progress can write nothing more.
pub async fn remove(
    store: &dyn Store,
    tenant: &TenantName,
    directory: &DirectoryId,
    run: &RunId,
) -> Result<Applied, EngineError> {
    Ok(store.remove_directory(tenant, directory, run).await?)
}
