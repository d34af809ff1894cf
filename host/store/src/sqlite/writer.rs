//! The rows of one run, in memory or in its file, written in a transaction from checkpoint to checkpoint.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use idsync_model::{
    Entity, ExternalId, ExternalIds, Group, MembersVersion, PagePart, RunId, Skip, TenantName, UnixMillis,
    User,
};
use roaring::RoaringTreemap;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::connection::open_run_file;
use super::numbers::Numbers;
use super::pool::{Lent, Pool};
use super::resuming::Head;
use super::staged_rows::StagedRows;
use super::standing::Directory;
use super::word::{kind_number, signed, unreadable, unsigned, word};
use super::{key_set, run_file, runs, scope, small};
use crate::{ListState, SkipCounts, StagedCounts, StoreError};

/// Asks the store whether a run may still write.
pub(super) struct LeaseCheck {
    pub(super) store: Lent,
    pub(super) tenant: TenantName,
    pub(super) run: RunId,
}

impl LeaseCheck {
    fn may_write(&self) -> Result<(), StoreError> {
        scope::run(&self.store, &self.tenant, &self.run).map(drop)
    }
}

/// Where rows are written.
pub(super) enum Rows {
    /// The run's own file.
    File(Connection),
    /// The memory of a connection to the store, as long as they take no more pages.
    Memory { store: Lent, most_pages: i64 },
}

impl Rows {
    /// None yet, in memory where they may take a page of it.
    pub(super) fn none(path: &Path, small: &Arc<Pool>, most_pages: i64) -> Result<Self, StoreError> {
        if most_pages > 0 {
            let store = small.take()?;
            return Ok(Self::Memory { store, most_pages });
        }
        run_file::create(path)?;
        Ok(Self::File(open_alone(path)?))
    }
}

impl Deref for Rows {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::File(file) => file,
            Self::Memory { store, .. } => store,
        }
    }
}

/// The rows, in a transaction from checkpoint to checkpoint. No other process can read or write a file while this one has
/// it, so who takes the lease meanwhile begins another one, and what is written here counts no more.
pub(super) struct Writer {
    /// The run's file, or what stands for it in memory until there is a checkpoint.
    pub(super) file: Rows,
    path: PathBuf,
    lease: LeaseCheck,
    directory: Directory,
    numbers: Numbers,
    /// Those of a file that is gone on with are read when they are needed: until then others wait for the store.
    rows: Option<StagedRows>,
}

impl Writer {
    /// Begins where there are no rows yet, of which the run's file is to be at `path`.
    pub(super) fn begin(rows: Rows, path: &Path, head: &Head, lease: LeaseCheck) -> Result<Self, StoreError> {
        const HEAD: &str = "
            INSERT INTO staged_head (
                only, fence, boot_id, mode, fingerprint, plugin_digest, contract, generation, standings_of, read_began_at
            )
            VALUES (
                1, :fence, :boot_id, :mode, :fingerprint, :plugin_digest, :contract, :generation, :generation,
                :read_began_at
            )";
        rows.prepare_cached(HEAD)?.execute(named_params! {
            ":fence": head.fence,
            ":boot_id": head.boot,
            ":mode": word(head.with.mode),
            ":fingerprint": head.with.fingerprint,
            ":plugin_digest": head.with.plugin_digest,
            ":contract": head.with.contract,
            ":generation": head.generation,
            ":read_began_at": head.read_began_at.0,
        })?;
        Self::go_on(rows, path, lease)
    }

    /// Goes on with a file that another run left at its last checkpoint.
    pub(super) fn resume(path: &Path, fence: i64, lease: LeaseCheck) -> Result<Self, StoreError> {
        let file = open_alone(path)?;
        file.prepare_cached("UPDATE staged_head SET fence = :fence, standings_of = NULL")?
            .execute(named_params! { ":fence": fence })?;
        Self::go_on(Rows::File(file), path, lease)
    }

    fn go_on(file: Rows, path: &Path, lease: LeaseCheck) -> Result<Self, StoreError> {
        file.execute_batch("BEGIN")?;
        let scope = scope::run(&lease.store, &lease.tenant, &lease.run)?;
        Ok(Self {
            directory: Directory::of(&lease.store, scope.directory_key)?,
            numbers: Numbers::of(&file)?,
            rows: None,
            path: path.to_owned(),
            file,
            lease,
        })
    }

    pub(super) fn put_users(&mut self, users: &[User]) -> Result<(), StoreError> {
        const PUT: &str = "
            INSERT OR REPLACE INTO staged_user (
                row_no, person_no, external_id,
                email, username, display_name, given_name, family_name, active, status,
                user_key, was_live, differs
            )
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        let ids: Vec<&str> = users.iter().map(|user| user.external_id.as_str()).collect();
        let numbers = self.numbers.give_all(&self.file, &ids)?;
        let standings = self.directory.look_up(&self.lease.store, users)?;
        let rows = staged_rows(&mut self.rows, &self.file)?;
        let mut put = self.file.prepare_cached(PUT)?;
        for ((user, person_no), standing) in users.iter().zip(numbers).zip(standings) {
            // By position: looking up names is a good part of a bulk load's time.
            put.execute((
                rows.give(person_no),
                person_no,
                user.external_id.as_str(),
                &user.email,
                &user.username,
                &user.display_name,
                &user.given_name,
                &user.family_name,
                user.active,
                &user.provider_status,
                standing.user_key,
                standing.was_live,
                standing.differs,
            ))?;
        }
        drop(put);
        self.spill_where_large()
    }

    /// Moves rows that are in memory to the run's file.
    fn spill(&mut self) -> Result<(), StoreError> {
        if let Rows::Memory { store, .. } = &self.file {
            // Whoever took the directory over, or removed it, has dropped its files.
            self.lease.may_write()?;
            store.execute_batch("COMMIT")?;
            small::spill(store, &self.path)?;
            let file = open_alone(&self.path)?;
            file.execute_batch("BEGIN")?;
            self.file = Rows::File(file);
        }
        Ok(())
    }

    fn spill_where_large(&mut self) -> Result<(), StoreError> {
        match &self.file {
            Rows::Memory { store, most_pages } if small::pages(store)? > *most_pages => self.spill(),
            _ => Ok(()),
        }
    }

    pub(super) fn leave_out_users(&mut self, users: &[ExternalId]) -> Result<(), StoreError> {
        let rows = staged_rows(&mut self.rows, &self.file)?;
        let mut leave_out = self
            .file
            .prepare_cached("DELETE FROM staged_user WHERE row_no = ?1")?;
        for user in users {
            let person_no = self.numbers.find(&self.file, user.as_str())?;
            if let Some(row) = person_no.and_then(|person_no| rows.find(person_no)) {
                leave_out.execute([row])?;
            }
        }
        Ok(())
    }

    /// The version that a group was first put with stays: its members may have been asked for since, so that a later
    /// one could be newer than they are.
    pub(super) fn put_groups(&mut self, groups: &[(Group, bool)]) -> Result<Vec<ListState>, StoreError> {
        const PUT: &str = "
            INSERT INTO staged_group (
                external_id, name, description, provider_kind, changed_at, tag, must_fetch
            )
            VALUES (:external_id, :name, :description, :provider_kind, :changed_at, :tag, :must_fetch)
            ON CONFLICT (external_id) DO UPDATE SET
                name = excluded.name,
                description = excluded.description,
                provider_kind = excluded.provider_kind,
                must_fetch = iif(list_state = 0, excluded.must_fetch, must_fetch),
                is_listed = 1,
                is_dropped = 0
            RETURNING list_state";
        let mut statement = self.file.prepare_cached(PUT)?;
        let mut states = Vec::with_capacity(groups.len());
        for (group, must_fetch) in groups {
            let (changed_at, tag) = match &group.members_version {
                Some(MembersVersion::ChangedAt(time)) => (Some(signed(*time)), None),
                Some(MembersVersion::Tag(tag)) => (None, Some(tag)),
                None => (None, None),
            };
            let state: i64 = statement.query_row(
                named_params! {
                    ":external_id": group.external_id.as_str(),
                    ":name": group.name,
                    ":description": group.description,
                    ":provider_kind": group.provider_kind,
                    ":changed_at": changed_at,
                    ":tag": tag,
                    ":must_fetch": must_fetch,
                },
                |row| row.get(0),
            )?;
            states.push(match state {
                0 => ListState::Unread,
                1 => ListState::Open,
                _ => ListState::Closed,
            });
        }
        drop(statement);
        self.spill_where_large()?;
        Ok(states)
    }

    pub(super) fn put_members(
        &mut self,
        group: &ExternalId,
        users: &ExternalIds,
        read_at: UnixMillis,
        part: PagePart,
    ) -> Result<(), StoreError> {
        const FIND: &str = "SELECT group_no, list_state FROM staged_group WHERE external_id = :group";
        const MARK: &str = "
            UPDATE staged_group
            SET list_state = :list_state, read_at = iif(:is_first, :read_at, read_at)
            WHERE group_no = :group_no";
        const PUT: &str = "
            INSERT INTO staged_list_part (group_no, part_no, members, people)
            SELECT :group_no, coalesce(max(part_no), 0) + 1, :members, :people
            FROM staged_list_part
            WHERE group_no = :group_no";
        let (group_no, list_state): (i64, i64) = self
            .file
            .prepare_cached(FIND)?
            .query_row(named_params! { ":group": group.as_str() }, |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?
            .ok_or_else(|| StoreError::GroupNotPut { group: group.clone() })?;
        if part.first && list_state != 0 {
            self.drop_list(group_no)?;
        }
        if !part.first && list_state != 1 {
            return Err(StoreError::ListNotOpen { group: group.clone() });
        }
        if !users.is_empty() {
            let ids: Vec<&str> = users.iter().collect();
            let numbers = self.numbers.give_all(&self.file, &ids)?;
            let numbers = key_set::of(numbers.into_iter().map(key_set::member).collect());
            self.file.prepare_cached(PUT)?.execute(named_params! {
                ":group_no": group_no,
                ":members": signed(numbers.len()),
                ":people": key_set::to_bytes(&numbers),
            })?;
        }
        self.file.prepare_cached(MARK)?.execute(named_params! {
            ":list_state": if part.last { 2 } else { 1 },
            ":is_first": part.first,
            ":read_at": read_at.0,
            ":group_no": group_no,
        })?;
        self.spill_where_large()
    }

    fn drop_list(&self, group_no: i64) -> Result<(), StoreError> {
        self.file
            .prepare_cached("DELETE FROM staged_list_part WHERE group_no = :group_no")?
            .execute(named_params! { ":group_no": group_no })?;
        Ok(())
    }

    pub(super) fn list_len(&self, group: &ExternalId) -> Result<u64, StoreError> {
        const FIND: &str = "SELECT group_no FROM staged_group WHERE external_id = :group";
        let group_no: Option<i64> = self
            .file
            .prepare_cached(FIND)?
            .query_row(named_params! { ":group": group.as_str() }, |row| row.get(0))
            .optional()?;
        match group_no {
            Some(group_no) => Ok(staged_list(&self.file, group_no)?.len()),
            None => Ok(0),
        }
    }

    pub(super) fn restart(&mut self, kind: Entity) -> Result<(), StoreError> {
        match kind {
            Entity::User => {
                self.rows = Some(StagedRows::default());
                self.file.prepare_cached("DELETE FROM staged_user")?.execute([])?
            }
            Entity::Group => self
                .file
                .prepare_cached("UPDATE staged_group SET is_listed = 0")?
                .execute([])?,
            Entity::Membership => {
                self.file
                    .prepare_cached("DELETE FROM staged_list_part")?
                    .execute([])?;
                self.file
                    .prepare_cached("UPDATE staged_group SET list_state = 0, read_at = NULL")?
                    .execute([])?
            }
        };
        self.file
            .prepare_cached("DELETE FROM staged_skip WHERE kind = :kind")?
            .execute(named_params! { ":kind": kind_number(kind) })?;
        Ok(())
    }

    pub(super) fn drop_group(&self, group: &ExternalId) -> Result<(), StoreError> {
        const DROP: &str = "
            UPDATE staged_group
            SET is_dropped = 1, list_state = 0, read_at = NULL
            WHERE external_id = :group
            RETURNING group_no";
        let group_no: i64 = self
            .file
            .prepare_cached(DROP)?
            .query_row(named_params! { ":group": group.as_str() }, |row| row.get(0))
            .optional()?
            .ok_or_else(|| StoreError::GroupNotPut { group: group.clone() })?;
        self.drop_list(group_no)
    }

    pub(super) fn skip(&mut self, kind: Entity, external_id: &str, reason: &str) -> Result<(), StoreError> {
        const SKIP: &str = "
            INSERT INTO staged_skip (kind, external_id, reason)
            VALUES (:kind, :external_id, :reason)
            ON CONFLICT DO NOTHING";
        self.file.prepare_cached(SKIP)?.execute(named_params! {
            ":kind": kind_number(kind),
            ":external_id": external_id,
            ":reason": reason,
        })?;
        self.spill_where_large()
    }

    pub(super) fn checkpoint(&mut self, state: &[u8], now: UnixMillis) -> Result<(), StoreError> {
        const KEEP: &str = "
            INSERT INTO staged_checkpoint (only, state, taken_at)
            VALUES (1, :state, :now)
            ON CONFLICT (only) DO UPDATE SET state = excluded.state, taken_at = excluded.taken_at";
        self.lease.may_write()?;
        self.spill()?;
        self.file
            .prepare_cached(KEEP)?
            .execute(named_params! { ":state": state, ":now": now.0 })?;
        self.file.execute_batch("COMMIT; BEGIN")?;
        Ok(())
    }

    /// Who was put in a list that another took the place of counts as a member: the file has their id.
    pub(super) fn counts(&self) -> Result<StagedCounts, StoreError> {
        const COUNT: &str = "
            SELECT
                (SELECT count(*) FROM staged_user),
                (SELECT count(*) FROM staged_group WHERE is_listed AND NOT is_dropped),
                max(
                    (SELECT coalesce(sum(members), 0) FROM staged_list_part),
                    (SELECT coalesce(max(person_no), 0) FROM staged_person)
                        - (SELECT count(*) FROM staged_user)
                )";
        let counts = self.file.prepare_cached(COUNT)?.query_row([], |row| {
            Ok(StagedCounts {
                users: unsigned(row.get(0)?),
                groups: unsigned(row.get(1)?),
                members: unsigned(row.get(2)?),
            })
        })?;
        Ok(counts)
    }

    pub(super) fn unclosed_groups(&self, limit: u64) -> Result<Vec<ExternalId>, StoreError> {
        const UNCLOSED: &str = "
            SELECT external_id
            FROM staged_group
            WHERE is_listed AND NOT is_dropped AND must_fetch AND list_state <> 2
            ORDER BY external_id
            LIMIT :limit";
        let mut statement = self.file.prepare_cached(UNCLOSED)?;
        let mut rows = statement.query(named_params! { ":limit": signed(limit) })?;
        let mut groups = Vec::new();
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            groups.push(ExternalId::new(id).map_err(|e| unreadable("a group's id", e))?);
        }
        Ok(groups)
    }

    /// Commits all of it, for a plan. Answers the rows where they are in memory.
    pub(super) fn finish(self) -> Result<Option<Lent>, StoreError> {
        self.file
            .execute_batch("UPDATE staged_head SET is_finished = 1; COMMIT")?;
        match self.file {
            Rows::File(_) => Ok(None),
            Rows::Memory { store, .. } => Ok(Some(store)),
        }
    }

    /// Goes back to the last checkpoint.
    pub(super) fn roll_back(&self) -> Result<(), StoreError> {
        // Rows that could not be moved to a file are in no transaction any more.
        if !self.file.is_autocommit() {
            self.file.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }
}

/// What was skipped or mended: how many, and the first of each kind.
pub(super) fn skipped(rows: &Connection) -> Result<(SkipCounts, Vec<Skip>), StoreError> {
    Ok((skip_counts(rows)?, runs::staged_skips(rows)?))
}

/// Opens the file of a run as the one who writes it.
fn open_alone(path: &Path) -> Result<Connection, StoreError> {
    let file = open_run_file(path)?;
    file.pragma_update(None, "locking_mode", "exclusive")?;
    Ok(file)
}

fn staged_rows<'a>(
    rows: &'a mut Option<StagedRows>,
    file: &Connection,
) -> Result<&'a mut StagedRows, StoreError> {
    match rows {
        Some(rows) => Ok(rows),
        unread => Ok(unread.insert(StagedRows::of(file)?)),
    }
}

/// The numbers of those whom the parts of a list name.
pub(super) fn staged_list(run_file: &Connection, group_no: i64) -> Result<RoaringTreemap, StoreError> {
    const PARTS: &str = "
        SELECT people
        FROM staged_list_part
        WHERE group_no = :group_no";
    let mut parts = run_file.prepare_cached(PARTS)?;
    let mut parts = parts.query(named_params! { ":group_no": group_no })?;
    let mut list = RoaringTreemap::new();
    while let Some(part) = parts.next()? {
        list |= key_set::from_column(part, 0)?;
    }
    Ok(list)
}

/// What was skipped or mended, each id counted once.
pub(super) fn skip_counts(run_file: &Connection) -> Result<SkipCounts, StoreError> {
    const COUNT: &str = "
        SELECT
            (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 1),
            (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 2),
            (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 3)";
    let counts = run_file.prepare_cached(COUNT)?.query_row([], |row| {
        Ok(SkipCounts {
            users: unsigned(row.get(0)?),
            groups: unsigned(row.get(1)?),
            memberships: unsigned(row.get(2)?),
        })
    })?;
    Ok(counts)
}
