//! The trait `Store`, passed on to where each thing is done, on threads that may block.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use idsync_model::{
    DeleteLimits, DirectoryId, DirectoryState, DisabledReason, Entity, ExternalId, FeedCursor, Held,
    Operation, RunId, Settings, Skip, TenantName,
};

use super::{SqliteStore, lock};
use super::{
    apply, approval, backup, directories, export, feed, hold, leases, planner, purge, removal, resuming,
    rotation, runs, schedules, scope, small, tenants, vault,
};
use crate::{
    Applied, Approved, ChangePage, Directory, ExportSink, GroupRead, Lease, Memory, NewDirectory, NewKey,
    NewRun, Plan, PlannedRow, PurgeOrder, Purged, ReadWith, Resumable, RunBasis, RunEnd, RunFacts, RunRecord,
    Scheduled, Sealed, SealedSecret, SecretOf, SigningKeys, SkipCounts, StagingRows, Store, StoreError,
    Tenant, Verified,
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
        settings_mark: u64,
    ) -> Result<Directory, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.write(move |store, _| {
            rotation::record_verification(store, &tenant, &directory, &verified, settings_mark)
        })
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
            resuming::drop_stagings(store, shared, directory.as_str(), |_| true)?;
            Ok(applied)
        })
        .await
    }

    async fn signing_keys(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
    ) -> Result<SigningKeys, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.read(move |store| vault::signing_keys(store, &tenant, &directory))
            .await
    }

    async fn add_next_key(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        key: NewKey,
    ) -> Result<Directory, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.write(move |store, shared| {
            rotation::add_next_key(store, &tenant, &directory, &key, shared.clock.now())
        })
        .await
    }

    async fn drop_next_key(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
    ) -> Result<Directory, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.write(move |store, _| rotation::drop_next_key(store, &tenant, &directory))
            .await
    }

    async fn secret(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        name: &str,
        of: SecretOf,
    ) -> Result<Option<Sealed>, StoreError> {
        let (tenant, directory, name) = (tenant.clone(), directory.clone(), name.to_owned());
        self.read(move |store| vault::secret(store, &tenant, &directory, &name, of))
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
        run: Option<&RunId>,
        memory: Memory,
    ) -> Result<(), StoreError> {
        let (tenant, directory, run) = (tenant.clone(), directory.clone(), run.cloned());
        self.write(move |store, _| vault::remember(store, &tenant, &directory, run.as_ref(), &memory))
            .await
    }

    async fn begin_run(&self, tenant: &TenantName, new: NewRun) -> Result<RunBasis, StoreError> {
        let tenant = tenant.clone();
        self.write(move |store, shared| {
            let (basis, interrupted) = runs::begin(store, &tenant, &new)?;
            // Their files stay, for this run to go on from.
            for run in &interrupted {
                shared.forget_staging(run);
            }
            Ok(basis)
        })
        .await
    }

    async fn create_staging(
        &self,
        tenant: &TenantName,
        run: &RunId,
        with: ReadWith,
    ) -> Result<Arc<dyn StagingRows>, StoreError> {
        let (tenant, run) = (tenant.clone(), run.clone());
        self.write(move |store, shared| {
            let staging = resuming::create(store, shared, &tenant, &run, with)?;
            Ok(staging as Arc<dyn StagingRows>)
        })
        .await
    }

    async fn resumable(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
    ) -> Result<Option<Resumable>, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        let shared = Arc::clone(&self.shared);
        self.read(move |store| {
            resuming::resumable(store, &shared.files, shared.boot.as_deref(), &tenant, &directory)
        })
        .await
    }

    async fn resume_staging(
        &self,
        tenant: &TenantName,
        run: &RunId,
        from: &RunId,
    ) -> Result<Option<(Arc<dyn StagingRows>, Vec<u8>)>, StoreError> {
        let (tenant, run, from) = (tenant.clone(), run.clone(), from.clone());
        let left = from.clone();
        self.beside(move |shared| {
            resuming::roll_back(&shared.files, &left);
            Ok(())
        })
        .await?;
        self.write(move |store, shared| {
            let resumed = resuming::resume(store, shared, &tenant, &run, &from)?;
            Ok(resumed.map(|(staging, state)| (staging as Arc<dyn StagingRows>, state)))
        })
        .await
    }

    async fn lease(&self, tenant: &TenantName, directory: &DirectoryId) -> Result<Option<Lease>, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.read(move |store| leases::find(store, &tenant, &directory))
            .await
    }

    async fn beat(&self, tenant: &TenantName, run: &RunId) -> Result<(), StoreError> {
        let (tenant, run) = (tenant.clone(), run.clone());
        self.write(move |store, _| leases::beat(store, &tenant, &run))
            .await
    }

    async fn cancel_asked(&self, tenant: &TenantName, run: &RunId) -> Result<bool, StoreError> {
        let (tenant, run) = (tenant.clone(), run.clone());
        self.read(move |store| leases::cancel_asked(store, &tenant, &run))
            .await
    }

    async fn ask_cancel(&self, tenant: &TenantName, run: &RunId) -> Result<(), StoreError> {
        let (tenant, run) = (tenant.clone(), run.clone());
        self.write(move |store, shared| leases::ask_cancel(store, &tenant, &run, shared.clock.now()))
            .await
    }

    async fn set_schedule(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        every: Duration,
    ) -> Result<Directory, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.write(move |store, _| {
            directories::change(store, &tenant, &directory, |transaction, scope| {
                schedules::set_every(transaction, scope, every)
            })
        })
        .await
    }

    async fn set_limits(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
        limits: DeleteLimits,
    ) -> Result<Directory, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.write(move |store, _| {
            directories::change(store, &tenant, &directory, |transaction, scope| {
                schedules::set_limits(transaction, scope, &limits)
            })
        })
        .await
    }

    async fn schedules(&self) -> Result<Vec<Scheduled>, StoreError> {
        self.read(|store| schedules::all(store)).await
    }

    async fn schedule(
        &self,
        tenant: &TenantName,
        directory: &DirectoryId,
    ) -> Result<Option<Scheduled>, StoreError> {
        let (tenant, directory) = (tenant.clone(), directory.clone());
        self.read(move |store| schedules::find(store, &tenant, &directory))
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
            if !small::is_beside(&basis.stored) {
                shared.spill(&run)?;
            }
            let take_keys = |count| planner::take_keys(&lock(&shared.writer), count);
            shared.with_rows(&run, |store| {
                planner::make(store, &tenant, &run, basis, shared.clock.now(), take_keys)
            })
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
                let store = shared.readers.take()?;
                hold::check(&store, &shared.files, &run)?;
                shared.files.held(&run)
            } else {
                shared.spill(&run)?;
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
        self.beside(move |shared| apply::apply(shared, &plan, &facts))
            .await
    }

    async fn hold(&self, plan: Plan, reasons: Held, facts: RunFacts) -> Result<RunRecord, StoreError> {
        self.beside(move |shared| hold::hold(shared, &plan, &reasons, &facts))
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
        let may_write = self
            .read(move |store| scope::run(store, &of_tenant, &asked))
            .await;
        if let Err(StoreError::RunEnded { .. } | StoreError::LeaseLost { .. }) = may_write {
            // Whoever ended it has dropped the files that there were then, and whoever took it over goes on from them.
            let run = run.clone();
            self.beside(move |shared| {
                shared.forget_staging(&run);
                Ok(())
            })
            .await?;
        }
        may_write?;
        let keeps = matches!(
            end,
            RunEnd::Failed {
                keeps_staging: true,
                ..
            }
        );
        let skipped = match self.close_staging(run, keeps).await {
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
            if !keeps || !resuming::is_left(store, &shared.files, &run)? {
                shared.drop_files(&[run]);
            }
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

    async fn changes(
        &self,
        tenant: &TenantName,
        since: &FeedCursor,
        directory: Option<&DirectoryId>,
        limit: u64,
    ) -> Result<ChangePage, StoreError> {
        let (tenant, since, directory) = (tenant.clone(), since.clone(), directory.cloned());
        self.read(move |store| feed::changes(store, &tenant, &since, directory.as_ref(), limit))
            .await
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let to = to.to_owned();
        self.read(move |store| backup::backup(store, &to)).await
    }

    async fn set_keep_changes(&self, keep: Duration) -> Result<(), StoreError> {
        self.write(move |store, _| purge::set_keep_changes(store, keep))
            .await
    }

    async fn purge(&self, order: PurgeOrder) -> Result<Purged, StoreError> {
        self.beside(move |shared| purge::purge(shared, order)).await
    }

    async fn purge_due(&self, every: Duration) -> Result<bool, StoreError> {
        let now = self.shared.clock.now();
        self.read(move |store| purge::is_due(store, every, now)).await
    }
}
