//! What people and the service do with runs besides running them: end one, approve or discard a held plan, purge.

use std::time::Duration;

use idsync_model::{RunId, TenantName};
use idsync_store::{Approved, PurgeOrder, Purged, RunRecord, Store, StoreError};

/// A held plan that is older is not applied any more: what it was made from is too long ago.
pub const PLAN_LASTS: Duration = Duration::from_hours(24);

/// How long what was deleted is kept, so that who returns is the same internal id.
pub const TOMBSTONES_LAST: Duration = Duration::from_hours(30 * 24);

/// How often the store is purged.
pub const PURGE_EVERY: Duration = Duration::from_hours(24);

/// Applies the plan of a held run: exactly the one that was shown. It needs no lease; approving twice is once.
///
/// Errs with `NotHeld`, `SupersededBy` and `StalePlan`, which say what to do.
pub async fn approve(store: &dyn Store, tenant: &TenantName, run: &RunId) -> Result<Approved, StoreError> {
    store.approve(tenant, run, PLAN_LASTS).await
}

/// Ends a held run without its plan being applied. The next run makes a plan of its own.
pub async fn discard(store: &dyn Store, tenant: &TenantName, run: &RunId) -> Result<RunRecord, StoreError> {
    store.discard(tenant, run).await
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

/// Removes what is kept no longer, when that is due: tombstones, and changes that are older than `changes`; `None` is as
/// long as the service last set.
pub async fn purge_if_due(
    store: &dyn Store,
    changes: Option<Duration>,
) -> Result<Option<Purged>, StoreError> {
    if !store.purge_due(PURGE_EVERY).await? {
        return Ok(None);
    }
    let order = PurgeOrder {
        tombstones: TOMBSTONES_LAST,
        changes,
    };
    store.purge(order).await.map(Some)
}
