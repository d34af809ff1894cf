//! The store on SQLite: one file in the data directory, and one beside it for each run.
//!
//! One connection writes, a few read, and an apply has one of its own, a large one two; all of them work on threads that
//! may block. What a run reads goes to tables of the run's own, in memory or in its file, where its plan is made too, so
//! that other runs never wait for it.

mod apply;
mod approval;
mod backup;
mod block;
mod connection;
mod directories;
mod export;
mod feed;
mod feed_mark;
mod feed_rows;
mod files;
mod hold;
mod ids;
mod key_set;
mod leases;
mod numbers;
mod planner;
mod pool;
mod port;
mod purge;
mod recent;
mod removal;
mod resuming;
mod rotation;
mod run_file;
mod runs;
mod schedules;
mod scope;
mod small;
mod staged_rows;
mod staging;
mod standing;
mod telling;
mod tenants;
mod to_version_4;
mod vault;
mod word;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use idsync_model::{Clock, RunId, Skip};
use rusqlite::Connection;

use crate::{SkipCounts, StagingRows, Store, StoreError};
use files::{DataDir, remove_database};
use pool::{Lent, Pool};
use staging::Staging;

/// So many pages of 8 KiB the rows of a run take in memory before they go to a file: those of some thousand users.
const SMALL_PAGES: i64 = 256;

/// The store of one data directory.
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    files: DataDir,
    clock: Arc<dyn Clock>,
    writer: Mutex<Connection>,
    /// How many applies wait for it.
    applies_waiting: AtomicUsize,
    /// Connections that only read.
    readers: Arc<Pool>,
    /// Connections that plan and apply what lies in a run's file.
    appliers: Arc<Pool>,
    /// Connections that have the rows of a small run in memory, and plan and apply them.
    small: Arc<Pool>,
    /// So many pages of a run's rows may be in memory.
    small_pages: i64,
    /// The stagings of runs that have not ended.
    stagings: Mutex<HashMap<RunId, Arc<Staging>>>,
    /// This boot of the machine, where it is known.
    boot: Option<String>,
}

/// A lock that a panic left is taken as it is: a transaction that was open is rolled back by then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Works on a thread that may block. A panic there is a panic here.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StoreError::ShuttingDown),
    }
}

impl SqliteStore {
    /// Opens the store of a data directory, which is made (mode 0700) where there is none. A store of an older version
    /// is brought up to this one after a copy of it was made.
    pub fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StoreError> {
        Self::open_in(data_dir, clock, resuming::boot_id(), SMALL_PAGES)
    }

    fn open_in(
        data_dir: &Path,
        clock: Arc<dyn Clock>,
        boot: Option<String>,
        small_pages: i64,
    ) -> Result<Arc<dyn Store>, StoreError> {
        let files = DataDir::open(data_dir)?;
        let writer = connection::open_writer(&files, &*clock)?;
        let pool = |open, tidy| Pool::new(files.database(), open, tidy);
        let readers = pool(connection::open_reader, |_| Ok(true));
        let appliers = pool(connection::open_for_apply, connection::detach_run_file);
        let small = pool(small::open, small::clear);
        Ok(Arc::new(Self {
            shared: Arc::new(Shared {
                files,
                clock,
                writer: Mutex::new(writer),
                applies_waiting: AtomicUsize::new(0),
                readers,
                appliers,
                small,
                small_pages,
                stagings: Mutex::new(HashMap::new()),
                boot,
            }),
        }))
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || work(&mut lock(&shared.writer), &shared)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || work(&mut *shared.readers.take()?)).await
    }

    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || work(&shared)).await
    }

    /// Closes the staging of a run that ends, and reads what it skipped. One that is to be kept goes back to its last
    /// checkpoint.
    async fn close_staging(&self, run: &RunId, keeps: bool) -> Result<(SkipCounts, Vec<Skip>), StoreError> {
        let staging = lock(&self.shared.stagings).remove(run);
        if let Some(staging) = &staging {
            let closed = if keeps {
                staging.leave().await
            } else {
                staging.finish().await.map(|()| None)
            };
            match closed {
                Ok(Some(skipped)) => return Ok(skipped),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%run, %error, "the staging of a run that ends had failed");
                    return Ok((SkipCounts::default(), Vec::new()));
                }
            }
        }
        let run = run.clone();
        self.beside(move |shared| {
            if let Some(rows) = staging.and_then(|staging| staging.take_rows()) {
                return writer::skipped(&rows);
            }
            let path = shared.files.staging(&run);
            if !path.exists() {
                return Ok((SkipCounts::default(), Vec::new()));
            }
            writer::skipped(&connection::open_run_file(&path)?)
        })
        .await
    }
}

impl Shared {
    /// Works with the store and the rows of a run that has read all, wherever they are. The writer may be locked in the
    /// work; who has it may not ask for this.
    fn with_rows<T>(
        &self,
        run: &RunId,
        work: impl FnOnce(&mut Lent) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let staging = lock(&self.stagings).get(run).cloned();
        let _alone = staging.as_ref().map(|staging| staging.alone());
        if let Some(staging) = &staging
            && let Some(mut rows) = staging.take_rows()
        {
            let done = work(&mut rows);
            staging.keep_rows(rows);
            return done;
        }
        let mut store = self.appliers.take()?;
        connection::attach_run_file(&store, &self.files.staging(run))?;
        work(&mut store)
    }

    /// Writes the rows of a run that are in memory to its file, for whom they must lie there.
    fn spill(&self, run: &RunId) -> Result<(), StoreError> {
        let Some(staging) = lock(&self.stagings).get(run).cloned() else {
            return Ok(());
        };
        let _alone = staging.alone();
        let Some(rows) = staging.take_rows() else {
            return Ok(());
        };
        let spilled = small::spill(&rows, &self.files.staging(run));
        if spilled.is_err() {
            staging.keep_rows(rows);
        }
        spilled
    }

    fn drop_files(&self, runs: &[RunId]) {
        self.drop_stagings(runs);
        for run in runs {
            remove_database(&self.files.held(run));
        }
    }

    fn drop_stagings(&self, runs: &[RunId]) {
        for run in runs {
            self.forget_staging(run);
            remove_database(&self.files.staging(run));
        }
    }

    /// What the run has in memory goes; its file stays.
    fn forget_staging(&self, run: &RunId) {
        let staging = lock(&self.stagings).remove(run);
        // Here, and not where the run lets go of it: it takes a moment.
        drop(staging.and_then(|staging| staging.take_rows()));
    }
}
