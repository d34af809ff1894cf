//! The stages of a run as types: each can only be reached from the one before it, and only what was planned is applied.

use std::sync::Arc;

use idsync_model::{Clock, DeleteLimits, ErrorKind, Failure, Held, Mode, RunEvent};
use idsync_store::{
    Aftermath, Directory, Plan, PlanSummary, ReadWith, Recent, RunBasis, RunEnd, RunFacts, RunRecord,
    StagingRows, Store, StoreError, Verified,
};

use crate::again::{self, AttemptEnd, Jitter};
use crate::guard::{self, Deletions, PlannedDeletions};
use crate::halt::{Halt, overtaken, removed, store_failure};
use crate::interrupt::{Interrupt, Interruption};
use crate::reading::Reading;
use crate::resume::{self, MAY_DIE, ResumeGrounds};
use crate::run::{RunOrder, RunSignals};
use crate::spent::Spent;

/// A run that has the directory's lease and a row in the store.
pub(crate) struct Begun<'a> {
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) order: &'a RunOrder,
    pub(crate) signals: &'a RunSignals,
    pub(crate) interrupt: &'a Interrupt,
    /// The directory as it was at the begin.
    pub(crate) directory: &'a Directory,
    /// What it reads with.
    pub(crate) verified: &'a Verified,
    pub(crate) mode: Mode,
    pub(crate) basis: RunBasis,
    pub(crate) jitter: Jitter,
}

impl Begun<'_> {
    /// Takes over the staging of an earlier run where that is right, or makes one.
    pub(crate) async fn open_staging(&self) -> Result<Reading<'_>, Halt> {
        let opened = match self.resume().await {
            Ok(Some((rows, state))) => Ok((rows, Some(state))),
            Ok(None) => {
                let (tenant, run) = (&self.order.tenant, &self.order.run);
                let made = self.store.create_staging(tenant, run, self.reads_with()).await;
                made.map(|rows| (rows, None))
            }
            Err(error) => Err(error),
        };
        let (rows, resume) = opened.map_err(|error| Halt::early(store_failure("staging", &error)))?;
        Ok(Reading {
            begun: self,
            rows,
            resume,
        })
    }

    fn reads_with(&self) -> ReadWith {
        ReadWith {
            mode: self.mode,
            fingerprint: self.verified.fingerprint.clone(),
            plugin_digest: self.order.plugin_digest.clone(),
            contract: self.order.contract.clone(),
        }
    }

    /// What an earlier run staged, with its plugin's state, when this one may go on from it.
    async fn resume(&self) -> Result<Option<(Arc<dyn StagingRows>, Vec<u8>)>, StoreError> {
        let RunOrder {
            tenant,
            directory,
            run,
            ..
        } = self.order;
        // What a run left that was to apply its plan is not for one that only asks.
        if self.order.dry_run {
            return Ok(None);
        }
        let Some(left) = self.store.resumable(tenant, directory).await? else {
            return Ok(None);
        };
        let grounds = ResumeGrounds {
            with: &self.reads_with(),
            generation: self.basis.generation,
            now: self.clock.now(),
        };
        if let Err(why) = resume::check(&left, grounds) {
            tracing::info!(%run, from = %left.run, "what an earlier run left is not gone on from: {why}");
            return Ok(None);
        }
        let runs = self.store.runs(tenant, Some(directory), MAY_DIE + 1).await?;
        let earlier: Vec<_> = runs.into_iter().filter(|earlier| earlier.run != *run).collect();
        if resume::is_deadly(&earlier, left.checkpoint_at) {
            tracing::warn!(%run, from = %left.run, "what an earlier run left is not gone on from: {MAY_DIE} runs died of it");
            return Ok(None);
        }
        let taken = self.store.resume_staging(tenant, run, &left.run).await?;
        if taken.is_some() {
            tracing::info!(%run, from = %left.run, began_at = %left.read_began_at, "the run goes on from an earlier one");
        } else {
            tracing::info!(%run, from = %left.run, "what an earlier run left can't be used");
        }
        Ok(taken)
    }

    /// What the run's failure does to its directory. What only has to be done again, since the directory moved on
    /// meanwhile, is due at once.
    pub(crate) fn after_failure(&self, halt: &Halt) -> Aftermath {
        let interruption = self.interrupt.reason();
        let is_cancelled = halt.failure.kind == ErrorKind::Cancelled;
        if is_cancelled && interruption == Some(Interruption::Stopped) {
            return self.after(&halt.spent, AttemptEnd::Stopped);
        }
        let after = self.after(&halt.spent, AttemptEnd::Failed(&halt.failure));
        Aftermath {
            is_due: after.is_due || (is_cancelled && interruption.is_none()),
            ..after
        }
    }

    fn after(&self, spent: &Spent, end: AttemptEnd<'_>) -> Aftermath {
        let Directory { failing, times, .. } = self.directory;
        again::after(
            failing.as_ref(),
            &spent.attempt(end),
            times,
            self.jitter,
            self.clock.now(),
        )
    }

    fn progress(&self, stage: &str) {
        self.signals.events.emit(RunEvent::Progress {
            stage: stage.to_owned(),
            done: 0,
            total: None,
        });
    }

    /// The failure of a run that was told to end once it had read everything. The end of the process is no reason
    /// then: what is left needs no provider, and all that was read would be lost.
    pub(crate) fn interruption(&self, stage: &str) -> Option<Failure> {
        match self.interrupt.reason() {
            None | Some(Interruption::Stopped) => None,
            Some(why) => Some(why.failure(stage)),
        }
    }
}

/// A run that has read everything.
pub(crate) struct Read<'a> {
    pub(crate) begun: &'a Begun<'a>,
    pub(crate) rows: Arc<dyn StagingRows>,
    /// Whether a part of it was read by an earlier run.
    pub(crate) is_resumed: bool,
    pub(crate) spent: Spent,
}

impl<'a> Read<'a> {
    /// Compares what was read with what is stored.
    pub(crate) async fn plan(self) -> Result<Planned<'a>, Halt> {
        let begun = self.begun;
        begun.progress("plan");
        let made = match begun
            .store
            .make_plan(&begun.order.tenant, Arc::clone(&self.rows), begun.basis)
            .await
        {
            Err(StoreError::Stale { .. }) => self.plan_anew().await,
            Ok(plan) => Ok(plan),
            Err(error) => Err(store_failure("plan", &error)),
        };
        match made {
            Ok(plan) => Ok(Planned { read: self, plan }),
            Err(failure) => Err(Halt::after(failure, self.spent)),
        }
    }

    /// What is known of the run at this end.
    fn facts(&self, end: AttemptEnd<'_>) -> RunFacts {
        RunFacts {
            after: self.begun.after(&self.spent, end),
            ..self.spent.facts.clone()
        }
    }

    /// Plans against the directory as it is now, when it moved on during the run by something that lets the run
    /// stand. Disabling and removal do not: they end the run. An incremental run can't stand: it left groups unread
    /// because of versions that may not be the stored ones any more.
    async fn plan_anew(&self) -> Result<Plan, Failure> {
        let begun = self.begun;
        if begun.mode == Mode::Incremental {
            return Err(overtaken("plan"));
        }
        let order = begun.order;
        let now = self.directory("plan").await?;
        let basis = RunBasis {
            generation: now.generation,
            stored: now.counts,
        };
        begun
            .store
            .make_plan(&order.tenant, Arc::clone(&self.rows), basis)
            .await
            .map_err(|error| store_failure("plan", &error))
    }

    /// Settings or an org that were verified anew during the run make it one of the old ones. What is verified between
    /// this look and the apply raises the directory's generation, so that the apply is refused and comes back here.
    fn outdated(&self, now: &Directory) -> Option<Failure> {
        let is_same = |verified| is_same_setup(verified, self.begun.verified);
        if now.verified.as_ref().is_some_and(is_same) {
            return None;
        }
        Some(Failure::new(
            ErrorKind::Cancelled,
            "apply",
            "other settings or another org were verified while the directory was read with the old ones",
            "Nothing was changed. Sync again.",
        ))
    }

    /// The directory as it is now.
    async fn directory(&self, stage: &str) -> Result<Directory, Failure> {
        let Begun { store, order, .. } = self.begun;
        match store.directory(&order.tenant, order.directory.as_str()).await {
            Ok(directory) => Ok(directory),
            Err(StoreError::UnknownDirectory { .. }) => Err(removed()),
            Err(error) => Err(store_failure(stage, &error)),
        }
    }
}

/// Whether what was read by one verification is good by another one too. With which key it was read does not matter.
fn is_same_setup(one: &Verified, other: &Verified) -> bool {
    one.settings == other.settings && one.org_id == other.org_id
}

/// A run whose plan is made.
pub(crate) struct Planned<'a> {
    read: Read<'a>,
    plan: Plan,
}

impl Planned<'_> {
    /// Does with the plan what is to be done: nothing, hold it, or apply it.
    pub(crate) async fn settle(self) -> Result<RunRecord, Halt> {
        let spent = self.read.spent.clone();
        self.decide().await.map_err(|failure| Halt::after(failure, spent))
    }

    async fn decide(self) -> Result<RunRecord, Failure> {
        let Self { read, mut plan } = self;
        let begun = read.begun;
        let order = begun.order;
        // A plan that went stale is made once more; a second time means that something else keeps writing.
        let mut may_plan_anew = true;
        loop {
            if let Some(failure) = begun.interruption("plan") {
                return Err(failure);
            }
            // A person may have changed the limits while the directory was read.
            let now = read.directory("plan").await?;
            let held = judge(plan.summary(), &now.limits);
            if order.dry_run {
                let end = RunEnd::Planned {
                    summary: Box::new(*plan.summary()),
                    held,
                };
                return begun
                    .store
                    .end_run(&order.tenant, &order.run, end, read.spent.facts.clone())
                    .await
                    .map_err(|error| store_failure("plan", &error));
            }
            if let Some(failure) = read.outdated(&now) {
                return Err(failure);
            }
            let stage = if held.is_some() { "hold" } else { "apply" };
            begun.progress(stage);
            let is_resumed = read.is_resumed;
            let ended = if let Some(held) = held {
                let facts = read.facts(AttemptEnd::Held { is_resumed });
                begun.store.hold(plan, held, facts).await
            } else {
                let facts = read.facts(AttemptEnd::Applied { is_resumed });
                begun.store.apply(plan, facts).await.map(|applied| applied.run)
            };
            match ended {
                Err(StoreError::Stale { .. }) if may_plan_anew => {
                    may_plan_anew = false;
                    plan = read.plan_anew().await?;
                }
                Err(error) => return Err(store_failure(stage, &error)),
                Ok(record) => return Ok(record),
            }
        }
    }
}

/// The guard's word on a plan.
fn judge(summary: &PlanSummary, limits: &DeleteLimits) -> Option<Held> {
    if summary.is_first {
        return None;
    }
    let deletions = |deleted, counted_elsewhere, stored, recent: Recent| Deletions {
        deleted,
        counted_elsewhere,
        stored,
        recently_deleted: recent.deleted,
        most_stored: recent.most_stored,
    };
    let PlanSummary { stored, recent, .. } = summary;
    let planned = PlannedDeletions {
        users: deletions(summary.users.deleted, 0, stored.users, recent.users),
        groups: deletions(summary.groups.deleted, 0, stored.groups, recent.groups),
        memberships: deletions(
            summary.memberships.deleted,
            summary.memberships_deleted_with_user,
            stored.memberships,
            recent.memberships,
        ),
        moved: summary.moved,
    };
    let reasons = guard::check(&planned, limits);
    (!reasons.is_empty()).then_some(Held { reasons })
}
