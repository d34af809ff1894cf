//! A service in simulated time: its scheduler, a step at a time, over the directories of a world.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use idsync_engine::scheduler::{Bound, Listener, Providers, Scheduler, SchedulerOptions};
use idsync_model::{
    DirectoryId, ErrorKind, EventSink, Failure, NoEvents, Outcome, Provider, RunId, RunReport, TenantName,
    UnixMillis,
};
use idsync_store::Scheduled;
use tokio::sync::watch;

use crate::clock::TestClock;
use crate::org::{Org, OrgProvider};
use crate::world::World;

/// A run that has ended: when, of which directory, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub at: UnixMillis,
    pub directory: DirectoryId,
    pub report: RunReport,
}

/// What the scheduler is given, and what it told.
pub struct Host {
    pub providers: Mutex<HashMap<DirectoryId, Arc<OrgProvider>>>,
    pub hosts: Mutex<HashMap<DirectoryId, Vec<String>>>,
    /// The directories whose hosts can't be told.
    pub untold: Mutex<Vec<DirectoryId>>,
    /// The directories whose hosts were asked for.
    pub asked: Mutex<Vec<DirectoryId>>,
    /// Why no provider can be bound.
    pub unbound: Mutex<Option<Failure>>,
    /// The directories whose binding panics.
    pub panics: Mutex<Vec<DirectoryId>>,
    /// What the hosts of a directory wait for.
    pub compiling: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Somebody else who begins a run while the provider is bound.
    pub meanwhile: Mutex<Option<BoxFuture<'static, ()>>>,
    pub ended: Mutex<Vec<Ended>>,
    pub looks: watch::Sender<u64>,
    pub ends: watch::Sender<usize>,
    clock: Arc<TestClock>,
}

#[async_trait]
impl Providers for Host {
    async fn hosts(&self, scheduled: &Scheduled) -> Option<Vec<String>> {
        self.asked.lock().unwrap().push(scheduled.directory.clone());
        let compiling = self.compiling.lock().unwrap().take();
        if let Some(compiling) = compiling {
            compiling.await;
        }
        if self.untold.lock().unwrap().contains(&scheduled.directory) {
            return None;
        }
        let hosts = self.hosts.lock().unwrap();
        Some(hosts.get(&scheduled.directory).cloned().unwrap_or_default())
    }

    async fn bind(&self, scheduled: &Scheduled, _: &RunId) -> Result<Bound, Failure> {
        let is_broken = self.panics.lock().unwrap().contains(&scheduled.directory);
        assert!(!is_broken, "this directory's plugin breaks the host");
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
        if let Some(failure) = self.unbound.lock().unwrap().clone() {
            return Err(failure);
        }
        let provider = Arc::clone(&self.providers.lock().unwrap()[&scheduled.directory]);
        Ok(Bound {
            provider: provider as Arc<dyn Provider>,
            plugin_version: "1.0.0".to_owned(),
            plugin_digest: "digest-1".to_owned(),
            contract: "idsync:plugin@1.0.0".to_owned(),
            notes: Vec::new(),
        })
    }
}

impl Listener for Host {
    fn looked(&self, _: Duration) {
        self.looks.send_modify(|count| *count += 1);
    }

    fn events(&self, _: &Scheduled, _: &RunId) -> Arc<dyn EventSink> {
        Arc::new(NoEvents)
    }

    fn ended(&self, scheduled: &Scheduled, report: &RunReport) {
        self.ended.lock().unwrap().push(Ended {
            at: self.clock.time(),
            directory: scheduled.directory.clone(),
            report: report.clone(),
        });
        self.ends.send_modify(|count| *count += 1);
    }
}

/// A running service.
pub struct Service {
    pub scheduler: Scheduler,
    pub host: Arc<Host>,
    clock: Arc<TestClock>,
}

impl Service {
    /// A service of a world whose directory has just been enabled.
    pub async fn of(world: &World) -> Self {
        Self::with(world, SchedulerOptions::default()).await
    }

    pub async fn with(world: &World, options: SchedulerOptions) -> Self {
        world.enable().await;
        Self::unchanged(world, options)
    }

    /// A service of a world as it is.
    pub fn unchanged(world: &World, options: SchedulerOptions) -> Self {
        let providers = [(world.directory.clone(), Arc::clone(&world.provider))];
        let host = Arc::new(Host {
            providers: Mutex::new(providers.into()),
            hosts: Mutex::default(),
            untold: Mutex::default(),
            asked: Mutex::default(),
            unbound: Mutex::default(),
            panics: Mutex::default(),
            compiling: Mutex::default(),
            meanwhile: Mutex::default(),
            ended: Mutex::default(),
            looks: watch::Sender::new(0),
            ends: watch::Sender::new(0),
            clock: Arc::clone(&world.clock),
        });
        let scheduler = Scheduler::new(
            world.syncer(),
            Arc::clone(&host) as Arc<dyn Providers>,
            Arc::clone(&host) as Arc<dyn Listener>,
            options,
            world.stop.clone(),
        );
        Self {
            scheduler,
            host,
            clock: Arc::clone(&world.clock),
        }
    }

    /// Adds a verified directory of a tenant that reaches `host`.
    pub async fn add(&self, world: &World, tenant: &TenantName, name: &str, host: &str) -> Arc<OrgProvider> {
        let (directory, provider) = world.add_directory(tenant, name, Org::of(1)).await;
        self.host
            .hosts
            .lock()
            .unwrap()
            .insert(directory.clone(), vec![host.to_owned()]);
        self.host
            .providers
            .lock()
            .unwrap()
            .insert(directory, Arc::clone(&provider));
        provider
    }

    /// The directories whose hosts were asked for since this was last asked.
    pub fn take_asked(&self) -> Vec<DirectoryId> {
        std::mem::take(&mut *self.host.asked.lock().unwrap())
    }

    /// Looks, and waits for all that was started. Answers how many runs were.
    pub async fn settle(&mut self) -> usize {
        let before = self.host.ended.lock().unwrap().len();
        self.scheduler.look().await.unwrap();
        while self.scheduler.running() > 0 {
            self.scheduler.wait_for_end().await;
            self.scheduler.go_on().await.unwrap();
        }
        self.host.ended.lock().unwrap().len() - before
    }

    /// Lets time pass, with a look at each step of it.
    pub async fn pass(&mut self, time: Duration, step: Duration) {
        let mut left = time;
        while !left.is_zero() {
            self.settle().await;
            let step = step.min(left);
            self.clock.advance(step);
            left -= step;
        }
        self.settle().await;
    }

    pub async fn pass_hours(&mut self, hours: u64) {
        self.pass(Duration::from_hours(hours), Duration::from_mins(1))
            .await;
    }

    /// The runs that ended since this was last asked.
    pub fn take_ended(&self) -> Vec<Ended> {
        std::mem::take(&mut *self.host.ended.lock().unwrap())
    }
}

/// Minutes from one moment to another.
pub fn minutes_between(from: UnixMillis, to: UnixMillis) -> u64 {
    to.since(from).as_secs() / 60
}

/// A failure as a plugin tells it.
pub fn failure(kind: ErrorKind) -> Failure {
    Failure::new(kind, "users", format!("the org answered: {kind}"), "")
}

/// From now on the org's runs fail so.
pub fn fails(provider: &OrgProvider, kind: ErrorKind) {
    provider.does(move |_, _| async move { Err(failure(kind)) });
}

pub fn succeeded(ended: &Ended) -> bool {
    ended.report.outcome == Outcome::Succeeded
}
