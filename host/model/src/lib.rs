//! The plain types of idsync, and the two ports that its crates meet at.
//!
//! Nothing here does anything: no SQL, no HTTP, no wasmtime, no clock but as a trait. The ports are [`Provider`], what
//! a provider plugin can do, and [`Staging`], where a run puts what it reads.

mod causes;
mod clock;
mod description;
mod directory;
mod event;
mod external_ids;
mod failure;
mod feed;
mod id;
mod limit;
mod provider;
mod row;
mod run;
mod settings;
mod staging;
mod verification;

pub use causes::with_causes;
pub use clock::{Clock, SystemClock, UnixMillis};
pub use description::{Description, GuideStep, KeyAlgorithm, Permission, SettingSpec};
pub use directory::{DirectoryState, DisabledReason};
pub use event::{EventSink, LogLevel, NoEvents, RunEvent};
pub use external_ids::ExternalIds;
pub use failure::{ErrorKind, Failure, OWN_LIMIT_HINT};
pub use feed::{FeedCursor, FeedId};
pub use id::{DirectoryId, ExternalId, InvalidId, OwnerId, RunId, TenantName};
pub use limit::{DeleteLimit, DeleteLimits, InvalidLimit};
pub use provider::{CallContext, Provider, ProviderTime, SyncEnd, SyncRequest, SyncSummary, Usage, Wake};
pub use row::{DeleteReason, Entity, Group, MembersVersion, Operation, StoredCounts, User};
pub use run::{EntityCounts, Held, HeldReason, HoldRule, Mode, Outcome, RunReport, Skip, Trigger};
pub use settings::{Normalized, SettingProblem, Settings};
pub use staging::{CHECKPOINT_BYTES, MembersVerdict, PagePart, Staging, StagingError};
/// How a person or the host asks for an end.
pub use tokio_util::sync::CancellationToken;
pub use verification::{Check, CheckOutcome, Verification};
