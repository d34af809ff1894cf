//! What people and the service do with runs besides running them: end one, approve a held plan, purge.

use std::time::Duration;

use idsync_model::{RunId, TenantName};
use idsync_store::{Approved, PurgeOrder, Purged, RunRecord, Store, StoreError};

/// A held plan that is older is not applied any more: what it was made from is too long ago.
pub const PLAN_LASTS: Duration = Duration::from_hours(24);

/// How often the store is purged.
pub const PURGE_EVERY: Duration = Duration::from_hours(24);

/// Applies the plan of a held run: exactly the one that was shown. It needs no lease; approving twice is once.
///
/// Errs with `NotHeld`, `SupersededBy` and `StalePlan`, which say what to do.
pub async fn approve(store: &dyn Store, tenant: &TenantName, run: &RunId) -> Result<Approved, StoreError> {
    store.approve(tenant, run, PLAN_LASTS).await
}

/// What came of asking a run to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancel {
    /// Its process was asked, and ends it within seconds. A process that died is noticed by the next run.
    Asked,
    /// It had ended already.
    HadEnded(Box<RunRecord>),
}

/// Asks a run to end, whatever process runs it.
pub async fn cancel(store: &dyn Store, tenant: &TenantName, run: &RunId) -> Result<Cancel, StoreError> {
    match store.ask_cancel(tenant, run).await {
        Ok(()) => Ok(Cancel::Asked),
        Err(StoreError::RunEnded { .. }) => Ok(Cancel::HadEnded(Box::new(store.run(tenant, run).await?))),
        Err(error) => Err(error),
    }
}

/// Removes what is kept no longer, when that is due: tombstones, and changes that are older than the service last set.
pub async fn purge_if_due(store: &dyn Store) -> Result<Option<Purged>, StoreError> {
    if !store.purge_due(PURGE_EVERY).await? {
        return Ok(None);
    }
    store.purge(PurgeOrder::default()).await.map(Some)
}
