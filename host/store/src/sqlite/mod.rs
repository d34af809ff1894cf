//! The store on SQLite: one file in the data directory, and one beside it for each run.
//!
//! One connection writes, a few read, and an apply has one of its own; all of them work on threads that may block. What
//! a run reads goes to the run's own file, where its plan is made too, so that other runs never wait for it.

mod apply;
mod connection;
mod directories;
mod export;
mod files;
mod hold;
mod planner;
mod removal;
mod runs;
mod scope;
mod staging;
mod tenants;
mod vault;
mod word;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use idsync_model::{
    Clock, DirectoryId, DirectoryState, DisabledReason, Entity, ExternalId, Held, Operation, RunId, Settings,
    Skip, TenantName,
};
use rusqlite::Connection;

use crate::{
    Applied, Directory, ExportSink, GroupRead, NewDirectory, NewRun, Plan, PlannedRow, RunBasis, RunEnd,
    RunFacts, RunRecord, Sealed, SealedSecret, SigningKey, SkipCounts, StagingRows, Store, StoreError,
    Tenant, Verified,
};
use files::{DataDir, remove_database};
use staging::StagingFile;

/// How many connections for reading are kept open.
const READERS: usize = 4;

/// The store of one data directory.
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    files: DataDir,
    clock: Arc<dyn Clock>,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// The stagings of runs that have not ended.
    stagings: Mutex<HashMap<RunId, Arc<StagingFile>>>,
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
        let files = DataDir::open(data_dir)?;
        let writer = connection::open_writer(&files, &*clock)?;
        Ok(Arc::new(Self {
            shared: Arc::new(Shared {
                files,
                clock,
                writer: Mutex::new(writer),
                readers: Mutex::new(Vec::new()),
                stagings: Mutex::new(HashMap::new()),
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
        blocking(move || {
            let idle = lock(&shared.readers).pop();
            let mut reader = match idle {
                Some(reader) => reader,
                None => connection::open_reader(&shared.files.database())?,
            };
            let result = work(&mut reader);
            let mut readers = lock(&shared.readers);
            if readers.len() < READERS {
                readers.push(reader);
            }
            result
        })
        .await
    }

    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || work(&shared)).await
    }

    /// Closes the staging of a run that ends, and reads what it skipped.
    async fn close_staging(&self, run: &RunId) -> Result<(SkipCounts, Vec<Skip>), StoreError> {
        let staging = lock(&self.shared.stagings).remove(run);
        if let Some(staging) = staging
            && let Err(error) = staging.finish().await
        {
            tracing::debug!(%run, %error, "the staging of a run that ends had failed");
            return Ok((SkipCounts::default(), Vec::new()));
        }
        let run = run.clone();
        self.beside(move |shared| {
            let path = shared.files.staging(&run);
            if !path.exists() {
                return Ok((SkipCounts::default(), Vec::new()));
            }
            let file = connection::open_run_file(&path)?;
            Ok((staging::skip_counts(&file)?, runs::staged_skips(&file)?))
        })
        .await
    }
}

impl Shared {
    fn drop_files(&self, runs: &[RunId]) {
        for run in runs {
            lock(&self.stagings).remove(run);
            remove_database(&self.files.staging(run));
            remove_database(&self.files.held(run));
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn add_tenant(&self, name: &TenantName) -> Result<Tenant, StoreError> {
        let name = name.clone();
        self.write(move |store, shared| tenants::add(store, &name, shared.clock.now()))
            .await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.read(|store| tenants::list(store)).await
    }

    async fn remove_tenant(&self, name: &TenantName) -> Result<(), StoreError> {
        let name = name.clone();
        self.write(move |store, _| tenants::remove(store, &name)).await
    }

    async fn add_directory(&self, tenant: &TenantName, new: NewDirectory) -> Result<Directory, StoreError> {
        let tenant = tenant.clone();
        self.write(move |store, _| directories::add(store, &tenant, &new))
            .await
    }

    async fn directories(&self, tenant: &TenantName) -> Result<Vec<Directory>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |store| directories::list(store, &tenant)).await
    }

    async fn directory(&self, tenant: &TenantName, id_or_name: &str) -> Result<Directory, StoreError> {
        let (tenant, id_or_name) = (tenant.clone(), id_or_name.to_owned());
        self.read(move |store| directories::find(store, &tenant, &id_or_name))
            .await
    }

    async fn set_settings(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        settings: Settings,
        secrets: Vec<SealedSecret>,
    ) -> Result<Directory, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.write(move |store, _| directories::set_settings(store, &tenant, &directory, &settings, &secrets))
            .await
    }

    async fn record_verification(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        verified: Verified,
    ) -> Result<Directory, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.write(move |store, _| directories::record_verification(store, &tenant, &directory, &verified))
            .await
    }

    async fn set_state(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        state: DirectoryState,
        reason: Option<DisabledReason>,
    ) -> Result<Directory, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.write(move |store, _| directories::set_state(store, &tenant, &directory, state, reason.as_ref()))
            .await
    }

    async fn remove_directory(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        run: &RunId,
    ) -> Result<Applied, StoreError> {
        let (tenant, directory, run) = (tenant.clone(), directory.clone(), run.clone());
        self.write(move |store, shared| {
            let (applied, ended) = removal::remove(store, &tenant, &directory, &run, shared.clock.now())?;
            shared.drop_files(&ended);
            Ok(applied)
        })
        .await
    }

    async fn signing_key(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
    ) -> Result<Option<SigningKey>, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.read(move |store| vault::signing_key(store, &tenant, &directory))
            .await
    }

    async fn secret(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        name: &str,
    ) -> Result<Option<Sealed>, StoreError> {
        let (tenant, directory, name) = (tenant.clone(), directory.clone(), name.to_owned());
        self.read(move |store| vault::get(store, &tenant, &directory, vault::Origin::Setting, &name))
            .await
    }

    async fn recall(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        name: &str,
    ) -> Result<Option<Sealed>, StoreError> {
        let (tenant, directory, name) = (tenant.clone(), directory.clone(), name.to_owned());
        self.read(move |store| vault::get(store, &tenant, &directory, vault::Origin::Plugin, &name))
            .await
    }

    async fn remember(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        name: &str,
        value: Option<Sealed>,
        plain_bytes: u64,
        limit_bytes: u64,
    ) -> Result<(), StoreError> {
        let (tenant, directory, name) = (tenant.clone(), directory.clone(), name.to_owned());
        self.write(move |store, _| {
            vault::remember(
                store,
                &tenant,
                &directory,
                &name,
                value.as_ref(),
                plain_bytes,
                limit_bytes,
            )
        })
        .await
    }

    async fn begin_run(&self, tenant: &TenantName, new: NewRun) -> Result<RunBasis, StoreError> {
        let tenant = tenant.clone();
        self.write(move |store, shared| {
            let (basis, interrupted) = runs::begin(store, &tenant, &new)?;
            shared.drop_files(&interrupted);
            Ok(basis)
        })
        .await
    }

    async fn create_staging(
        &self,
        tenant: &TenantName,
        run: &RunId,
    ) -> Result<Arc<dyn StagingRows>, StoreError> {
        let (tenant, run) = (tenant.clone(), run.clone());
        self.write(move |store, shared| {
            scope::run(store, &tenant, &run)?;
            let path = shared.files.staging(&run);
            remove_database(&path);
            let staging = Arc::new(StagingFile::create(
                &path,
                run.clone(),
                Arc::clone(&shared.clock),
            )?);
            lock(&shared.stagings).insert(run, Arc::clone(&staging));
            Ok(staging as Arc<dyn StagingRows>)
        })
        .await
    }

    async fn group_reads(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        groups: Vec<ExternalId>,
    ) -> Result<Vec<Option<GroupRead>>, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.read(move |store| export::group_reads(store, &tenant, &directory, &groups))
            .await
    }

    async fn make_plan(
        &self,
        tenant: &TenantName,
        staging: Arc<dyn StagingRows>,
        basis: RunBasis,
    ) -> Result<Plan, StoreError> {
        staging.finish().await?;
        let (tenant, run) = (tenant.clone(), staging.run().clone());
        self.beside(move |shared| {
            let take_keys = |count| planner::take_keys(&lock(&shared.writer), count);
            let run_file = shared.files.staging(&run);
            planner::make(
                &run_file,
                &shared.files.database(),
                &tenant,
                &run,
                basis,
                take_keys,
            )
        })
        .await
    }

    async fn planned_rows(
        &self,
        tenant: &TenantName,
        run: &RunId,
        kind: Entity,
        operation: Operation,
        limit: u64,
    ) -> Result<Vec<PlannedRow>, StoreError> {
        let (tenant, run) = (tenant.clone(), run.clone());
        let found = run.clone();
        let is_held = self
            .read(move |store| {
                runs::find(store, &tenant, &found)?;
                runs::is_held(store, &found)
            })
            .await?;
        self.beside(move |shared| {
            let path = if is_held {
                let store = connection::open_reader(&shared.files.database())?;
                hold::check(&store, &shared.files, &run)?;
                shared.files.held(&run)
            } else {
                shared.files.staging(&run)
            };
            if !path.exists() {
                return Ok(Vec::new());
            }
            planner::rows(&path, &shared.files.database(), kind, operation, limit)
        })
        .await
    }

    async fn apply(&self, plan: Plan, facts: RunFacts) -> Result<Applied, StoreError> {
        self.beside(move |shared| {
            let run_file = shared.files.staging(&plan.run);
            let now = shared.clock.now();
            let applied = apply::apply(&shared.files.database(), &run_file, &plan, &facts, now)?;
            shared.drop_files(&[plan.run]);
            shared.drop_files(applied.superseded.as_slice());
            Ok(applied)
        })
        .await
    }

    async fn hold(&self, plan: Plan, reasons: Held, facts: RunFacts) -> Result<RunRecord, StoreError> {
        self.beside(move |shared| {
            let skips = {
                let file = connection::open_run_file(&shared.files.staging(&plan.run))?;
                runs::staged_skips(&file)?
            };
            apply::present(&lock(&shared.writer), &plan)?;
            let digest = hold::keep_file(&shared.files, &plan.run)?;
            let now = shared.clock.now();
            let held = hold::hold(
                &mut lock(&shared.writer),
                &plan,
                &reasons,
                &facts,
                &digest,
                &skips,
                now,
            );
            lock(&shared.stagings).remove(&plan.run);
            match held {
                Ok((record, superseded)) => {
                    shared.drop_files(superseded.as_slice());
                    Ok(record)
                }
                Err(error) => {
                    shared.drop_files(&[plan.run]);
                    Err(error)
                }
            }
        })
        .await
    }

    async fn end_run(
        &self,
        tenant: &TenantName,
        run: &RunId,
        end: RunEnd,
        facts: RunFacts,
    ) -> Result<RunRecord, StoreError> {
        let (of_tenant, asked) = (tenant.clone(), run.clone());
        self.read(move |store| scope::run(store, &of_tenant, &asked))
            .await?;
        let skipped = match self.close_staging(run).await {
            Ok(skipped) => skipped,
            Err(error) => {
                // The run's end must be told even when its own file is lost.
                tracing::warn!(%run, %error, "what the run skipped can't be read");
                (SkipCounts::default(), Vec::new())
            }
        };
        let (tenant, run) = (tenant.clone(), run.clone());
        self.write(move |store, shared| {
            let now = shared.clock.now();
            let record = runs::end_without_apply(store, &tenant, &run, &end, &facts, skipped, now)?;
            shared.drop_files(&[run]);
            Ok(record)
        })
        .await
    }

    async fn run(&self, tenant: &TenantName, run: &RunId) -> Result<RunRecord, StoreError> {
        let (tenant, run) = (tenant.clone(), run.clone());
        self.read(move |store| runs::find(store, &tenant, &run)).await
    }

    async fn runs(
        &self,
        tenant: &TenantName,
        directory: Option<&DirectoryId>,
        limit: u64,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.cloned());
        self.read(move |store| runs::list(store, &tenant, directory.as_ref(), limit))
            .await
    }

    async fn skips(&self, tenant: &TenantName, run: &RunId) -> Result<Vec<Skip>, StoreError> {
        let (tenant, run) = (tenant.clone(), run.clone());
        self.read(move |store| runs::skips(store, &tenant, &run)).await
    }

    async fn export(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        sink: ExportSink,
    ) -> Result<u64, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.read(move |store| export::export(store, &tenant, &directory, sink))
            .await
    }
}
