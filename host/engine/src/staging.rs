//! What a read is worth: the rules for what a plugin puts, over the raw rows of the store.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use idsync_model::{
    CHECKPOINT_BYTES, DirectoryId, Entity, EventSink, ExternalId, ExternalIds, Group, MembersVerdict,
    MembersVersion, Mode, PagePart, RunEvent, Staging, StagingError, StoredCounts, TenantName, UnixMillis,
    User, with_causes,
};
use idsync_store::{GroupRead, ListState, StagingRows, Store, StoreError};

use crate::mend::{self, Mended};
use crate::mode::{LastRead, must_fetch_members};
use crate::text;

/// How many rows one run may put, skipped ones included.
pub const MAX_STAGED_ROWS: u64 = 50_000_000;

/// How many bytes of text one run may put.
pub const MAX_STAGED_BYTES: u64 = 16 << 30;

/// How long the tag of a member list may be.
const MAX_TAG_BYTES: usize = 1024;

/// How many skipped records of a kind listeners are told of.
const MAX_TOLD_SKIPS: u64 = 1000;

/// What a run's staging is made for.
pub struct StagingScope {
    /// The directory's tenant.
    pub tenant: TenantName,
    /// The directory.
    pub directory: DirectoryId,
    /// How much the run reads.
    pub mode: Mode,
    /// What readers see now.
    pub stored: StoredCounts,
    /// How many rows an earlier run left, on which this one goes on: they count too.
    pub rows_left: u64,
    /// How many rows may be put.
    pub max_rows: u64,
    /// How many bytes of text may be put.
    pub max_bytes: u64,
}

/// The staging of one run, as its plugin sees it.
///
/// A call returns when its rows are queued for the store's writer. The queue is short and bounded, so a plugin never
/// gets far ahead of the disk, and an error of the writer is told by a later call or at the run's end. The first error
/// is kept: a run that saw one has failed, whatever the plugin makes of it.
pub struct RunStaging {
    store: Arc<dyn Store>,
    rows: Arc<dyn StagingRows>,
    scope: StagingScope,
    events: Arc<dyn EventSink>,
    put: AtomicU64,
    put_bytes: AtomicU64,
    told_skips: [AtomicU64; 3],
    asked_again: Mutex<HashSet<ExternalId>>,
    is_sealed: AtomicBool,
    first_error: Mutex<Option<BrokenStaging>>,
}

/// Why a staging can't become a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenStaging {
    /// Whether the host is to blame; else the plugin is.
    pub is_hosts: bool,
    /// Whether it is that the run met a limit of the host's.
    pub is_limit: bool,
    /// What happened.
    pub summary: String,
}

impl RunStaging {
    /// A staging over empty rows.
    pub fn new(
        store: Arc<dyn Store>,
        rows: Arc<dyn StagingRows>,
        scope: StagingScope,
        events: Arc<dyn EventSink>,
    ) -> Self {
        Self {
            store,
            rows,
            events,
            put: AtomicU64::new(scope.rows_left),
            scope,
            put_bytes: AtomicU64::new(0),
            told_skips: [const { AtomicU64::new(0) }; 3],
            asked_again: Mutex::default(),
            is_sealed: AtomicBool::new(false),
            first_error: Mutex::default(),
        }
    }

    /// Ends the plugin's access: what it puts from now on is refused.
    pub fn seal(&self) {
        self.is_sealed.store(true, Ordering::SeqCst);
    }

    /// The first error that a call ended with.
    pub fn broken(&self) -> Option<BrokenStaging> {
        lock(&self.first_error).clone()
    }

    fn keep_error<T>(&self, result: Result<T, StagingError>) -> Result<T, StagingError> {
        if let Err(error) = &result {
            lock(&self.first_error).get_or_insert_with(|| BrokenStaging {
                is_hosts: matches!(error, StagingError::Host(_)),
                is_limit: error.is_limit(),
                summary: with_causes(error),
            });
        }
        result
    }

    /// Refuses what comes after the run's end, and more rows than one run may put.
    fn admit(&self, rows: usize) -> Result<(), StagingError> {
        if self.is_sealed.load(Ordering::SeqCst) {
            return Err(contract("rows were put after the sync had ended"));
        }
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        if self.put.fetch_add(rows, Ordering::SeqCst).saturating_add(rows) > self.scope.max_rows {
            return Err(StagingError::TooManyRows {
                limit: self.scope.max_rows,
            });
        }
        Ok(())
    }

    /// Refuses more text than one run may put: its staging shares a disk with the store.
    fn admit_text(&self, bytes: usize) -> Result<(), StagingError> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self
            .put_bytes
            .fetch_add(bytes, Ordering::SeqCst)
            .saturating_add(bytes)
            > self.scope.max_bytes
        {
            return Err(StagingError::TooManyBytes {
                limit: self.scope.max_bytes,
            });
        }
        Ok(())
    }

    async fn stored_reads(&self, groups: Vec<ExternalId>) -> Result<Vec<Option<GroupRead>>, StagingError> {
        self.store
            .group_reads(&self.scope.tenant, &self.scope.directory, groups)
            .await
            .map_err(staging_error)
    }

    async fn record_skip(
        &self,
        kind: Entity,
        mut external_id: String,
        mut reason: String,
    ) -> Result<(), StagingError> {
        self.admit(1)?;
        text::cut(&mut external_id);
        text::cut(&mut reason);
        self.admit_text(external_id.len() + reason.len())?;
        if self.told_skips[kind as usize].fetch_add(1, Ordering::Relaxed) < MAX_TOLD_SKIPS {
            self.events.emit(RunEvent::Skipped {
                entity: kind,
                external_id: external_id.clone(),
                reason: reason.clone(),
            });
        }
        self.rows
            .skip(kind, external_id, reason)
            .await
            .map_err(staging_error)
    }

    async fn stage_users(&self, mut users: Vec<User>) -> Result<(), StagingError> {
        self.admit(users.len())?;
        let mut remarks = Vec::new();
        // Those that can't be synced, each with the place of its last such record.
        let mut left_out = HashMap::new();
        for (place, user) in users.iter_mut().enumerate() {
            let remark = match mend::user(user) {
                Mended::AsItWas => continue,
                Mended::Changed(how) => how,
                Mended::Unusable(why) => {
                    left_out.insert(user.external_id.clone(), place);
                    why
                }
            };
            remarks.push((user.external_id.as_str().to_owned(), remark));
        }
        for (id, remark) in remarks {
            self.record_skip(Entity::User, id, remark).await?;
        }
        if !left_out.is_empty() {
            // The later answer wins, also when it is that there is nothing to sync.
            let mut place = 0..;
            users.retain(|user| {
                let last_bad = left_out.get(&user.external_id);
                place.next() > last_bad.copied()
            });
            let ids = left_out.into_keys().collect();
            self.rows.leave_out_users(ids).await.map_err(staging_error)?;
        }
        self.admit_text(users.iter().map(text::of_user).sum())?;
        self.rows.put_users(users).await.map_err(staging_error)
    }

    async fn stage_groups(&self, mut groups: Vec<Group>) -> Result<Vec<bool>, StagingError> {
        self.admit(groups.len())?;
        for group in &mut groups {
            check_version(group)?;
            if let Mended::Changed(how) | Mended::Unusable(how) = mend::group(group) {
                self.record_skip(Entity::Group, group.external_id.as_str().to_owned(), how)
                    .await?;
            }
        }
        self.admit_text(groups.iter().map(text::of_group).sum())?;
        let must_fetch: Vec<bool> = match self.scope.mode {
            Mode::Full => vec![true; groups.len()],
            Mode::Incremental => {
                let ids = groups.iter().map(|group| group.external_id.clone()).collect();
                let reads = self.stored_reads(ids).await?;
                groups
                    .iter()
                    .zip(reads)
                    .map(|(group, read)| {
                        let last = read.and_then(last_read);
                        must_fetch_members(self.scope.mode, group.members_version.as_ref(), last.as_ref())
                    })
                    .collect()
            }
        };
        let states = self
            .rows
            .put_groups(groups.into_iter().zip(must_fetch.iter().copied()).collect())
            .await
            .map_err(staging_error)?;
        Ok(states
            .into_iter()
            .zip(must_fetch)
            .map(|(state, must_fetch)| match state {
                ListState::Unread => must_fetch,
                ListState::Open => true,
                ListState::Closed => false,
            })
            .collect())
    }

    async fn stage_members(
        &self,
        group: ExternalId,
        users: ExternalIds,
        read_at: UnixMillis,
        part: PagePart,
    ) -> Result<MembersVerdict, StagingError> {
        // A page without users is work too, and can be put for ever.
        self.admit(users.len().max(1))?;
        self.admit_text(users.text_bytes())?;
        let is_empty_list = part.last
            && users.is_empty()
            && (part.first || self.rows.list_len(&group).await.map_err(staging_error)? == 0);
        if is_empty_list && self.is_doubted(&group).await? {
            // The list stays open, so that the run can't succeed without the second answer.
            let open = PagePart { last: false, ..part };
            self.rows
                .put_members(group, users, read_at, open)
                .await
                .map_err(staging_error)?;
            return Ok(MembersVerdict::ReadAgain);
        }
        self.rows
            .put_members(group, users, read_at, part)
            .await
            .map_err(staging_error)?;
        Ok(MembersVerdict::Taken)
    }

    /// Whether an empty list is to be read once more: the stored one is not empty, and this was not asked before.
    async fn is_doubted(&self, group: &ExternalId) -> Result<bool, StagingError> {
        if lock(&self.asked_again).contains(group) {
            return Ok(false);
        }
        let reads = self.stored_reads(vec![group.clone()]).await?;
        let has_members = reads
            .first()
            .is_some_and(|read| read.as_ref().is_some_and(|read| read.has_members));
        Ok(has_members && lock(&self.asked_again).insert(group.clone()))
    }

    async fn begin_again(&self, kind: Entity) -> Result<(), StagingError> {
        self.admit(0)?;
        if kind == Entity::Membership {
            lock(&self.asked_again).clear();
        }
        self.rows.restart(kind).await.map_err(staging_error)
    }

    async fn take_checkpoint(&self, state: Vec<u8>) -> Result<(), StagingError> {
        self.admit(0)?;
        if state.len() > CHECKPOINT_BYTES {
            return Err(contract(format!(
                "the state of a checkpoint has {} bytes, and may have {CHECKPOINT_BYTES}",
                state.len()
            )));
        }
        self.rows.checkpoint(state).await.map_err(staging_error)
    }
}

#[async_trait]
impl Staging for RunStaging {
    async fn stored(&self) -> Result<StoredCounts, StagingError> {
        Ok(self.scope.stored)
    }

    async fn put_users(&self, users: Vec<User>) -> Result<(), StagingError> {
        self.keep_error(self.stage_users(users).await)
    }

    async fn put_groups(&self, groups: Vec<Group>) -> Result<Vec<bool>, StagingError> {
        self.keep_error(self.stage_groups(groups).await)
    }

    async fn put_members(
        &self,
        group: ExternalId,
        users: ExternalIds,
        read_at: UnixMillis,
        part: PagePart,
    ) -> Result<MembersVerdict, StagingError> {
        self.keep_error(self.stage_members(group, users, read_at, part).await)
    }

    async fn restart(&self, kind: Entity) -> Result<(), StagingError> {
        self.keep_error(self.begin_again(kind).await)
    }

    async fn drop_group(&self, external_id: ExternalId) -> Result<(), StagingError> {
        let dropped = match self.admit(0) {
            Ok(()) => self.rows.drop_group(external_id).await.map_err(staging_error),
            Err(error) => Err(error),
        };
        self.keep_error(dropped)
    }

    async fn skip(&self, kind: Entity, external_id: String, reason: String) -> Result<(), StagingError> {
        self.keep_error(self.record_skip(kind, external_id, reason).await)
    }

    async fn checkpoint(&self, state: Vec<u8>) -> Result<(), StagingError> {
        self.keep_error(self.take_checkpoint(state).await)
    }
}

/// What the store knows of a group's members, where they were ever read.
fn last_read(read: GroupRead) -> Option<LastRead> {
    Some(LastRead {
        version: read.version,
        read_at: read.read_at?,
    })
}

fn check_version(group: &Group) -> Result<(), StagingError> {
    let id = &group.external_id;
    match &group.members_version {
        Some(MembersVersion::Tag(tag)) if tag.len() > MAX_TAG_BYTES => Err(contract(format!(
            "the version of group `{id}` has {} bytes, and may have {MAX_TAG_BYTES}",
            tag.len()
        ))),
        Some(MembersVersion::ChangedAt(time)) if i64::try_from(*time).is_err() => Err(contract(format!(
            "the version of group `{id}`, {time}, is no time in Unix milliseconds"
        ))),
        _ => Ok(()),
    }
}

fn contract(text: impl Into<String>) -> StagingError {
    StagingError::Contract(text.into())
}

/// Tells the plugin's faults from the host's.
fn staging_error(error: StoreError) -> StagingError {
    match error {
        StoreError::GroupNotPut { .. } | StoreError::ListNotOpen { .. } => contract(error.to_string()),
        StoreError::TooManyPeople { limit } => StagingError::TooManyRows { limit },
        other => StagingError::Host(Box::new(other)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
