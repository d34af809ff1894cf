//! The port `Staging`: where a run puts what it reads. `engine` implements it over the store and decides there what a
//! read is worth; `capability` passes a plugin's calls on to it.

use async_trait::async_trait;

use crate::{Entity, ExternalId, ExternalIds, Group, StoredCounts, UnixMillis, User};

/// How many bytes the state of a checkpoint may have.
pub const CHECKPOINT_BYTES: usize = 64 * 1024;

/// Which part of a group's member list a page is. A list of one page is both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagePart {
    /// The first page: what this run has of the group's members is dropped.
    pub first: bool,
    /// The last page: the list is closed.
    pub last: bool,
}

/// Whether a member list is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembersVerdict {
    /// It is.
    Taken,
    /// It is empty and the stored one is not: ask once more.
    ReadAgain,
}

/// Why something could not be staged. It ends the run.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// The plugin did what the contract rules out.
    #[error("the plugin broke its contract: {0}")]
    Contract(String),
    /// More rows than one run may stage.
    #[error("the plugin put more than the {limit} rows that one run may stage")]
    TooManyRows {
        /// The limit.
        limit: u64,
    },
    /// More text than one run may stage.
    #[error("the plugin put more than the {limit} bytes that one run may stage")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
    /// The host could not keep it.
    #[error("the run's staging could not be written")]
    Host(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StagingError {
    /// Whether a limit on how much one run may stage was met.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooManyRows { .. } | Self::TooManyBytes { .. })
    }
}

/// The staging of one run. Its calls may come from several tasks at once.
#[async_trait]
pub trait Staging: Send + Sync {
    /// What the last applied run left for readers.
    async fn stored(&self) -> Result<StoredCounts, StagingError>;
    /// Puts users; one that was put before in this run is replaced.
    async fn put_users(&self, users: Vec<User>) -> Result<(), StagingError>;
    /// Puts groups, and answers for each whether its members must be fetched.
    async fn put_groups(&self, groups: Vec<Group>) -> Result<Vec<bool>, StagingError>;
    /// Puts one page of a group's members, read at that time by the provider's clock.
    async fn put_members(
        &self,
        group: ExternalId,
        users: ExternalIds,
        read_at: UnixMillis,
        part: PagePart,
    ) -> Result<MembersVerdict, StagingError>;
    /// Drops what is staged of a kind: its listing begins again.
    async fn restart(&self, kind: Entity) -> Result<(), StagingError>;
    /// Leaves a group out with its members: it is gone at the provider.
    async fn drop_group(&self, external_id: ExternalId) -> Result<(), StagingError>;
    /// Records that one row was skipped or mended.
    async fn skip(&self, kind: Entity, external_id: String, reason: String) -> Result<(), StagingError>;
    /// Commits all that was put, with the plugin's own state.
    async fn checkpoint(&self, state: Vec<u8>) -> Result<(), StagingError>;
}
