//! Carries out what [`due`] and [`pick`] decide: starts runs, waits for their ends, and stops when the process does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use idsync_model::{
    CancellationToken, DirectoryId, EventSink, Failure, Provider, RunId, RunReport, Trigger, UnixMillis,
    with_causes,
};
use idsync_store::{Scheduled, StoreError};
use tokio::task::{Id, JoinError, JoinSet};

use crate::due::{self, Due};
use crate::error::EngineError;
use crate::lease::Watch;
use crate::operations::purge_if_due;
use crate::pick::{self, Bounds, Running, Turns, Waiting};
use crate::resume::died_in_a_row;
use crate::run::{ReadLimits, RunOrder, RunSignals, Sync};

/// How long the scheduler goes without a look at the store, which a command line may have changed.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often it asks whether a purge is due.
const ASK_FOR_PURGE_EVERY: Duration = Duration::from_hours(1);

/// How many earlier runs of a directory whose lease was lost are looked at: more make no longer rest.
const DEATHS_LOOKED_AT: u64 = 5;

/// What the scheduler asks of whoever puts the host together.
#[async_trait]
pub trait Providers: Send + std::marker::Sync {
    /// The hosts that runs of a directory reach, each as `HOST:PORT`. It may take a while, and is asked once of a
    /// directory that is due and whose hosts are not stored.
    async fn hosts(&self, scheduled: &Scheduled) -> Vec<String>;

    /// The provider for one run. A failure is recorded as that of the run. The call is dropped when the process is about
    /// to end.
    async fn bind(&self, scheduled: &Scheduled, run: &RunId) -> Result<Bound, Failure>;
}

/// A provider that is ready to be run.
pub struct Bound {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// The version of the plugin behind it.
    pub plugin_version: String,
    /// A digest of the plugin's component.
    pub plugin_digest: String,
    /// The name and version of the contract that the plugin keeps.
    pub contract: String,
    /// What the host has to say of a run with it.
    pub notes: Vec<String>,
}

/// Whoever wants to know what the scheduler does: metrics, logs, health.
pub trait Listener: Send + std::marker::Sync {
    /// It has looked at the directories, at this time of the clock's monotonic time.
    fn looked(&self, at: Duration);
    /// Hears the events of a run that is about to begin.
    fn events(&self, scheduled: &Scheduled, run: &RunId) -> Arc<dyn EventSink>;
    /// A run has ended, whatever its outcome.
    fn ended(&self, scheduled: &Scheduled, report: &RunReport);
}

/// What an operator can set.
#[derive(Debug, Clone, Copy, Default)]
pub struct SchedulerOptions {
    /// How many runs there may be at once.
    pub bounds: Bounds,
    /// How far each may go.
    pub limits: ReadLimits,
}

/// Runs directories when they are due. [`Scheduler::run`] is the whole of it; a step at a time it is
/// [`Scheduler::look`] and [`Scheduler::wait_for_end`].
pub struct Scheduler {
    parts: Arc<Parts>,
    options: SchedulerOptions,
    watch: Watch,
    turns: Turns,
    runs: JoinSet<Result<(), EngineError>>,
    running: HashMap<Id, (DirectoryId, Running)>,
    /// Directories of which no run came to be, until this monotonic time: what prevented it is likely still there.
    resting: HashMap<DirectoryId, Duration>,
    /// Hosts that were asked for. What they come from changes with the next verification only, which stores them.
    told_hosts: HashMap<DirectoryId, Vec<String>>,
    purge: JoinSet<()>,
    next_purge: Duration,
}

/// What every run needs.
struct Parts {
    sync: Sync,
    providers: Arc<dyn Providers>,
    listener: Arc<dyn Listener>,
    stop: CancellationToken,
}

/// A directory that could be started, with the lost lease that its run takes over.
struct Candidate {
    scheduled: Scheduled,
    takes_over: Option<u64>,
}

impl Scheduler {
    /// A scheduler that runs until `stop` is triggered.
    pub fn new(
        sync: Sync,
        providers: Arc<dyn Providers>,
        listener: Arc<dyn Listener>,
        options: SchedulerOptions,
        stop: CancellationToken,
    ) -> Self {
        Self {
            watch: Watch::new(sync.owner.folder().to_owned()),
            parts: Arc::new(Parts {
                sync,
                providers,
                listener,
                stop,
            }),
            options,
            turns: Turns::default(),
            runs: JoinSet::new(),
            running: HashMap::new(),
            resting: HashMap::new(),
            told_hosts: HashMap::new(),
            purge: JoinSet::new(),
            next_purge: Duration::ZERO,
        }
    }

    /// Runs directories until it is told to stop. Then it starts nothing more, tells the runs to end, and waits for
    /// them: each leaves a checkpoint, and its directory is due when the next process starts.
    pub async fn run(mut self) {
        let stop = self.parts.stop.clone();
        while !stop.is_cancelled() {
            // To tell a directory's hosts a plugin may have to be compiled, which takes a while.
            let looked = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                looked = self.look() => looked,
            };
            let wait = match looked {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!("the directories could not be looked at: {}", with_causes(&error));
                    LOOK_EVERY
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.wait_for_end(), if !self.runs.is_empty() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        tracing::info!(runs = self.runs.len(), "no run is started any more");
        while !self.runs.is_empty() {
            self.wait_for_end().await;
        }
        // Each of a purge's transactions leaves a store that is right; what is not done yet, the next purge does.
        self.purge.shutdown().await;
    }

    /// Looks at all directories, and starts those that are due as far as the bounds let it. Answers how long it may be
    /// until the next look.
    pub async fn look(&mut self) -> Result<Duration, StoreError> {
        let sync = &self.parts.sync;
        let schedules = sync.store.schedules().await?;
        let (now, monotonic) = (sync.clock.now(), sync.clock.monotonic());
        self.forget_those_gone(&schedules, monotonic);
        let mut wait = LOOK_EVERY;
        let mut candidates = Vec::new();
        let mut waiting = Vec::new();
        let in_progress: HashSet<DirectoryId> = self.running.values().map(|(id, _)| id.clone()).collect();
        for scheduled in schedules {
            let id = &scheduled.directory;
            // Every lease is watched, whether its directory is due or not: that it stands still takes time to see.
            let takes_over = match &scheduled.lease {
                Some(_) if in_progress.contains(id) => continue,
                Some(lease) if !self.watch.is_lost(id, lease, monotonic) => continue,
                lease => lease.as_ref().map(|lease| lease.fence),
            };
            if in_progress.contains(id) {
                continue;
            }
            if let Some(until) = self.resting.get(id) {
                wait = wait.min(until.saturating_sub(monotonic));
                continue;
            }
            if takes_over.is_some()
                && let Some(rest) = self.parts.rest(&scheduled, now).await?
            {
                wait = wait.min(rest);
                continue;
            }
            let since = match due::when(&scheduled.times, id, now) {
                Due::Since(since) => since,
                // The run that was interrupted is gone on with while what it read is still good.
                Due::At(_) if takes_over.is_some() => now,
                Due::At(at) => {
                    wait = wait.min(at.since(now));
                    continue;
                }
            };
            let hosts = match (&scheduled.hosts, self.told_hosts.get(id)) {
                (Some(hosts), _) | (None, Some(hosts)) => hosts.clone(),
                (None, None) => {
                    let hosts = self.parts.providers.hosts(&scheduled).await;
                    self.told_hosts.insert(id.clone(), hosts.clone());
                    hosts
                }
            };
            waiting.push(Waiting {
                tenant: scheduled.tenant.clone(),
                hosts,
                since,
            });
            candidates.push(Some(Candidate {
                scheduled,
                takes_over,
            }));
        }
        let running: Vec<_> = self
            .running
            .values()
            .map(|(_, running)| running.clone())
            .collect();
        for place in pick::next(&waiting, &running, self.options.bounds, &mut self.turns) {
            if let Some(candidate) = candidates[place].take() {
                self.start(candidate, waiting[place].hosts.clone());
            }
        }
        self.start_purge(monotonic);
        self.parts.listener.looked(monotonic);
        Ok(wait)
    }

    /// Waits for the end of one run. Comes back at once when there is none.
    pub async fn wait_for_end(&mut self) {
        let (task, end) = match self.runs.join_next_with_id().await {
            Some(Ok((task, end))) => (task, Ok(end)),
            Some(Err(broken)) => (broken.id(), Err(broken)),
            None => return,
        };
        let Some((directory, _)) = self.running.remove(&task) else {
            return;
        };
        if !has_run(&directory, end) {
            let until = self.parts.sync.clock.monotonic() + LOOK_EVERY;
            self.resting.insert(directory, until);
        }
    }

    /// Waits for the end of a purge that has begun.
    pub async fn wait_for_purge(&mut self) {
        while self.purge.join_next().await.is_some() {}
    }

    /// How many runs are in progress.
    pub fn running(&self) -> usize {
        self.runs.len()
    }

    fn start(&mut self, candidate: Candidate, hosts: Vec<String>) {
        if self.parts.stop.is_cancelled() {
            return;
        }
        let scheduled = &candidate.scheduled;
        let running = Running {
            tenant: scheduled.tenant.clone(),
            hosts,
        };
        let directory = scheduled.directory.clone();
        let parts = Arc::clone(&self.parts);
        let task = self.runs.spawn(parts.carry_out(candidate, self.options.limits));
        self.running.insert(task.id(), (directory, running));
    }

    fn forget_those_gone(&mut self, schedules: &[Scheduled], monotonic: Duration) {
        let leased: HashSet<_> = schedules
            .iter()
            .filter(|scheduled| scheduled.lease.is_some())
            .map(|scheduled| &scheduled.directory)
            .collect();
        self.watch.retain(|directory| leased.contains(directory));
        let present: HashSet<_> = schedules.iter().map(|scheduled| &scheduled.directory).collect();
        self.told_hosts.retain(|directory, _| present.contains(directory));
        let tenants: HashSet<_> = schedules.iter().map(|scheduled| &scheduled.tenant).collect();
        self.turns.retain(|tenant| tenants.contains(tenant));
        self.resting.retain(|_, until| *until > monotonic);
    }

    /// Has the store forget what is old, once a day, beside the runs.
    fn start_purge(&mut self, monotonic: Duration) {
        while self.purge.try_join_next().is_some() {}
        if monotonic < self.next_purge || !self.purge.is_empty() || self.parts.stop.is_cancelled() {
            return;
        }
        self.next_purge = monotonic + ASK_FOR_PURGE_EVERY;
        let store = Arc::clone(&self.parts.sync.store);
        self.purge.spawn(async move {
            match purge_if_due(&*store).await {
                Ok(Some(purged)) => tracing::info!(?purged, "what is old was purged"),
                Ok(None) => {}
                Err(error) => tracing::error!("what is old could not be purged: {}", with_causes(&error)),
            }
        });
    }
}

impl Parts {
    /// How long a directory is still left alone whose lease was lost: its runs may be what kills the process.
    async fn rest(&self, scheduled: &Scheduled, now: UnixMillis) -> Result<Option<Duration>, StoreError> {
        let store = &self.sync.store;
        let runs = store
            .runs(
                &scheduled.tenant,
                Some(&scheduled.directory),
                1 + DEATHS_LOOKED_AT,
            )
            .await?;
        let Some((last, earlier)) = runs.split_first() else {
            return Ok(None);
        };
        // The store does not know yet that the newest one is dead.
        let Some(rest) = due::rest_after(1 + died_in_a_row(earlier)) else {
            return Ok(None);
        };
        let until = last.started_at.plus(rest);
        Ok((last.started_at <= now && until > now).then(|| until.since(now)))
    }

    /// One run, from its provider to its report. Errs when there was none.
    async fn carry_out(self: Arc<Self>, candidate: Candidate, limits: ReadLimits) -> Result<(), EngineError> {
        let Candidate {
            scheduled,
            takes_over,
        } = candidate;
        let run = RunId::generate();
        // The plugin may take a while to be made ready.
        let bound = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            bound = self.providers.bind(&scheduled, &run) => bound,
        };
        let mut order = RunOrder {
            run: run.clone(),
            tenant: scheduled.tenant.clone(),
            directory: scheduled.directory.clone(),
            trigger: Trigger::Schedule,
            full: false,
            dry_run: false,
            plugin_version: String::new(),
            plugin_digest: String::new(),
            contract: String::new(),
            notes: Vec::new(),
            limits,
            takes_over,
        };
        let signals = RunSignals {
            cancel: CancellationToken::new(),
            stop: self.stop.clone(),
            events: self.listener.events(&scheduled, &run),
        };
        let report = match bound {
            Ok(bound) => {
                order.plugin_version = bound.plugin_version;
                order.plugin_digest = bound.plugin_digest;
                order.contract = bound.contract;
                order.notes = bound.notes;
                self.sync.run(order, bound.provider, signals).await?
            }
            Err(failure) => self.sync.fail(order, failure, signals).await?,
        };
        self.listener.ended(&scheduled, &report);
        Ok(())
    }
}

/// Whether there was a run, so that the store knows when the next one is due.
fn has_run(directory: &DirectoryId, end: Result<Result<(), EngineError>, JoinError>) -> bool {
    match end {
        Ok(Ok(())) => return true,
        Ok(Err(EngineError::Busy { run, .. })) => {
            tracing::debug!(%directory, %run, "the directory is being synced already");
        }
        Ok(Err(error)) => {
            tracing::warn!(%directory, "the directory could not be synced: {}", with_causes(&error));
        }
        Err(broken) => {
            tracing::error!(%directory, "a run broke off, which is a fault of idsync: {}", with_causes(&broken));
        }
    }
    false
}
