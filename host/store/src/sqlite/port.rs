//! The trait `Store`, passed on to where each thing is done, on threads that may block.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use idsync_model::{
    DirectoryId, DirectoryState, DisabledReason, Entity, ExternalId, Held, Operation, RunId, Settings, Skip,
    TenantName,
};

use super::files::remove_database;
use super::staging::StagingFile;
use super::{SqliteStore, lock};
use super::{
    apply, approval, connection, directories, export, hold, planner, removal, runs, scope, tenants, vault,
};
use crate::{
    Applied, Approved, Directory, ExportSink, GroupRead, NewDirectory, NewRun, Plan, PlannedRow, RunBasis,
    RunEnd, RunFacts, RunRecord, Sealed, SealedSecret, SigningKey, SkipCounts, StagingRows, Store,
    StoreError, Tenant, Verified,
};

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
        expected: &Settings,
        settings: Settings,
        secrets: Vec<SealedSecret>,
    ) -> Result<Directory, StoreError> {
        let (tenant, directory, expected) = (tenant.clone(), directory.clone(), expected.clone());
        self.write(move |store, _| {
            directories::set_settings(store, &tenant, &directory, &expected, &settings, &secrets)
        })
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
        self.write(move |store, shared| {
            let now = shared.clock.now();
            let (directory, ended) =
                directories::set_state(store, &tenant, &directory, state, reason.as_ref(), now)?;
            shared.drop_files(&ended);
            Ok(directory)
        })
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
            scope::run(&lock(&shared.writer), &tenant, &run)?;
            let take_keys = |count| planner::take_keys(&lock(&shared.writer), count);
            let run_file = shared.files.staging(&run);
            planner::make(
                &run_file,
                &shared.files.database(),
                &tenant,
                &run,
                basis,
                shared.clock.now(),
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
        let is_kept = self
            .read(move |store| {
                runs::find(store, &tenant, &found)?;
                hold::is_kept(store, &found)
            })
            .await?;
        self.beside(move |shared| {
            let path = if is_kept {
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
            // Whoever else writes in this process waits here, however long it takes, and not for a timeout of SQLite's.
            let waiting = lock(&shared.writer);
            let now = shared.clock.now();
            let (applied, dropped) = apply::apply(&shared.files.database(), &run_file, &plan, &facts, now)?;
            drop(waiting);
            shared.drop_files(&[plan.run]);
            shared.drop_files(&dropped);
            Ok(applied)
        })
        .await
    }

    async fn hold(&self, plan: Plan, reasons: Held, facts: RunFacts) -> Result<RunRecord, StoreError> {
        self.beside(move |shared| {
            apply::present(&lock(&shared.writer), &plan)?;
            let skips = {
                let file = connection::open_run_file(&shared.files.staging(&plan.run))?;
                runs::staged_skips(&file)?
            };
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
            match held {
                Ok((record, dropped)) => {
                    lock(&shared.stagings).remove(&plan.run);
                    shared.drop_files(&dropped);
                    Ok(record)
                }
                Err(stale @ StoreError::Stale { .. }) => {
                    hold::give_back(&shared.files, &plan.run)?;
                    Err(stale)
                }
                Err(error) => {
                    shared.drop_files(&[plan.run]);
                    Err(error)
                }
            }
        })
        .await
    }

    async fn approve(
        &self,
        tenant: &TenantName,
        run: &RunId,
        max_age: Duration,
    ) -> Result<Approved, StoreError> {
        let (tenant, run) = (tenant.clone(), run.clone());
        self.beside(move |shared| {
            let waiting = lock(&shared.writer);
            let now = shared.clock.now();
            let database = shared.files.database();
            let (approved, dropped) =
                approval::approve(&database, &shared.files, &tenant, &run, max_age, now)?;
            drop(waiting);
            shared.drop_files(&dropped);
            Ok(approved)
        })
        .await
    }

    async fn discard(&self, tenant: &TenantName, run: &RunId) -> Result<RunRecord, StoreError> {
        let (tenant, run) = (tenant.clone(), run.clone());
        self.write(move |store, shared| {
            let (record, dropped) = approval::discard(store, &tenant, &run)?;
            shared.drop_files(&dropped);
            Ok(record)
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
            let record = runs::end_without_apply(store, &tenant, &run, &end, &facts, &skipped, now)?;
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
