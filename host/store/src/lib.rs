//! The identity store: tenants, their directories, and what was read from them, behind one trait.
//!
//! Everything else in idsync sees [`Store`] and [`StagingRows`]; SQL lives here alone. Keys and secrets arrive sealed
//! and leave sealed. [`SqliteStore::open`] gives the store of a data directory.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use idsync_model::{SystemClock, TenantName};
//! use idsync_store::{SqliteStore, StoreError};
//!
//! # async fn shown() -> Result<(), StoreError> {
//! let store = SqliteStore::open(Path::new("data"), Arc::new(SystemClock::new()))?;
//! for directory in store.directories(&TenantName::default_tenant()).await? {
//!     let seq = store
//!         .export(&directory.tenant, &directory.id, Box::new(|_row| Ok(())))
//!         .await?;
//!     assert!(seq >= directory.last_run.and_then(|run| run.applied_seq).unwrap_or(0));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A run goes its way through it as [`Store::begin_run`], [`Store::create_staging`] or [`Store::resume_staging`], the
//! puts of [`StagingRows`], [`Store::make_plan`], and then one of [`Store::apply`], [`Store::hold`] and [`Store::end_run`].

mod approval;
mod directory;
mod error;
mod export;
mod feed;
mod plan;
mod purge;
mod run;
mod schedule;
mod sqlite;
mod store;

pub use approval::{Approved, StaleWhy};
pub use directory::{
    Directory, NewDirectory, NewKey, Sealed, SealedSecret, SecretOf, SigningKey, SigningKeys, Tenant,
    Verified,
};
pub use error::{PositionRefused, StoreError};
pub use export::{ExportRow, ExportSink, GroupRow, MembershipRow, UserRow};
pub use feed::{AppliedCounts, ChangeBody, ChangePage, ChangeRow};
pub use plan::{Plan, PlanSummary, PlannedCounts, PlannedRow, Recent, RecentDeletions};
pub use purge::{PurgeOrder, Purged};
pub use run::{
    Applied, Lease, NewRun, ReadWith, Resumable, RunBasis, RunEnd, RunFacts, RunRecord, SkipCounts,
};
pub use schedule::{Aftermath, Failing, KindRow, NotBefore, Scheduled, Times};
pub use sqlite::SqliteStore;
pub use store::{DirectoryVault, GroupRead, ListState, Memory, StagedCounts, StagingRows, Store};
