//! What the runs of one sequence share: the org, what they have read, what happens to them, and what must come of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use idsync_engine::{RunOrder, cancel};
use idsync_model::{
    CallContext, DirectoryState, DisabledReason, ErrorKind, EventSink, Failure, Mode, Outcome, RunEvent,
    RunId, Settings, UnixMillis,
};
use idsync_store::{PurgeOrder, Store, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::model::{Model, Plan, Reading, Stands, State};
use super::reader::{self, Place};
use super::steps::{At, Event, Meanwhile, Run};
use crate::org::Org;
use crate::world::{World, at_start};

/// How often each thing happened.
pub type Tally = BTreeMap<&'static str, u32>;

/// What happens to one run.
#[derive(Default)]
pub struct Script {
    events: Vec<(At, Event)>,
    pub checkpoint_every: u8,
    pub refuses_place: (bool, bool),
    pub cancel: CancellationToken,
    pub stop: CancellationToken,
    /// Told when the process dies.
    pub death: Notify,
    /// What a full run must make up for, of all that was when this one began.
    full_mark: u64,
    must_be_full: bool,
    /// The settings that it reads with.
    settings: u64,
}

impl Script {
    pub fn of(run: &Run) -> Self {
        Self {
            events: run.events.clone(),
            checkpoint_every: run.checkpoint_every,
            refuses_place: run.refuses_place,
            ..Self::default()
        }
    }

    /// One to which nothing happens.
    fn quiet() -> Self {
        Self {
            checkpoint_every: 1,
            ..Self::default()
        }
    }
}

/// What a run has read, with the org where it stood still meanwhile.
type Read = (Reading, Option<Org>);

pub struct Course {
    /// A process besides the one that runs the steps.
    pub other: World,
    pub model: Mutex<Model>,
    scripts: Mutex<HashMap<RunId, Arc<Script>>>,
    places: Mutex<Vec<Place>>,
    read: Mutex<HashMap<RunId, Read>>,
    /// The org that was applied last.
    good: Mutex<Org>,
    tally: Mutex<Tally>,
}

impl Course {
    /// The course of a world whose provider reads page by page from now on.
    pub fn begin(world: &World) -> Arc<Self> {
        Arc::new_cyclic(|course: &Weak<Self>| {
            let (course, provider) = (course.clone(), Arc::downgrade(&world.provider));
            world.provider.does(move |staging, context| {
                let course = course.upgrade().expect("the course outlives its runs");
                let provider = provider.upgrade().expect("so does the provider");
                let request = provider.requests.lock().unwrap().pop();
                let resume = request.expect("it was kept before").resume;
                reader::read(course, resume, staging, context)
            });
            Self {
                other: world.beside(),
                model: Mutex::default(),
                scripts: Mutex::default(),
                places: Mutex::default(),
                read: Mutex::default(),
                good: Mutex::default(),
                tally: Mutex::default(),
            }
        })
    }

    pub fn org(&self) -> Org {
        self.other.provider.org.lock().unwrap().clone()
    }

    /// The provider's clock, which does not jump.
    pub fn provider_time(&self) -> UnixMillis {
        use idsync_model::Clock;
        at_start().plus(self.other.clock.monotonic())
    }

    pub fn change(&self, edit: &super::steps::Edit) {
        let now = self.provider_time();
        let good = self.good.lock().unwrap();
        self.other.provider.change(|org| edit.make(org, &good, now));
    }

    pub fn tally(&self, what: &'static str) {
        *self.tally.lock().unwrap().entry(what).or_default() += 1;
    }

    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock().unwrap())
    }

    /// A run is about to begin.
    pub fn put_script(&self, run: &RunId, mut script: Script) -> Arc<Script> {
        {
            let model = self.model.lock().unwrap();
            script.full_mark = model.full_mark;
            script.settings = model.settings;
            script.must_be_full = model.full_mark > model.full_mark_done;
        }
        let script = Arc::new(script);
        self.scripts
            .lock()
            .unwrap()
            .insert(run.clone(), Arc::clone(&script));
        script
    }

    pub fn script(&self, run: &RunId) -> Arc<Script> {
        Arc::clone(&self.scripts.lock().unwrap()[run])
    }

    /// Keeps how far a reading has come. Returns the plugin's own state for a checkpoint.
    pub fn keep_place(&self, place: &Place) -> Vec<u8> {
        let mut places = self.places.lock().unwrap();
        places.push(place.clone());
        (places.len() - 1).to_string().into_bytes()
    }

    pub fn place(&self, state: &[u8]) -> Place {
        let number: usize = std::str::from_utf8(state).unwrap().parse().unwrap();
        self.places.lock().unwrap()[number].clone()
    }

    /// A run has read everything.
    pub fn note_read(&self, run: &RunId, reading: Reading, org: Option<Org>) {
        self.read.lock().unwrap().insert(run.clone(), (reading, org));
    }

    /// Does to a run what is to happen at this moment.
    pub async fn meet(&self, run: &RunId, at: At, context: Option<&CallContext>) -> Result<(), Failure> {
        let script = self.script(run);
        for (_, event) in script.events.iter().filter(|(of, _)| *of == at) {
            self.happen(run, &script, event, context).await?;
        }
        Ok(())
    }

    async fn happen(
        &self,
        run: &RunId,
        script: &Script,
        event: &Event,
        context: Option<&CallContext>,
    ) -> Result<(), Failure> {
        match event {
            Event::Die => {
                script.death.notify_one();
                if context.is_some() {
                    std::future::pending::<()>().await;
                }
            }
            Event::Fail(kind) => {
                if context.is_some() {
                    return Err(Failure::new(*kind, "read", "the org is away", ""));
                }
            }
            Event::Cancel => {
                script.cancel.cancel();
                return end_when_told(context).await;
            }
            Event::Stop => {
                script.stop.cancel();
                return end_when_told(context).await;
            }
            Event::AskToCancel => {
                let other = &self.other;
                let asked = aside(cancel(&*other.store, &other.tenant, run));
                asked.expect("a run that is known");
                return end_when_told(context).await;
            }
            Event::BeBusy => aside(self.run_beside(None)),
            Event::TakeOver => aside(async {
                let lease = self.other.directory().await.lease;
                self.run_beside(lease.map(|lease| lease.fence)).await;
            }),
            Event::Change(edit) => {
                self.tally("org changed while read");
                self.change(edit);
            }
            Event::Meet(meanwhile) => aside(self.meet_directory(meanwhile)),
        }
        Ok(())
    }

    /// A run of the other process.
    async fn run_beside(&self, takes_over: Option<u64>) {
        let order = RunOrder {
            takes_over,
            ..self.other.order()
        };
        let run = order.run.clone();
        let is_free = self.other.directory().await.lease.is_none();
        self.put_script(&run, Script::quiet());
        let ended = Box::pin(self.other.try_run(order)).await;
        if takes_over.is_some() || is_free {
            let report = ended.expect("nothing is in its way");
            assert!(
                matches!(report.outcome, Outcome::Succeeded | Outcome::Held),
                "{report:?}"
            );
            self.tally(if is_free { "run beside" } else { "taken over" });
            self.settle(&*self.other.store, &run).await;
        } else {
            let error = ended.expect_err("a run goes on");
            assert!(
                matches!(error, idsync_engine::EngineError::Busy { .. }),
                "{error:?}"
            );
            self.tally("busy");
        }
    }

    /// Does to the directory what is to happen.
    pub async fn meet_directory(&self, meanwhile: &Meanwhile) {
        let World {
            store,
            tenant,
            directory,
            clock,
            ..
        } = &self.other;
        match meanwhile {
            Meanwhile::Approve(latest) => self.approve_plan(*latest).await,
            Meanwhile::Discard(latest) => self.discard_plan(*latest).await,
            Meanwhile::Disable => {
                self.tally("disabled");
                let reason = Some(DisabledReason::Person);
                let disabled = store.set_state(tenant, directory, DirectoryState::Disabled, reason);
                disabled.await.unwrap();
            }
            Meanwhile::Enable => self.other.enable().await,
            Meanwhile::VerifySettings => {
                self.tally("settings verified");
                let settings = {
                    let mut model = self.model.lock().unwrap();
                    model.settings = 1 - model.settings;
                    model.settings
                };
                let domain = ["example.com", "example.org"][usize::try_from(settings).unwrap()];
                self.verify(|verified| {
                    verified.settings = Settings::from_iter([("domain".to_owned(), domain.to_owned())]);
                    domain.clone_into(&mut verified.fingerprint);
                })
                .await;
            }
            Meanwhile::VerifyKey => {
                self.tally("key verified");
                self.verify(|verified| verified.fingerprint.push('\'')).await;
            }
            Meanwhile::Purge(days) => {
                clock.advance(Duration::from_hours(24) * *days);
                let order = PurgeOrder {
                    tombstones: Duration::from_hours(24) * (*days).saturating_sub(1),
                    ..PurgeOrder::default()
                };
                let purged = store.purge(order).await.unwrap();
                self.model.lock().unwrap().limits.purge();
                if purged.users > 0 {
                    self.tally("tombstones purged");
                }
                if purged.changes > 0 {
                    self.tally("changes purged");
                    self.model.lock().unwrap().is_feed_whole = false;
                }
            }
            Meanwhile::JumpBack => {
                self.tally("clock set back");
                clock.jump_back(Duration::from_hours(1));
            }
        }
    }

    async fn verify(&self, change: impl FnOnce(&mut idsync_store::Verified)) {
        let World {
            store,
            tenant,
            directory,
            ..
        } = &self.other;
        let now = self.other.directory().await;
        let mut verified = now.verified.expect("verified at the begin");
        change(&mut verified);
        self.model.lock().unwrap().full_mark += 1;
        store
            .record_verification(tenant, directory, verified, now.settings_mark)
            .await
            .unwrap();
    }

    /// Takes into account how a run has ended, or what it did before its process died. Answers what became of it, if it
    /// came to begin.
    pub async fn settle(&self, store: &dyn Store, run: &RunId) -> Option<Option<Outcome>> {
        let World { tenant, .. } = &self.other;
        let record = match store.run(tenant, run).await {
            Err(StoreError::UnknownRun { .. }) => return None,
            record => record.unwrap(),
        };
        let generation = self.other.directory().await.generation;
        let read = self.read.lock().unwrap().remove(run);
        let script = self.script(run);
        let mut model = self.model.lock().unwrap();
        let is_full = record.mode == Mode::Full;
        assert!(is_full || !script.must_be_full, "it makes up for what was");
        let is_of_use = matches!(record.outcome, Some(Outcome::Succeeded | Outcome::Held)) && !record.dry_run;
        assert!(
            !is_of_use || script.settings == model.settings,
            "what was read with other settings is of no use"
        );
        let makes_up_for = if is_full { script.full_mark } else { 0 };
        let generation_before = std::mem::replace(&mut model.generation, generation);
        match record.outcome {
            Some(Outcome::Succeeded) if !record.dry_run => {
                assert!(generation > generation_before, "each apply raises it");
                model.full_mark_done = model.full_mark_done.max(makes_up_for);
                let (reading, org) = read.expect("it has read everything");
                let after = model.state.after(&reading);
                if let Some(org) = &org {
                    let whole = State::default().after(&Reading::of(org));
                    assert_eq!(
                        after.lines(),
                        whole.lines(),
                        "{:?} or not, it equals the org",
                        record.mode
                    );
                }
                if let Some(org) = org {
                    *self.good.lock().unwrap() = org;
                }
                let is_first = model.applied.is_empty();
                self.tally(if is_full {
                    "applied: full"
                } else {
                    "applied: incremental"
                });
                if record.resumed_from.is_some() {
                    self.tally("applied: resumed");
                }
                if !is_first && returns_with_lists(&model.state, &after, &reading) {
                    self.tally("returned to a list that was not read");
                }
                if model.plans.last().is_some_and(|plan| plan.stands == Stands::Held) {
                    self.tally("applied in place of a held one");
                }
                let now = self.other.clock.time();
                let before = model.state.clone();
                model.limits.apply(&before, &after, now);
                model.apply(run, after);
            }
            Some(Outcome::Held) => {
                let (reading, _) = read.expect("it has read everything");
                if model.plans.last().is_some_and(|plan| plan.stands == Stands::Held) {
                    self.tally("held in place of a held one");
                }
                self.tally("held");
                let (before, after) = (model.state.clone(), model.state.after(&reading));
                let (settings, now) = (model.settings, self.other.clock.time());
                model.limits.hold(now);
                model.hold(Plan {
                    run: run.clone(),
                    before,
                    after,
                    generation,
                    settings,
                    made_at: now,
                    makes_up_for,
                    stands: Stands::Held,
                    is_kept: true,
                    approved_as: None,
                });
            }
            Some(Outcome::Succeeded) => self.tally("dry run"),
            Some(Outcome::Failed) => self.tally("failed"),
            Some(Outcome::Cancelled) => self.tally("cancelled"),
            Some(_) | None => {}
        }
        Some(record.outcome)
    }
}

/// What others do meanwhile, on a thread of their own: it does not die with the process that runs the steps.
fn aside<T: Send>(what: impl Future<Output = T> + Send) -> T {
    let apart = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(what)
    };
    std::thread::scope(|scope| match scope.spawn(apart).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// A plugin that was told to end does so.
async fn end_when_told(context: Option<&CallContext>) -> Result<(), Failure> {
    let Some(context) = context else {
        return Ok(());
    };
    context.cancel.cancelled().await;
    Err(Failure::new(ErrorKind::Cancelled, "read", "told to end", ""))
}

/// Whether somebody is back who is in a list that was not read again.
fn returns_with_lists(before: &State, after: &State, read: &Reading) -> bool {
    let memberships = after.memberships();
    memberships
        .filter(|(group, user)| !read.lists.contains_key(*group) && !before.users.contains_key(*user))
        .count()
        > 0
}

/// Has things happen between the stages of a run.
pub struct Watcher {
    pub course: Arc<Course>,
    pub run: RunId,
}

impl EventSink for Watcher {
    fn emit(&self, event: RunEvent) {
        let RunEvent::Progress { stage, .. } = event else {
            return;
        };
        let at = match stage.as_str() {
            "plan" => At::Plan,
            "apply" | "hold" => At::End,
            _ => return,
        };
        let met = aside(self.course.meet(&self.run, at, None));
        met.expect("no plugin is running that could fail");
    }
}
