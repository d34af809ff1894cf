//! The stages of a run as types: each can only be reached from the one before it, and only what was planned is applied.

use std::sync::Arc;

use idsync_model::{ErrorKind, Failure, Held, Mode, RunEvent};
use idsync_store::{
    Plan, PlanSummary, ReadWith, RunBasis, RunEnd, RunFacts, RunRecord, StagingRows, Store, StoreError,
    Verified,
};

use crate::guard::{self, Deletions, PlannedDeletions};
use crate::halt::{Halt, cancelled, removed, store_failure};
use crate::reading::Reading;
use crate::run::{RunOrder, RunSignals};

/// A run that has the directory's lock and a row in the store.
pub(crate) struct Begun<'a> {
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) order: &'a RunOrder,
    pub(crate) signals: &'a RunSignals,
    /// What it reads with.
    pub(crate) verified: &'a Verified,
    pub(crate) mode: Mode,
    pub(crate) basis: RunBasis,
}

impl Begun<'_> {
    /// Makes the staging.
    pub(crate) async fn open_staging(&self) -> Result<Reading<'_>, Halt> {
        let with = ReadWith {
            mode: self.mode,
            fingerprint: self.verified.fingerprint.clone(),
            // Nothing goes on from it yet.
            plugin_digest: String::new(),
            contract: String::new(),
        };
        let rows = self
            .store
            .create_staging(&self.order.tenant, &self.order.run, with)
            .await
            .map_err(|error| Halt::early(store_failure("staging", &error)))?;
        Ok(Reading { begun: self, rows })
    }

    fn progress(&self, stage: &str) {
        self.signals.events.emit(RunEvent::Progress {
            stage: stage.to_owned(),
            done: 0,
            total: None,
        });
    }

    /// The failure of a run that was told to end.
    pub(crate) fn cancellation(&self, stage: &str) -> Option<Failure> {
        self.signals.cancel.is_cancelled().then(|| cancelled(stage))
    }
}

/// A run that has read everything.
pub(crate) struct Read<'a> {
    pub(crate) begun: &'a Begun<'a>,
    pub(crate) rows: Arc<dyn StagingRows>,
    pub(crate) facts: RunFacts,
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
            Err(failure) => Err(Halt {
                failure,
                facts: self.facts,
            }),
        }
    }

    /// Plans against the directory as it is now, when it moved on during the run by something that lets the run
    /// stand. Disabling and removal do not: they end the run.
    async fn plan_anew(&self) -> Result<Plan, Failure> {
        let begun = self.begun;
        let order = begun.order;
        let now = match begun
            .store
            .directory(&order.tenant, order.directory.as_str())
            .await
        {
            Ok(directory) => directory,
            Err(StoreError::UnknownDirectory { .. }) => return Err(removed()),
            Err(error) => return Err(store_failure("plan", &error)),
        };
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
    async fn still_stands(&self) -> Result<(), Failure> {
        let begun = self.begun;
        let order = begun.order;
        match begun
            .store
            .directory(&order.tenant, order.directory.as_str())
            .await
        {
            Ok(now)
                if now
                    .verified
                    .as_ref()
                    .is_some_and(|v| is_same_setup(v, begun.verified)) =>
            {
                Ok(())
            }
            Ok(_) => Err(Failure::new(
                ErrorKind::Cancelled,
                "apply",
                "other settings or another org were verified while the directory was read with the old ones",
                "Nothing was changed. Sync again.",
            )),
            Err(StoreError::UnknownDirectory { .. }) => Err(removed()),
            Err(error) => Err(store_failure("apply", &error)),
        }
    }
}

/// Whether what was read by one verification is good by another one too.
fn is_same_setup(one: &Verified, other: &Verified) -> bool {
    one.fingerprint == other.fingerprint && one.org_id == other.org_id
}

/// A run whose plan is made.
pub(crate) struct Planned<'a> {
    read: Read<'a>,
    plan: Plan,
}

impl Planned<'_> {
    /// Does with the plan what is to be done: nothing, hold it, or apply it.
    pub(crate) async fn settle(self) -> Result<RunRecord, Halt> {
        let facts = self.read.facts.clone();
        self.decide().await.map_err(|failure| Halt { failure, facts })
    }

    async fn decide(self) -> Result<RunRecord, Failure> {
        let Self { read, mut plan } = self;
        let begun = read.begun;
        let order = begun.order;
        // A plan that went stale is made once more; a second time means that something else keeps writing.
        let mut may_plan_anew = true;
        loop {
            if let Some(failure) = begun.cancellation("plan") {
                return Err(failure);
            }
            let held = judge(plan.summary(), order);
            if order.dry_run {
                let end = RunEnd::Planned {
                    summary: Box::new(*plan.summary()),
                    held,
                };
                return begun
                    .store
                    .end_run(&order.tenant, &order.run, end, read.facts.clone())
                    .await
                    .map_err(|error| store_failure("plan", &error));
            }
            read.still_stands().await?;
            let stage = if held.is_some() { "hold" } else { "apply" };
            begun.progress(stage);
            let facts = read.facts.clone();
            let ended = match held {
                Some(held) => begun.store.hold(plan, held, facts).await,
                None => begun.store.apply(plan, facts).await.map(|applied| applied.run),
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
fn judge(summary: &PlanSummary, order: &RunOrder) -> Option<Held> {
    if summary.is_first {
        return None;
    }
    let deletions = |deleted, counted_elsewhere, stored| Deletions {
        deleted,
        counted_elsewhere,
        stored,
        ..Deletions::default()
    };
    let planned = PlannedDeletions {
        users: deletions(summary.users.deleted, 0, summary.stored.users),
        groups: deletions(summary.groups.deleted, 0, summary.stored.groups),
        memberships: deletions(
            summary.memberships.deleted,
            summary.memberships_deleted_with_user,
            summary.stored.memberships,
        ),
        moved: 0,
    };
    let reasons = guard::check(&planned, &order.deletions);
    (!reasons.is_empty()).then_some(Held { reasons })
}
