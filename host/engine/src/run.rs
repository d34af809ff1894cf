//! A run from start to end: what is asked, and the way from the lease to the report.

use std::sync::Arc;
use std::time::Duration;

use idsync_model::{
    Clock, DirectoryId, ErrorKind, EventSink, Failure, Mode, Provider, RunEvent, RunId, RunReport,
    TenantName, Trigger, UnixMillis,
};
use idsync_store::{
    Aftermath, Directory, Failing, Lease, NewRun, RunBasis, RunEnd, RunFacts, RunRecord, Store, StoreError,
    Times, Verified,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::again::{self, AttemptEnd, Jitter};
use crate::error::EngineError;
use crate::halt::{Halt, overtaken, store_failure, taken_over};
use crate::interrupt::{Interrupt, Pulse, Vigil};
use crate::lease::Owner;
use crate::mode::{self, ModeGrounds};
use crate::spent::Spent;
use crate::stages::Begun;
use crate::staging::{MAX_STAGED_BYTES, MAX_STAGED_ROWS};

/// How far a run may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// How long reading may take. The next run goes on where this one ended.
    pub time: Duration,
    /// How long a plugin that was told to end may take to do so: longer than the sandbox lets it, so that what the call
    /// used is known.
    pub grace: Duration,
    /// How many rows may be staged.
    pub staged_rows: u64,
    /// How many bytes of text may be staged.
    pub staged_bytes: u64,
}

impl Default for ReadLimits {
    /// An hour, 10 seconds, 50 million rows, 16 GiB of text.
    fn default() -> Self {
        Self {
            time: Duration::from_hours(1),
            grace: Duration::from_secs(10),
            staged_rows: MAX_STAGED_ROWS,
            staged_bytes: MAX_STAGED_BYTES,
        }
    }
}

/// What is asked of a run.
#[derive(Debug, Clone)]
pub struct RunOrder {
    /// The id that the run gets.
    pub run: RunId,
    /// Whose directory it is.
    pub tenant: TenantName,
    /// The directory.
    pub directory: DirectoryId,
    /// Who asks.
    pub trigger: Trigger,
    /// Whether everything must be read, although less would do.
    pub full: bool,
    /// Whether to stop after the plan.
    pub dry_run: bool,
    /// The version of the plugin behind the provider.
    pub plugin_version: String,
    /// A digest of the plugin's component: what another one staged is not gone on from.
    pub plugin_digest: String,
    /// The name and version of the contract that the plugin keeps.
    pub contract: String,
    /// What the host has to say of the run, where it succeeds.
    pub notes: Vec<String>,
    /// How far the run may go.
    pub limits: ReadLimits,
    /// The fencing number of a lease that was seen to be lost ([`crate::lease::Watch`]); the run takes it over.
    pub takes_over: Option<u64>,
}

/// How a run is listened to and ended.
#[derive(Clone)]
pub struct RunSignals {
    /// Triggered when a person wants the run to end.
    pub cancel: CancellationToken,
    /// Triggered when the process is about to end: the next run is due, and goes on where this one was.
    pub stop: CancellationToken,
    /// Whoever listens.
    pub events: Arc<dyn EventSink>,
}

/// A source of random numbers from 0 to 1.
pub type Random = Arc<dyn Fn() -> f64 + Send + std::marker::Sync>;

/// Syncs directories, as one owner of leases.
#[derive(Clone)]
pub struct Sync {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) owner: Arc<Owner>,
    random: Random,
    pulse: Pulse,
}

impl Sync {
    /// A sync over a store. `owner` is the one of this process; `random` spreads what is tried again over time.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, owner: Arc<Owner>, random: Random) -> Self {
        Self {
            store,
            clock,
            owner,
            random,
            pulse: Pulse::default(),
        }
    }

    /// The same with another pulse.
    #[must_use]
    pub fn with_pulse(self, pulse: Pulse) -> Self {
        Self { pulse, ..self }
    }

    /// Runs once. Whatever becomes of the run is in the report, and in the store before this returns. A future that is
    /// dropped is a run whose process died: the next one takes it over, once the owner is gone or its beat has stood
    /// still.
    ///
    /// Errs when there is no run: the directory is busy, unknown or was never verified, or the store fails. Errs with
    /// `Unrecorded` when there was one whose end could not be stored.
    pub async fn run(
        &self,
        order: RunOrder,
        provider: Arc<dyn Provider>,
        signals: RunSignals,
    ) -> Result<RunReport, EngineError> {
        let span = span(&order);
        self.attempt(order, Ok(provider), signals).instrument(span).await
    }

    /// A run whose provider could not be made ready. It counts as any run that failed so; what an earlier one staged
    /// stays. Errs as [`Sync::run`] does.
    pub async fn fail(
        &self,
        order: RunOrder,
        failure: Failure,
        signals: RunSignals,
    ) -> Result<RunReport, EngineError> {
        let span = span(&order);
        self.attempt(order, Err(failure), signals).instrument(span).await
    }

    async fn attempt(
        &self,
        order: RunOrder,
        provider: Result<Arc<dyn Provider>, Failure>,
        signals: RunSignals,
    ) -> Result<RunReport, EngineError> {
        let taken = self.begin(&order).await?;
        tracing::info!(mode = ?taken.mode, dry_run = order.dry_run, "the run begins");
        signals.events.emit(RunEvent::Started {
            run: order.run.clone(),
            mode: taken.mode,
        });
        let interrupt = Interrupt::new(&signals.cancel, &signals.stop);
        let begun = Begun {
            store: &self.store,
            clock: &*self.clock,
            jitter: self.jitter(),
            order: &order,
            signals: &signals,
            interrupt: &interrupt,
            directory: &taken.directory,
            verified: &taken.verified,
            mode: taken.mode,
            basis: taken.basis,
        };
        let vigil = Vigil {
            store: &self.store,
            clock: &*self.clock,
            tenant: &order.tenant,
            run: &order.run,
            pulse: self.pulse,
        };
        let way = async {
            let provider = provider.map_err(Halt::early)?;
            if taken.is_outdated {
                return Err(Halt::early(overtaken("begin")));
            }
            go(&begun, provider).await
        };
        let gone = tokio::select! {
            biased;
            gone = way => gone,
            never = vigil.keep(&interrupt) => match never {},
        };
        let report = match gone {
            Ok(record) => report(&record)?,
            Err(halt) => self.end_as_failed(&begun, halt).await?,
        };
        tracing::info!(
            outcome = report.outcome.as_str(),
            report.duration_ms,
            "the run has ended"
        );
        signals.events.emit(RunEvent::Ended {
            run: order.run.clone(),
            outcome: report.outcome,
        });
        Ok(report)
    }

    /// Takes the directory's lease.
    async fn begin(&self, order: &RunOrder) -> Result<Taken, EngineError> {
        let now = self.clock.now();
        let before = self
            .store
            .directory(&order.tenant, order.directory.as_str())
            .await?;
        let mode = choose_mode(order, &before, now);
        let Some(verified) = before.verified else {
            return Err(EngineError::NotVerified { name: before.name });
        };
        let dead = before
            .lease
            .filter(|lease| !Owner::is_alive(self.owner.folder(), &lease.owner));
        let basis = self
            .store
            .begin_run(
                &order.tenant,
                NewRun {
                    run: order.run.clone(),
                    directory: order.directory.clone(),
                    trigger: order.trigger,
                    mode,
                    dry_run: order.dry_run,
                    started_at: now,
                    plugin_version: order.plugin_version.clone(),
                    owner: self.owner.id().clone(),
                    takes_over: dead.map(|lease| lease.fence).or(order.takes_over),
                },
            )
            .await;
        let basis = match basis {
            Err(StoreError::Leased { lease }) => return Err(self.busy(order, before.name, lease).await),
            other => other?,
        };
        // What another run left before the lease was had counts too.
        match self
            .store
            .directory(&order.tenant, order.directory.as_str())
            .await
        {
            Ok(directory) => Ok(Taken {
                is_outdated: !mode::suffices(mode, choose_mode(order, &directory, now)),
                verified: directory.verified.clone().unwrap_or(verified),
                directory,
                mode,
                basis,
            }),
            Err(error) => {
                let failure = store_failure("begin", &error);
                let times = Times {
                    last_began_at: Some(now),
                    ..before.times
                };
                let facts = RunFacts {
                    after: unbegun(before.failing.as_ref(), &times, &failure, self.jitter(), now),
                    ..RunFacts::default()
                };
                let end = RunEnd::Failed {
                    failure,
                    keeps_staging: true,
                };
                self.store.end_run(&order.tenant, &order.run, end, facts).await?;
                Err(error.into())
            }
        }
    }

    fn jitter(&self) -> Jitter {
        Jitter::new((self.random)())
    }

    async fn busy(&self, order: &RunOrder, name: String, lease: Lease) -> EngineError {
        let since = match self.store.run(&order.tenant, &lease.run).await {
            Ok(run) => run.started_at,
            Err(error) => return error.into(),
        };
        EngineError::Busy {
            name,
            run: lease.run,
            since,
        }
    }

    async fn end_as_failed(&self, begun: &Begun<'_>, halt: Halt) -> Result<RunReport, EngineError> {
        let order = begun.order;
        let after = begun.after_failure(&halt);
        let Halt {
            failure,
            spent,
            keeps_staging,
        } = halt;
        let facts = RunFacts { after, ..spent.facts };
        let end = RunEnd::Failed {
            failure: failure.clone(),
            keeps_staging,
        };
        let (record, has_lost) = match self.store.end_run(&order.tenant, &order.run, end, facts).await {
            // The removal or the disabling of the directory has ended the run already, and said why; or whoever took
            // it over has.
            Err(StoreError::RunEnded { .. } | StoreError::LeaseLost { .. }) => {
                (self.store.run(&order.tenant, &order.run).await, true)
            }
            other => (other, false),
        };
        let record = record.map_err(|source| EngineError::Unrecorded {
            run: order.run.clone(),
            failure: Box::new(failure),
            source,
        })?;
        let mut report = report(&record)?;
        // Whoever takes a run over can only say that its process was gone.
        if has_lost
            && report
                .error
                .as_ref()
                .is_some_and(|error| error.kind == ErrorKind::Host)
        {
            report.error = Some(taken_over("lease"));
        }
        if let Some(told) = &report.error {
            // Whoever asked for the run is told by its report; nobody else tells of one that the schedule began.
            match order.trigger {
                Trigger::Schedule => {
                    tracing::warn!(kind = %told.kind, stage = told.stage, "{}", told.summary);
                }
                Trigger::Manual | Trigger::Removal => {
                    tracing::info!(kind = %told.kind, stage = told.stage, "{}", told.summary);
                }
            }
        }
        Ok(report)
    }
}

/// What every line of a run's log carries, whatever level is logged.
fn span(order: &RunOrder) -> Span {
    tracing::error_span!("run", run = %order.run, directory = %order.directory)
}

/// A lease that was taken, and the directory that it is for.
struct Taken {
    directory: Directory,
    verified: Verified,
    mode: Mode,
    basis: RunBasis,
    /// Whether a run that ended just before asks for more than the mode that was chosen reads.
    is_outdated: bool,
}

/// What a run leaves that had its lease and could not begin: the host's failure, in the row of those before it.
fn unbegun(
    before: Option<&Failing>,
    times: &Times,
    failure: &Failure,
    jitter: Jitter,
    now: UnixMillis,
) -> Aftermath {
    let nothing = Spent::default();
    again::after(
        before,
        &nothing.attempt(AttemptEnd::Failed(failure)),
        times,
        jitter,
        now,
    )
}

fn choose_mode(order: &RunOrder, directory: &Directory, now: UnixMillis) -> Mode {
    let plugin_changed = directory.last_full_plugin_version.as_ref() != Some(&order.plugin_version)
        || directory.last_full_contract.as_ref() != Some(&order.contract);
    mode::choose(ModeGrounds {
        full_is_asked: order.full,
        full_is_due: directory.full_run_due || plugin_changed,
        last_full_read: directory.last_full_at,
        now,
    })
}

/// The way of a run that nothing stops.
async fn go(begun: &Begun<'_>, provider: Arc<dyn Provider>) -> Result<RunRecord, Halt> {
    let reading = begun.open_staging().await?;
    let read = reading.read(provider).await?;
    let planned = read.plan().await?;
    planned.settle().await
}

fn report(record: &RunRecord) -> Result<RunReport, EngineError> {
    record.report().ok_or_else(|| EngineError::Unended {
        run: record.run.clone(),
    })
}

#[cfg(test)]
mod tests {
    use idsync_store::KindRow;

    use super::*;

    #[test]
    fn runs_6_a_run_that_the_store_kept_from_beginning_is_tried_again_and_forgets_no_failure() {
        let now = UnixMillis(1_800_000_000_000);
        let earlier = UnixMillis(now.0 - 3_600_000);
        let times = Times {
            every: Duration::from_hours(2),
            last_began_at: Some(now),
            next_try_at: None,
            not_before: None,
            is_due: false,
        };
        let failing = Failing {
            failure: Failure::new(ErrorKind::Unauthorized, "token", "refused", ""),
            since: earlier,
            last: earlier,
            in_a_row: 1,
            row: Some(KindRow {
                kind: ErrorKind::Unauthorized,
                first: earlier,
                last: earlier,
                count: 1,
            }),
        };
        let failure = Failure::new(ErrorKind::Host, "begin", "the disk is full", "");
        let after = unbegun(Some(&failing), &times, &failure, Jitter::new(0.5), now);
        assert_eq!(after.next_try_at, Some(now.plus(Duration::from_mins(5))));
        let left = after.failing.unwrap();
        assert_eq!((left.since, left.in_a_row, left.row), (earlier, 2, failing.row));
        assert_eq!(left.failure.kind, ErrorKind::Host);
    }
}
