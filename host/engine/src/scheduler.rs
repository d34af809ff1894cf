//! Carries out what [`due`] and [`pick`] decide: starts runs, waits for their ends, and stops when the process does.

mod carry;
mod idle;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use idsync_model::{
    CancellationToken, DirectoryId, EventSink, Failure, OwnerId, Provider, RunId, RunReport, TenantName,
    with_causes,
};
use idsync_store::{Scheduled, StoreError};
use tokio::task::{Id, JoinSet};
use tokio::time::MissedTickBehavior;

use self::carry::{Parts, has_run};
use self::idle::{Idle, hosts};
use crate::due::Due;
use crate::error::EngineError;
use crate::lease::{Watch, dead_of};
use crate::operations::purge_if_due;
use crate::pick::{self, Bounds, Running, Turns, Waiting};
use crate::run::{ReadLimits, Sync};

/// How long the scheduler goes without a look at all directories, which a command line may have changed.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often it asks whether a purge is due.
const ASK_FOR_PURGE_EVERY: Duration = Duration::from_hours(1);

/// What the scheduler asks of whoever puts the host together.
#[async_trait]
pub trait Providers: Send + std::marker::Sync {
    /// The hosts that runs of a directory reach, each as `HOST:PORT`; nothing where they can't be told now. It may take a
    /// while, and is asked once of a directory that is due and whose hosts are not stored, and where they could not be
    /// told, again before each of its runs.
    async fn hosts(&self, scheduled: &Scheduled) -> Option<Vec<String>>;

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
    /// It has looked at all directories, and started what was due, at this time of the clock's monotonic time.
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
/// [`Scheduler::look`], [`Scheduler::wait_for_end`] and [`Scheduler::go_on`].
///
/// It looks at all directories every few seconds, and between two looks at those alone whose run ended or is about to
/// begin: what the end of a run costs does not grow with the number of directories.
pub struct Scheduler {
    parts: Arc<Parts>,
    options: SchedulerOptions,
    watch: Watch,
    turns: Turns,
    runs: JoinSet<Result<(), EngineError>>,
    running: HashMap<Id, (DirectoryId, Running)>,
    /// The directories that nobody runs, as they were when they were last looked at.
    idle: BTreeMap<DirectoryId, Idle>,
    /// Those whose run has ended since.
    ended: Vec<(TenantName, DirectoryId)>,
    /// Directories of which no run came to be, until this monotonic time: what prevented it is likely still there.
    resting: HashMap<DirectoryId, Duration>,
    /// Hosts that were asked for; nothing where they could not be told. What they come from changes with the next
    /// verification only, which stores them.
    told_hosts: HashMap<DirectoryId, Option<Vec<String>>>,
    purge: JoinSet<()>,
    next_purge: Duration,
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
            idle: BTreeMap::new(),
            ended: Vec::new(),
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
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wait = LOOK_EVERY;
        loop {
            let is_time_to_look = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = looks.tick() => true,
                () = self.wait_for_end(), if !self.runs.is_empty() => false,
                () = tokio::time::sleep(wait) => false,
            };
            let looked = async {
                if is_time_to_look {
                    self.look().await
                } else {
                    self.go_on().await
                }
            };
            // To tell a directory's hosts a plugin may have to be compiled, which takes a while.
            let looked = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                looked = looked => looked,
            };
            wait = looked.unwrap_or_else(|error| {
                tracing::error!("the directories could not be looked at: {}", with_causes(&error));
                LOOK_EVERY
            });
        }
        tracing::info!(runs = self.runs.len(), "no run is started any more");
        while !self.runs.is_empty() {
            self.wait_for_end().await;
        }
        // Each of a purge's transactions leaves a store that is right; what is not done yet, the next purge does.
        self.purge.shutdown().await;
    }

    /// Looks at all directories, and starts those that are due as far as the bounds let it. Answers how long it may be
    /// until the next step.
    pub async fn look(&mut self) -> Result<Duration, StoreError> {
        let sync = &self.parts.sync;
        let schedules = sync.store.schedules().await?;
        let (now, monotonic) = (sync.clock.now(), sync.clock.monotonic());
        self.forget_those_gone(&schedules, monotonic);
        self.ended.clear();
        self.idle.clear();
        let dead = self.dead_among(&schedules).await;
        for scheduled in schedules {
            if self.runs_here(&scheduled.directory) {
                continue;
            }
            let mut idle = Idle::free(scheduled);
            if let Some(lease) = &idle.scheduled.lease {
                // Every lease is watched, whether its directory is due or not: that it stands still takes time to see.
                let stands_still = self
                    .watch
                    .stands_still(&idle.scheduled.directory, lease, monotonic);
                if !stands_still && !dead.contains(&lease.owner) {
                    continue;
                }
                idle.takes_over = Some(lease.fence);
                if let Some(rest) = self.parts.rest(&idle.scheduled, now).await? {
                    idle.rests_until = monotonic + rest;
                }
            }
            self.idle.insert(idle.scheduled.directory.clone(), idle);
        }
        let wait = self.start_due().await?;
        // Not after a step that looks at some alone: runs may go on ending while no look at all succeeds.
        let monotonic = self.parts.sync.clock.monotonic();
        self.parts.listener.looked(monotonic);
        Ok(wait)
    }

    /// Looks at the directories whose run has ended, and starts what is due as [`Scheduler::look`] does.
    pub async fn go_on(&mut self) -> Result<Duration, StoreError> {
        while let Some((tenant, directory)) = self.ended.pop() {
            let scheduled = self.parts.sync.store.schedule(&tenant, &directory).await?;
            // A lease is another one's, which the next look watches.
            if let Some(scheduled) = scheduled.filter(|scheduled| scheduled.lease.is_none()) {
                self.idle.insert(directory, Idle::free(scheduled));
            }
        }
        self.start_due().await
    }

    /// Starts what is due as far as the bounds let it. Answers how long it may be until more is.
    async fn start_due(&mut self) -> Result<Duration, StoreError> {
        let wait = loop {
            let (picked, wait) = self.pick().await;
            let mut all_began = true;
            for directory in picked {
                all_began &= self.start(directory).await?;
            }
            if all_began {
                break wait;
            }
        };
        let monotonic = self.parts.sync.clock.monotonic();
        self.start_purge(monotonic);
        Ok(wait)
    }

    /// What may be started of what is due, and how long it may be until more is due.
    async fn pick(&mut self) -> (Vec<DirectoryId>, Duration) {
        let clock = &self.parts.sync.clock;
        let (now, monotonic) = (clock.now(), clock.monotonic());
        let mut wait = LOOK_EVERY;
        let mut due = Vec::new();
        if self.parts.stop.is_cancelled() {
            return (due, wait);
        }
        let mut waiting = Vec::new();
        for (id, idle) in &self.idle {
            let rests_until = self.resting.get(id).copied().unwrap_or_default();
            let rest = idle.rests_until.max(rests_until).saturating_sub(monotonic);
            match idle.due(now) {
                _ if !rest.is_zero() => wait = wait.min(rest),
                Due::At(at) => wait = wait.min(at.since(now)),
                Due::Since(since) => waiting.push((id, idle, since)),
            }
        }
        for (id, Idle { scheduled, .. }, _) in &waiting {
            if scheduled.hosts.is_none() && !self.told_hosts.contains_key(*id) {
                let hosts = self.parts.providers.hosts(scheduled).await;
                self.told_hosts.insert((*id).clone(), hosts);
            }
        }
        let hosts = |scheduled| hosts(&self.told_hosts, scheduled);
        let told: Vec<_> = waiting
            .iter()
            .map(|(_, Idle { scheduled, .. }, since)| Waiting {
                tenant: &scheduled.tenant,
                hosts: hosts(scheduled).unwrap_or_default(),
                since: *since,
            })
            .collect();
        let running: Vec<_> = self.running.values().map(|(_, running)| running).collect();
        let places = pick::next(&told, &running, self.options.bounds, &mut self.turns);
        due.extend(places.into_iter().map(|place| waiting[place].0.clone()));
        (due, wait)
    }

    /// Waits for the end of one run. Comes back at once when there is none.
    pub async fn wait_for_end(&mut self) {
        let (task, end) = match self.runs.join_next_with_id().await {
            Some(Ok((task, end))) => (task, Ok(end)),
            Some(Err(broken)) => (broken.id(), Err(broken)),
            None => return,
        };
        let Some((directory, Running { tenant, .. })) = self.running.remove(&task) else {
            return;
        };
        if !has_run(&directory, end) {
            let until = self.parts.sync.clock.monotonic() + LOOK_EVERY;
            self.resting.insert(directory.clone(), until);
        }
        self.ended.push((tenant, directory));
    }

    /// Waits for the end of a purge that has begun.
    pub async fn wait_for_purge(&mut self) {
        while self.purge.join_next().await.is_some() {}
    }

    /// How many runs are in progress.
    pub fn running(&self) -> usize {
        self.runs.len()
    }

    /// Starts a directory, unless it has changed since it was looked at: then it is kept as it is now, and the choice
    /// has to be made again.
    async fn start(&mut self, directory: DirectoryId) -> Result<bool, StoreError> {
        let Some(seen) = self.idle.remove(&directory) else {
            return Ok(false);
        };
        let Parts { sync, providers, .. } = &*self.parts;
        if hosts(&self.told_hosts, &seen.scheduled).is_none() {
            // What prevented it may be over. If it is not, it most likely fails the run too, which says why.
            let told = providers.hosts(&seen.scheduled).await;
            if told.is_some() {
                self.told_hosts.insert(directory.clone(), told);
                self.idle.insert(directory, seen);
                return Ok(false);
            }
        }
        let Some(scheduled) = sync.store.schedule(&seen.scheduled.tenant, &directory).await? else {
            return Ok(false);
        };
        // Somebody else began a run, or the owner of the lease that was lost lives after all.
        if scheduled.lease.is_some() && scheduled.lease != seen.scheduled.lease {
            return Ok(false);
        }
        let present = Idle {
            takes_over: scheduled.lease.as_ref().map(|lease| lease.fence),
            scheduled,
            ..seen
        };
        let is_due = matches!(present.due(sync.clock.now()), Due::Since(_));
        if !is_due || present.scheduled.hosts != seen.scheduled.hosts {
            self.idle.insert(directory, present);
            return Ok(false);
        }
        let running = Running {
            tenant: present.scheduled.tenant.clone(),
            hosts: hosts(&self.told_hosts, &present.scheduled)
                .unwrap_or_default()
                .to_vec(),
        };
        let parts = Arc::clone(&self.parts);
        let task = self.runs.spawn(parts.carry_out(present, self.options.limits));
        self.running.insert(task.id(), (directory, running));
        Ok(true)
    }

    fn runs_here(&self, directory: &DirectoryId) -> bool {
        self.running.values().any(|(id, _)| id == directory)
    }

    /// The owners of leases that this process does not keep and that are dead.
    async fn dead_among(&self, schedules: &[Scheduled]) -> HashSet<OwnerId> {
        let owners = schedules
            .iter()
            .filter(|scheduled| !self.runs_here(&scheduled.directory))
            .filter_map(|scheduled| Some(scheduled.lease.as_ref()?.owner.clone()))
            .collect();
        dead_of(self.parts.sync.owner.folder(), owners).await
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
