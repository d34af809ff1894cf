//! The staging of one run: a thread of its own writes what is put, in the order in which it was put.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use idsync_model::{Clock, Entity, ExternalId, ExternalIds, Group, PagePart, RunId, Skip, UnixMillis, User};
use tokio::sync::{mpsc, oneshot};

use super::lock;
use super::pool::Lent;
use super::writer::{Writer, skip_counts, skipped};
use crate::{ListState, SkipCounts, StagedCounts, StagingRows, StoreError};

/// How many calls may wait for the writer: enough that reading and writing go on side by side, few enough that their
/// rows (at most 4 MiB a call) need no thought.
const QUEUE: usize = 8;

/// Work that nobody waits for.
type Told = Box<dyn FnOnce(&mut Writer) -> Result<(), StoreError> + Send>;

/// Work that hands over its answer itself; it is given the error instead when the writer has failed before. Returns
/// whether it succeeded.
type Asked = Box<dyn FnOnce(Result<&mut Writer, StoreError>) -> bool + Send>;

/// What was skipped or mended: how many, and the first of each kind.
type Skipped = (SkipCounts, Vec<Skip>);

/// What the thread is asked to do.
enum Task {
    /// Something nobody waits for.
    Tell(Told),
    /// Something with an answer.
    Ask(Asked),
    /// Commit, close the file, end.
    Finish(oneshot::Sender<Result<Option<Lent>, StoreError>>),
    /// Go back to the last checkpoint, close the file, end. Answers what was skipped up to now.
    Leave(oneshot::Sender<Result<Skipped, StoreError>>),
}

/// The staging of one run.
pub(super) struct Staging {
    run: RunId,
    clock: Arc<dyn Clock>,
    tasks: mpsc::Sender<Task>,
    /// What went wrong and was not told yet.
    failure: Arc<Mutex<Option<StoreError>>>,
    is_finished: Mutex<bool>,
    /// Once it is finished, the rows that are in memory.
    rows: Mutex<Option<Lent>>,
    /// Held by whoever works with the rows.
    alone: Mutex<()>,
}

impl Staging {
    /// Starts the writer's thread. `path` is where the run's file is, or is going to be.
    pub(super) fn start(
        writer: Writer,
        path: &Path,
        run: RunId,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
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
            rows: Mutex::new(None),
            alone: Mutex::new(()),
        })
    }

    /// Leaves the file as it was at its last checkpoint, for a later run. `None` when it was finished before.
    pub(super) async fn leave(&self) -> Result<Option<Skipped>, StoreError> {
        if *self.is_finished.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(None);
        }
        let (answer, answered) = oneshot::channel();
        self.tasks
            .send(Task::Leave(answer))
            .await
            .map_err(|_| self.closed())?;
        answered.await.map_err(|_| self.closed())?.map(Some)
    }

    /// Keeps others from looking for the rows while they are worked with.
    pub(super) fn alone(&self) -> MutexGuard<'_, ()> {
        lock(&self.alone)
    }

    /// The rows of one that is finished, where they are in memory. Who takes them and does not keep them drops them.
    pub(super) fn take_rows(&self) -> Option<Lent> {
        lock(&self.rows).take()
    }

    /// Gives back what was taken.
    pub(super) fn keep_rows(&self, rows: Lent) {
        *lock(&self.rows) = Some(rows);
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
            let done = writer.and_then(work);
            let has_succeeded = done.is_ok();
            // Whoever asked may have gone away.
            let _ = answer.send(done);
            has_succeeded
        }));
        self.tasks.send(task).await.map_err(|_| self.closed())?;
        answered.await.map_err(|_| self.closed())?
    }
}

/// The writer's thread. After a failure nothing more is written. Whoever asked for what failed is told of it; of work
/// that nobody waited for, the first who asks then.
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
            Task::Ask(work) if has_failed => {
                work(Err(told()));
            }
            Task::Ask(work) => has_failed = !work(Ok(&mut writer)),
            Task::Finish(answer) => {
                // From here on a put is refused rather than lost.
                tasks.close();
                let finished = if has_failed { Err(told()) } else { writer.finish() };
                let _ = answer.send(finished);
                return;
            }
            Task::Leave(answer) => {
                tasks.close();
                let skipped = skipped(&writer.file);
                let left = writer.roll_back().and(skipped);
                drop(writer);
                let _ = answer.send(left);
                return;
            }
        }
    }
}

#[async_trait]
impl StagingRows for Staging {
    fn run(&self) -> &RunId {
        &self.run
    }

    async fn put_users(&self, users: Vec<User>) -> Result<(), StoreError> {
        self.tell(move |writer| writer.put_users(&users)).await
    }

    async fn leave_out_users(&self, users: Vec<ExternalId>) -> Result<(), StoreError> {
        self.tell(move |writer| writer.leave_out_users(&users)).await
    }

    async fn put_groups(&self, groups: Vec<(Group, bool)>) -> Result<Vec<ListState>, StoreError> {
        self.ask(move |writer| writer.put_groups(&groups)).await
    }

    async fn put_members(
        &self,
        group: ExternalId,
        users: ExternalIds,
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
        *lock(&self.rows) = answered.await.map_err(|_| self.closed())??;
        *self.is_finished.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Ok(())
    }
}
