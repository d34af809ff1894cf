//! The traits that everything else sees of the store, and the narrow view of it that one directory's plugin gets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use idsync_model::{
    DeleteLimits, DirectoryId, DirectoryState, DisabledReason, Entity, ExternalId, ExternalIds, FeedCursor,
    Group, Held, MembersVersion, Operation, PagePart, RunId, Settings, Skip, TenantName, UnixMillis, User,
};

use crate::{
    Applied, Approved, ChangePage, Directory, ExportSink, Lease, NewDirectory, NewKey, NewRun, Plan,
    PlannedRow, PurgeOrder, Purged, ReadWith, Resumable, RunBasis, RunEnd, RunFacts, RunRecord, Scheduled,
    Sealed, SealedSecret, SecretOf, SigningKey, SigningKeys, SkipCounts, StoreError, Tenant, Verified,
};

/// The identity store.
///
/// A method that takes a tenant sees that tenant's rows only: ids of another tenant's are unknown to it. Directories
/// are named by their id, or by their name where the parameter is called `id_or_name`.
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds a tenant. Errs with `NameTaken`.
    async fn add_tenant(&self, name: &TenantName) -> Result<Tenant, StoreError>;
    /// All tenants by name.
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;
    /// Removes a tenant with its history. Errs with `TenantNotEmpty` while it has directories.
    async fn remove_tenant(&self, name: &TenantName) -> Result<(), StoreError>;

    /// Adds a directory as a draft. Errs with `NameTaken`.
    async fn add_directory(&self, tenant: &TenantName, new: NewDirectory) -> Result<Directory, StoreError>;
    /// The tenant's directories by name.
    async fn directories(&self, tenant: &TenantName) -> Result<Vec<Directory>, StoreError>;
    /// One directory. An id counts before a name.
    async fn directory(&self, tenant: &TenantName, id_or_name: &str) -> Result<Directory, StoreError>;
    /// Replaces the settings, and those secrets that are named; secrets of a directory that was ever verified wait for
    /// the next verification, and runs use the present ones until then. The next run is full. Errs with
    /// `SettingsChanged` when the stored settings are not `expected`, from which the new ones were made.
    async fn set_settings(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        expected: &Settings,
        settings: Settings,
        secrets: Vec<SealedSecret>,
    ) -> Result<Directory, StoreError>;
    /// Records a successful verification. When it stands for something else than the last one did, the next run is
    /// full; when the settings or the org are other ones, the generation is raised, so that a run in progress, which
    /// reads with the old ones, can't apply any more. Secrets that wait take effect, and so does the next key when it
    /// is the one that signed: the old key is erased. How runs failed before is forgotten, also by a run that is in
    /// progress. `settings_mark` is the directory's when the verification began.
    ///
    /// Errs with `SettingsChanged` when settings, secrets or the key are other ones by now, and with `SameScope` when
    /// another directory of the tenant syncs the same part of the same org.
    async fn record_verification(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        verified: Verified,
        settings_mark: u64,
    ) -> Result<Directory, StoreError>;
    /// Sets the state. Disabling ends a run in progress as cancelled and raises the fencing number, so that the run can
    /// write nothing more, even if the directory is enabled again before it notices. Enabling makes a run due at once,
    /// and forgets how runs failed before, also by a run that is in progress.
    async fn set_state(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        state: DirectoryState,
        reason: Option<DisabledReason>,
    ) -> Result<Directory, StoreError>;
    /// Removes a directory in one transaction: its delete changes are one block of a run of its own, its key and its
    /// sealed values are erased, a held plan ends. Its id is never used again.
    async fn remove_directory(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        run: &RunId,
    ) -> Result<Applied, StoreError>;

    /// The key pair that runs use, and the one that waits.
    async fn signing_keys(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
    ) -> Result<SigningKeys, StoreError>;
    /// Adds a second key pair, which takes the first one's place when it is verified. Errs with `NextKeyWaits`.
    async fn add_next_key(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        key: NewKey,
    ) -> Result<Directory, StoreError>;
    /// Erases the second key pair. Errs with `NoNextKey`.
    async fn drop_next_key(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
    ) -> Result<Directory, StoreError>;
    /// A secret setting.
    async fn secret(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        name: &str,
        of: SecretOf,
    ) -> Result<Option<Sealed>, StoreError>;
    /// A value that the directory's plugin keeps.
    async fn recall(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        name: &str,
    ) -> Result<Option<Sealed>, StoreError>;
    /// Keeps a value, or erases it; on behalf of a run, only while that one may write. Errs with `VaultFull` when all
    /// values would exceed their limit, and with `RunEnded` or `LeaseLost`.
    async fn remember(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        run: Option<&RunId>,
        memory: Memory,
    ) -> Result<(), StoreError>;

    /// Begins a run, which takes the directory's lease. Errs with `Leased` while there is one that is not the one to
    /// take over. Runs of the directory that have no end are ended as failed; what they staged stays for now.
    async fn begin_run(&self, tenant: &TenantName, new: NewRun) -> Result<RunBasis, StoreError>;
    /// An empty staging for a run that has begun. Every other one of the directory is dropped. Errs with `RunEnded`
    /// or `LeaseLost`.
    async fn create_staging(
        &self,
        tenant: &TenantName,
        run: &RunId,
        with: ReadWith,
    ) -> Result<Arc<dyn StagingRows>, StoreError>;
    /// The newest staging of the directory that a run left with a checkpoint, be it that the run ended early or that
    /// its process died.
    async fn resumable(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
    ) -> Result<Option<Resumable>, StoreError>;
    /// Takes over the staging of `from` as it was at its last checkpoint, with the plugin's own state then. Every
    /// other one of the directory is dropped. `None` when it can't be gone on from, and then it is dropped too: it has
    /// no checkpoint, was planned from, is of another generation of the directory or of before a restart of the
    /// machine, or whoever wrote it still holds it. Errs with `RunEnded` or `LeaseLost`.
    async fn resume_staging(
        &self,
        tenant: &TenantName,
        run: &RunId,
        from: &RunId,
    ) -> Result<Option<(Arc<dyn StagingRows>, Vec<u8>)>, StoreError>;

    /// Who runs a directory now.
    async fn lease(&self, tenant: &TenantName, directory: &DirectoryId) -> Result<Option<Lease>, StoreError>;
    /// Shows that the owner of a run's lease lives. Errs with `RunEnded` or `LeaseLost` when the lease is another's.
    async fn beat(&self, tenant: &TenantName, run: &RunId) -> Result<(), StoreError>;
    /// Whether a person asked that the run end. Errs with `RunEnded` or `LeaseLost`.
    async fn cancel_asked(&self, tenant: &TenantName, run: &RunId) -> Result<bool, StoreError>;
    /// Asks whoever runs it to end the run. Errs with `RunEnded`.
    async fn ask_cancel(&self, tenant: &TenantName, run: &RunId) -> Result<(), StoreError>;

    /// Sets the schedule: a run this long after the begin of the last one.
    async fn set_schedule(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        every: Duration,
    ) -> Result<Directory, StoreError>;
    /// Sets how much a plan may delete without a person's word.
    async fn set_limits(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        limits: DeleteLimits,
    ) -> Result<Directory, StoreError>;
    /// The active directories of all tenants.
    async fn schedules(&self) -> Result<Vec<Scheduled>, StoreError>;
    /// One directory, where it is active.
    async fn schedule(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
    ) -> Result<Option<Scheduled>, StoreError>;

    /// What is stored of groups, in the order of `groups`; `None` for those that readers don't see.
    async fn group_reads(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        groups: Vec<ExternalId>,
    ) -> Result<Vec<Option<GroupRead>>, StoreError>;
    /// Closes the staging and compares it with what is stored. Errs with `Stale` when the directory has moved on
    /// since `basis`. Groups whose list is not closed keep the list that is stored.
    async fn make_plan(
        &self,
        tenant: &TenantName,
        staging: Arc<dyn StagingRows>,
        basis: RunBasis,
    ) -> Result<Plan, StoreError>;
    /// Up to `limit` rows of the plan of a run, as long as it is kept: until the run ends, and while it is held.
    async fn planned_rows(
        &self,
        tenant: &TenantName,
        run: &RunId,
        kind: Entity,
        operation: Operation,
        limit: u64,
    ) -> Result<Vec<PlannedRow>, StoreError>;
    /// Applies a plan in one transaction and ends its run as succeeded. A held run of the directory is superseded.
    /// Errs with `Stale` when the directory has moved on since the plan was made.
    async fn apply(&self, plan: Plan, facts: RunFacts) -> Result<Applied, StoreError>;
    /// Keeps a plan that the guard stopped and ends its run as held. An older held run of the directory is superseded.
    /// Errs with `Stale` when the directory has moved on since the plan was made; the run can plan again then.
    async fn hold(&self, plan: Plan, reasons: Held, facts: RunFacts) -> Result<RunRecord, StoreError>;
    /// Applies the plan of a held run as it was shown, and ends the run as succeeded. It needs no lease: a run in
    /// progress finds its plan stale afterwards. Of a superseded run, the plan that is held now is applied if it
    /// deletes nothing that the shown one did not. Approving again changes nothing more. Errs with `NotHeld`,
    /// `SupersededBy`, `Damaged`, and with `StalePlan` when the directory or its verified settings have changed since
    /// the plan was made, or when that was longer ago than `max_age`.
    async fn approve(
        &self,
        tenant: &TenantName,
        run: &RunId,
        max_age: Duration,
    ) -> Result<Approved, StoreError>;
    /// Ends a held run: its plan is dropped, and the next run makes its own. Discarding again changes nothing more.
    /// Errs with `NotHeld` and `SupersededBy`.
    async fn discard(&self, tenant: &TenantName, run: &RunId) -> Result<RunRecord, StoreError>;
    /// Ends a run that applies nothing, and drops its staging unless it is to be kept.
    async fn end_run(
        &self,
        tenant: &TenantName,
        run: &RunId,
        end: RunEnd,
        facts: RunFacts,
    ) -> Result<RunRecord, StoreError>;
    /// One run.
    async fn run(&self, tenant: &TenantName, run: &RunId) -> Result<RunRecord, StoreError>;
    /// The newest runs of a directory, or of all of the tenant's, newest first.
    async fn runs(
        &self,
        tenant: &TenantName,
        directory: Option<&DirectoryId>,
        limit: u64,
    ) -> Result<Vec<RunRecord>, StoreError>;
    /// What a run skipped or mended: at most 1,000 of each kind.
    async fn skips(&self, tenant: &TenantName, run: &RunId) -> Result<Vec<Skip>, StoreError>;

    /// Hands over all that readers see of a directory, from one moment: users, groups, memberships, each by the bytes
    /// of their ids, then the end. Returns the number of the tenant's last change at that moment.
    async fn export(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        sink: ExportSink,
    ) -> Result<u64, StoreError>;
    /// Up to `limit` changes of the tenant, or of one of its directories, after a position, in their order. A removed
    /// directory is known by its id. The position is checked and the changes are read at one moment. Errs with
    /// `FeedPosition`.
    async fn changes(
        &self,
        tenant: &TenantName,
        since: &FeedCursor,
        directory: Option<&DirectoryId>,
        limit: u64,
    ) -> Result<ChangePage, StoreError>;
    /// Copies the store to a new file, as it is at one moment, while others read and write. A store that is opened from
    /// the copy starts new feeds. Held plans and the master key are not in it. Errs with `BackupExists`.
    async fn backup(&self, to: &Path) -> Result<(), StoreError>;
    /// Erases what is kept for a time only, in all tenants: tombstones, changes, and the runs and ids that nothing
    /// refers to any more. The generation of a directory that loses rows is raised.
    async fn purge(&self, order: PurgeOrder) -> Result<Purged, StoreError>;
    /// Sets how long a purge keeps changes, whichever process purges, where it is not told otherwise.
    async fn set_keep_changes(&self, keep: Duration) -> Result<(), StoreError>;
    /// Whether the last purge is `every` ago. One in the future does not count.
    async fn purge_due(&self, every: Duration) -> Result<bool, StoreError>;
}

/// A value that a directory's plugin keeps, or a name that it erases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Its name.
    pub name: String,
    /// The value; `None` erases the name.
    pub value: Option<Sealed>,
    /// The size of the value before sealing.
    pub plain_bytes: u64,
    /// What the names and the plain sizes of all the directory's values may take.
    pub limit_bytes: u64,
}

/// What is stored of a group that readers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRead {
    /// The version that was read before its members were; `None` where the provider has none, or the members were
    /// never read.
    pub version: Option<MembersVersion>,
    /// When its members were read, by the provider's clock. Kept beside a version that is a time.
    pub read_at: Option<UnixMillis>,
    /// Whether its stored list names anyone.
    pub has_members: bool,
}

/// How far a group's list has been read in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListState {
    /// No page was put.
    Unread,
    /// A first page was put, and no last one.
    Open,
    /// All pages were put.
    Closed,
}

/// What a staging holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StagedCounts {
    /// Users, active or not.
    pub users: u64,
    /// Groups that are listed and not dropped.
    pub groups: u64,
    /// Members of all lists.
    pub members: u64,
}

/// The staging of one run: raw rows, no decisions.
///
/// Puts go through a bounded queue to one writer, in their order, and return when they are queued: an error of the
/// writer is told by a later call, at the latest by `flush`.
#[async_trait]
pub trait StagingRows: Send + Sync {
    /// The run that it belongs to.
    fn run(&self) -> &RunId;
    /// Puts users; one that was put before is replaced.
    async fn put_users(&self, users: Vec<User>) -> Result<(), StoreError>;
    /// Takes out users who were put before and turned out not to be syncable. They stay in member lists.
    async fn leave_out_users(&self, users: Vec<ExternalId>) -> Result<(), StoreError>;
    /// Puts groups, each with whether its members must be fetched. A group that is put again is replaced, but for its
    /// version: the first stays, which is never newer than the members. `must_fetch` is replaced only while its list is
    /// unread. Answers for each how far its list has been read.
    async fn put_groups(&self, groups: Vec<(Group, bool)>) -> Result<Vec<ListState>, StoreError>;
    /// Puts a page of a group's list. A first page drops the list that is there; the reading time is the first
    /// page's. The errors `GroupNotPut` and `ListNotOpen` may come with a later call.
    async fn put_members(
        &self,
        group: ExternalId,
        users: ExternalIds,
        read_at: UnixMillis,
        part: PagePart,
    ) -> Result<(), StoreError>;
    /// How many members the group's list has so far.
    async fn list_len(&self, group: &ExternalId) -> Result<u64, StoreError>;
    /// Drops what is staged of a kind, and what was skipped of it. Lists of groups stay for groups that are put again.
    async fn restart(&self, kind: Entity) -> Result<(), StoreError>;
    /// Leaves a group out, with the reason `gone` if it is stored.
    async fn drop_group(&self, group: ExternalId) -> Result<(), StoreError>;
    /// Records that a row was skipped or mended.
    async fn skip(&self, kind: Entity, external_id: String, reason: String) -> Result<(), StoreError>;
    /// Commits all that was put, with the plugin's own state. Errs with `RunEnded` or `LeaseLost`.
    async fn checkpoint(&self, state: Vec<u8>) -> Result<(), StoreError>;
    /// Waits until all that was put is written, and tells what went wrong since.
    async fn flush(&self) -> Result<(), StoreError>;
    /// What it holds.
    async fn counts(&self) -> Result<StagedCounts, StoreError>;
    /// What was skipped or mended so far.
    async fn skip_counts(&self) -> Result<SkipCounts, StoreError>;
    /// Up to `limit` groups that are listed, must be fetched, and have no closed list.
    async fn unclosed_groups(&self, limit: u64) -> Result<Vec<ExternalId>, StoreError>;
    /// Commits and closes it: nothing can be put any more.
    async fn finish(&self) -> Result<(), StoreError>;
}

/// What the plugin of one directory can reach of the store: its own key and its own values, sealed.
#[derive(Clone)]
pub struct DirectoryVault {
    store: Arc<dyn Store>,
    tenant: TenantName,
    directory: DirectoryId,
    of: SecretOf,
    run: Option<RunId>,
}

impl DirectoryVault {
    /// The view of one directory.
    pub fn new(store: Arc<dyn Store>, tenant: TenantName, directory: DirectoryId) -> Self {
        Self {
            store,
            tenant,
            directory,
            of: SecretOf::Verified,
            run: None,
        }
    }

    /// The same for a verification: it shows the key and the secrets that wait for one, where there are any.
    #[must_use]
    pub fn for_verification(self) -> Self {
        Self {
            of: SecretOf::Next,
            ..self
        }
    }

    /// The same view for one run: it keeps nothing any more once the run can't write.
    #[must_use]
    pub fn for_run(self, run: RunId) -> Self {
        Self {
            run: Some(run),
            ..self
        }
    }

    /// The directory that it shows; it goes into the sealing as associated data.
    pub fn directory(&self) -> &DirectoryId {
        &self.directory
    }

    /// The key pair that runs use; for a verification, the one that waits for it.
    pub async fn signing_key(&self) -> Result<Option<SigningKey>, StoreError> {
        let keys = self.store.signing_keys(&self.tenant, &self.directory).await?;
        Ok(match self.of {
            SecretOf::Verified => keys.current,
            SecretOf::Next => keys.next.or(keys.current),
        })
    }

    /// A secret setting.
    pub async fn secret(&self, name: &str) -> Result<Option<Sealed>, StoreError> {
        self.store
            .secret(&self.tenant, &self.directory, name, self.of)
            .await
    }

    /// A value that the plugin keeps.
    pub async fn recall(&self, name: &str) -> Result<Option<Sealed>, StoreError> {
        self.store.recall(&self.tenant, &self.directory, name).await
    }

    /// Keeps a value of `plain_bytes` before sealing, or erases the name. Errs with `VaultFull` when names and plain
    /// sizes of all values would exceed `limit_bytes`.
    pub async fn remember(
        &self,
        name: &str,
        value: Option<Sealed>,
        plain_bytes: u64,
        limit_bytes: u64,
    ) -> Result<(), StoreError> {
        let memory = Memory {
            name: name.to_owned(),
            value,
            plain_bytes,
            limit_bytes,
        };
        self.store
            .remember(&self.tenant, &self.directory, self.run.as_ref(), memory)
            .await
    }
}
