//! The identity store: tenants, their directories, and what was read from them, behind one trait.
//!
//! Everything else in idsync sees [`Store`] and [`StagingRows`]; SQL lives here alone. Keys and secrets arrive sealed
//! and leave sealed. [`SqliteStore::open`] gives the store of a data directory.

mod directory;
mod error;
mod export;
mod plan;
mod run;
mod sqlite;
mod store;

pub use directory::{Directory, NewDirectory, NewKey, Sealed, SealedSecret, SigningKey, Tenant, Verified};
pub use error::StoreError;
pub use export::{ExportRow, ExportSink, GroupRow, MembershipRow, UserRow};
pub use plan::{Plan, PlanSummary, PlannedCounts, PlannedRow};
pub use run::{Applied, NewRun, RunBasis, RunEnd, RunFacts, RunRecord, SkipCounts};
pub use sqlite::SqliteStore;
pub use store::{DirectoryVault, GroupRead, ListState, StagedCounts, StagingRows, Store};
