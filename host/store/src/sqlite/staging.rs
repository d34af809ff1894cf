//! The file of one run: a thread of its own writes what is put, in the order in which it was put.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use idsync_model::{Clock, Entity, ExternalId, Group, MembersVersion, PagePart, RunId, UnixMillis, User};
use rusqlite::{CachedStatement, Connection, OptionalExtension, named_params};
use tokio::sync::{mpsc, oneshot};

use super::connection::open_run_file;
use super::files::make_private;
use super::word::{kind_number, signed, unreadable, unsigned};
use crate::{ListState, SkipCounts, StagedCounts, StagingRows, StoreError};

/// How many calls may wait for the writer: enough that reading and writing go on side by side, few enough that their
/// rows (at most 4 MiB a call) need no thought.
const QUEUE: usize = 8;

/// What the thread is asked to do.
enum Task {
    /// Something nobody waits for.
    Tell(Box<dyn FnOnce(&mut Writer) -> Result<(), StoreError> + Send>),
    /// Something with an answer.
    Ask(Box<dyn FnOnce(Result<&mut Writer, StoreError>) + Send>),
    /// Commit, close the file, end.
    Finish(oneshot::Sender<Result<(), StoreError>>),
}

/// The staging of one run.
pub(super) struct StagingFile {
    run: RunId,
    clock: Arc<dyn Clock>,
    tasks: mpsc::Sender<Task>,
    /// What went wrong and was not told yet.
    failure: Arc<Mutex<Option<StoreError>>>,
    is_finished: Mutex<bool>,
}

impl StagingFile {
    /// Makes the file and starts its writer.
    pub(super) fn create(path: &Path, run: RunId, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        make_private(path)?;
        let writer = Writer::create(path)?;
        let (tasks, received) = mpsc::channel(QUEUE);
        let failure = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failure);
        let of_run = run.clone();
        std::thread::Builder::new()
            .name("staging".to_owned())
            .spawn(move || write_all(writer, received, &of_run, &told))
            .map_err(|source| StoreError::File {
                action: "starting the writer of",
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            run,
            clock,
            tasks,
            failure,
            is_finished: Mutex::new(false),
        })
    }

    fn closed(&self) -> StoreError {
        StoreError::StagingClosed {
            run: self.run.clone(),
        }
    }

    fn take_failure(&self) -> Option<StoreError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn tell(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        if let Some(failure) = self.take_failure() {
            return Err(failure);
        }
        self.tasks
            .send(Task::Tell(Box::new(work)))
            .await
            .map_err(|_| self.closed())
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let task = Task::Ask(Box::new(move |writer| {
            // Whoever asked may have gone away.
            let _ = answer.send(writer.and_then(work));
        }));
        self.tasks.send(task).await.map_err(|_| self.closed())?;
        answered.await.map_err(|_| self.closed())?
    }
}

/// The writer's thread. After a failure nothing more is written: the first who asks is told of it.
fn write_all(
    mut writer: Writer,
    mut tasks: mpsc::Receiver<Task>,
    run: &RunId,
    failure: &Mutex<Option<StoreError>>,
) {
    let mut has_failed = false;
    let told = || {
        failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .unwrap_or_else(|| StoreError::StagingClosed { run: run.clone() })
    };
    while let Some(task) = tasks.blocking_recv() {
        match task {
            Task::Tell(work) if !has_failed => {
                if let Err(error) = work(&mut writer) {
                    has_failed = true;
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
            Task::Tell(_) => {}
            Task::Ask(work) if has_failed => work(Err(told())),
            Task::Ask(work) => work(Ok(&mut writer)),
            Task::Finish(answer) => {
                let finished = if has_failed { Err(told()) } else { writer.finish() };
                drop(writer);
                let _ = answer.send(finished);
                return;
            }
        }
    }
}

#[async_trait]
impl StagingRows for StagingFile {
    fn run(&self) -> &RunId {
        &self.run
    }

    async fn put_users(&self, users: Vec<User>) -> Result<(), StoreError> {
        self.tell(move |writer| writer.put_users(&users)).await
    }

    async fn put_groups(&self, groups: Vec<(Group, bool)>) -> Result<Vec<ListState>, StoreError> {
        self.ask(move |writer| writer.put_groups(&groups)).await
    }

    async fn put_members(
        &self,
        group: ExternalId,
        users: Vec<ExternalId>,
        read_at: UnixMillis,
        part: PagePart,
    ) -> Result<(), StoreError> {
        self.tell(move |writer| writer.put_members(&group, &users, read_at, part))
            .await
    }

    async fn list_len(&self, group: &ExternalId) -> Result<u64, StoreError> {
        let group = group.clone();
        self.ask(move |writer| writer.list_len(&group)).await
    }

    async fn restart(&self, kind: Entity) -> Result<(), StoreError> {
        self.tell(move |writer| writer.restart(kind)).await
    }

    async fn drop_group(&self, group: ExternalId) -> Result<(), StoreError> {
        self.tell(move |writer| writer.drop_group(&group)).await
    }

    async fn skip(&self, kind: Entity, external_id: String, reason: String) -> Result<(), StoreError> {
        self.tell(move |writer| writer.skip(kind, &external_id, &reason))
            .await
    }

    async fn checkpoint(&self, state: Vec<u8>) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.ask(move |writer| writer.checkpoint(&state, now)).await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.ask(|_| Ok(())).await
    }

    async fn counts(&self) -> Result<StagedCounts, StoreError> {
        self.ask(|writer| writer.counts()).await
    }

    async fn skip_counts(&self) -> Result<SkipCounts, StoreError> {
        self.ask(|writer| skip_counts(&writer.file)).await
    }

    async fn unclosed_groups(&self, limit: u64) -> Result<Vec<ExternalId>, StoreError> {
        self.ask(move |writer| writer.unclosed_groups(limit)).await
    }

    async fn finish(&self) -> Result<(), StoreError> {
        if *self.is_finished.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        self.tasks
            .send(Task::Finish(answer))
            .await
            .map_err(|_| self.closed())?;
        answered.await.map_err(|_| self.closed())??;
        *self.is_finished.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Ok(())
    }
}

/// The file, in a transaction from checkpoint to checkpoint.
struct Writer {
    file: Connection,
    next_person: i64,
}

impl Writer {
    fn create(path: &Path) -> Result<Self, StoreError> {
        let file = open_run_file(path)?;
        file.pragma_update(None, "locking_mode", "exclusive")?;
        file.execute_batch(include_str!("sql/staging.sql"))?;
        file.execute_batch("BEGIN")?;
        Ok(Self { file, next_person: 1 })
    }

    fn put_users(&mut self, users: &[User]) -> Result<(), StoreError> {
        const PUT: &str = "
            INSERT INTO staged_user (
                person_no, email, username, display_name, given_name, family_name, active, status
            )
            VALUES (
                :person_no, :email, :username, :display_name, :given_name, :family_name, :active, :status
            )
            ON CONFLICT (person_no) DO UPDATE SET
                email = excluded.email,
                username = excluded.username,
                display_name = excluded.display_name,
                given_name = excluded.given_name,
                family_name = excluded.family_name,
                active = excluded.active,
                status = excluded.status";
        let mut people = People::new(&self.file, &mut self.next_person)?;
        let mut put = self.file.prepare_cached(PUT)?;
        for user in users {
            let person_no = people.number(&user.external_id)?;
            // By position, in the order of the names above: looking up names is a good part of a bulk load's time.
            put.execute((
                person_no,
                &user.email,
                &user.username,
                &user.display_name,
                &user.given_name,
                &user.family_name,
                user.active,
                &user.provider_status,
            ))?;
        }
        Ok(())
    }

    fn put_groups(&mut self, groups: &[(Group, bool)]) -> Result<Vec<ListState>, StoreError> {
        const PUT: &str = "
            INSERT INTO staged_group (
                external_id, name, description, provider_kind, changed_at, tag, must_fetch
            )
            VALUES (:external_id, :name, :description, :provider_kind, :changed_at, :tag, :must_fetch)
            ON CONFLICT (external_id) DO UPDATE SET
                name = excluded.name,
                description = excluded.description,
                provider_kind = excluded.provider_kind,
                changed_at = iif(list_state = 0, excluded.changed_at, changed_at),
                tag = iif(list_state = 0, excluded.tag, tag),
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
        Ok(states)
    }

    fn put_members(
        &mut self,
        group: &ExternalId,
        users: &[ExternalId],
        read_at: UnixMillis,
        part: PagePart,
    ) -> Result<(), StoreError> {
        const FIND: &str = "SELECT group_no, list_state FROM staged_group WHERE external_id = :group";
        const MARK: &str = "
            UPDATE staged_group
            SET list_state = :list_state, read_at = iif(:is_first, :read_at, read_at)
            WHERE group_no = :group_no";
        const PUT: &str = "
            INSERT INTO staged_member (group_no, person_no)
            VALUES (:group_no, :person_no)
            ON CONFLICT DO NOTHING";
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
        let mut people = People::new(&self.file, &mut self.next_person)?;
        let mut put = self.file.prepare_cached(PUT)?;
        for user in users {
            let person_no = people.number(user)?;
            put.execute((group_no, person_no))?;
        }
        drop((people, put));
        self.file.prepare_cached(MARK)?.execute(named_params! {
            ":list_state": if part.last { 2 } else { 1 },
            ":is_first": part.first,
            ":read_at": read_at.0,
            ":group_no": group_no,
        })?;
        Ok(())
    }

    fn drop_list(&self, group_no: i64) -> Result<(), StoreError> {
        self.file
            .prepare_cached("DELETE FROM staged_member WHERE group_no = :group_no")?
            .execute(named_params! { ":group_no": group_no })?;
        Ok(())
    }

    fn list_len(&self, group: &ExternalId) -> Result<u64, StoreError> {
        const COUNT: &str = "
            SELECT count(*)
            FROM staged_group AS g
            JOIN staged_member AS m ON m.group_no = g.group_no
            WHERE g.external_id = :group";
        let count = self
            .file
            .prepare_cached(COUNT)?
            .query_row(named_params! { ":group": group.as_str() }, |row| row.get(0))?;
        Ok(unsigned(count))
    }

    fn restart(&self, kind: Entity) -> Result<(), StoreError> {
        match kind {
            Entity::User => self.file.execute("DELETE FROM staged_user", [])?,
            Entity::Group => self.file.execute("UPDATE staged_group SET is_listed = 0", [])?,
            Entity::Membership => {
                self.file.execute("DELETE FROM staged_member", [])?;
                self.file
                    .execute("UPDATE staged_group SET list_state = 0, read_at = NULL", [])?
            }
        };
        self.file.execute(
            "DELETE FROM staged_skip WHERE kind = :kind",
            named_params! { ":kind": kind_number(kind) },
        )?;
        Ok(())
    }

    fn drop_group(&self, group: &ExternalId) -> Result<(), StoreError> {
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

    fn skip(&self, kind: Entity, external_id: &str, reason: &str) -> Result<(), StoreError> {
        const SKIP: &str = "
            INSERT INTO staged_skip (kind, external_id, reason)
            VALUES (:kind, :external_id, :reason)
            ON CONFLICT DO NOTHING";
        self.file.prepare_cached(SKIP)?.execute(named_params! {
            ":kind": kind_number(kind),
            ":external_id": external_id,
            ":reason": reason,
        })?;
        Ok(())
    }

    fn checkpoint(&self, state: &[u8], now: UnixMillis) -> Result<(), StoreError> {
        const KEEP: &str = "
            INSERT INTO staged_checkpoint (only, state, taken_at)
            VALUES (1, :state, :now)
            ON CONFLICT (only) DO UPDATE SET state = excluded.state, taken_at = excluded.taken_at";
        self.file
            .execute(KEEP, named_params! { ":state": state, ":now": now.0 })?;
        self.file.execute_batch("COMMIT; BEGIN")?;
        Ok(())
    }

    fn counts(&self) -> Result<StagedCounts, StoreError> {
        const COUNT: &str = "
            SELECT
                (SELECT count(*) FROM staged_user),
                (SELECT count(*) FROM staged_group WHERE is_listed AND NOT is_dropped),
                (SELECT count(*) FROM staged_member)";
        let counts = self.file.query_row(COUNT, [], |row| {
            Ok(StagedCounts {
                users: unsigned(row.get(0)?),
                groups: unsigned(row.get(1)?),
                members: unsigned(row.get(2)?),
            })
        })?;
        Ok(counts)
    }

    fn unclosed_groups(&self, limit: u64) -> Result<Vec<ExternalId>, StoreError> {
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

    fn finish(&self) -> Result<(), StoreError> {
        self.file.execute_batch("COMMIT")?;
        Ok(())
    }
}

/// Gives each user's id a short number within the run.
struct People<'a> {
    find: CachedStatement<'a>,
    add: CachedStatement<'a>,
    next: &'a mut i64,
}

impl<'a> People<'a> {
    fn new(file: &'a Connection, next: &'a mut i64) -> Result<Self, StoreError> {
        const FIND: &str = "
            SELECT person_no
            FROM staged_person
            WHERE external_id = :external_id";
        const ADD: &str = "
            INSERT INTO staged_person (external_id, person_no)
            VALUES (:external_id, :person_no)";
        Ok(Self {
            find: file.prepare_cached(FIND)?,
            add: file.prepare_cached(ADD)?,
            next,
        })
    }

    /// The number of an id, a new one where it has none.
    fn number(&mut self, external_id: &ExternalId) -> Result<i64, StoreError> {
        let found = self
            .find
            .query_row([external_id.as_str()], |row| row.get(0))
            .optional()?;
        if let Some(person_no) = found {
            return Ok(person_no);
        }
        let person_no = *self.next;
        self.add.execute((external_id.as_str(), person_no))?;
        *self.next += 1;
        Ok(person_no)
    }
}

/// What was skipped or mended, each id counted once.
pub(super) fn skip_counts(run_file: &Connection) -> Result<SkipCounts, StoreError> {
    const COUNT: &str = "
        SELECT
            (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 1),
            (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 2),
            (SELECT count(DISTINCT external_id) FROM staged_skip WHERE kind = 3)";
    let counts = run_file.query_row(COUNT, [], |row| {
        Ok(SkipCounts {
            users: unsigned(row.get(0)?),
            groups: unsigned(row.get(1)?),
            memberships: unsigned(row.get(2)?),
        })
    })?;
    Ok(counts)
}
