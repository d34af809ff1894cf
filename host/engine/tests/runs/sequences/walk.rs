//! Walks through a sequence, and looks after each step at all that must hold.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use idsync_engine::{Pulse, RunOrder};
use idsync_model::{Outcome, RunId};
use idsync_store::{ExportRow, PositionRefused, RunRecord, StoreError};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::course::{Course, Script, Tally, Watcher};
use super::feed::Follower;
use super::model::Stands;
use super::steps::{Event, Run, Sequence, Step};
use crate::world::{World, at_start};

const QUICK: Pulse = Pulse {
    ask_every: Duration::from_millis(1),
    beat_every: Duration::from_millis(2),
};

struct Walk {
    /// The process that runs the steps; there is always one but for the moment of its death.
    process: Option<(World, Runtime)>,
    course: Arc<Course>,
    follower: Follower,
    /// Who has an export, and whether the feed was whole when it was taken.
    exported: Option<Follower>,
    /// The run whose process died.
    dead: Option<RunId>,
    generation: u64,
}

/// Walks through a sequence. Returns how often each thing happened.
pub fn walk(sequence: &Sequence) -> Tally {
    let runtime = runtime();
    let world = runtime.block_on(World::new(sequence.org(at_start())));
    let course = Course::begin(&world);
    let mut walk = Walk {
        process: Some((world, runtime)),
        course,
        follower: Follower::from_start(),
        exported: None,
        dead: None,
        generation: 0,
    };
    for step in &sequence.steps {
        walk.step(step);
        walk.check();
    }
    walk.follow_export();
    walk.replay();
    walk.course.take_tally()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A run to its end, unless its process dies before.
async fn until_death<T>(run: impl Future<Output = T>, death: &Notify, dies_after: Option<u8>) -> Option<T> {
    let mut run = pin!(run);
    let mut waits = 0;
    let counted = poll_fn(|context| match run.as_mut().poll(context) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if dies_after == Some(waits) => Poll::Ready(None),
        Poll::Pending => {
            waits = waits.saturating_add(1);
            Poll::Pending
        }
    });
    tokio::select! {
        biased;
        ended = counted => ended,
        () = death.notified() => None,
    }
}

impl Walk {
    fn world(&self) -> &World {
        &self.process.as_ref().expect("a process that lives").0
    }

    fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        let (_, runtime) = self.process.as_ref().expect("a process that lives");
        runtime.block_on(what)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Run(run) => self.run(run),
            Step::Meet(meanwhile) => self.wait(self.course.meet_directory(meanwhile)),
            Step::Export => {
                self.follow_export();
                self.exported = Some(self.export());
            }
        }
    }

    fn run(&mut self, run: &Run) {
        let world = self.world();
        world.clock.advance(Duration::from_mins(run.minutes));
        for edit in &run.edits {
            self.course.change(edit);
        }
        let order = RunOrder {
            full: run.is_full,
            dry_run: run.is_dry,
            ..world.order()
        };
        let id = order.run.clone();
        let script = self.course.put_script(&id, Script::of(run));
        let mut signals = world.signals();
        signals.cancel = script.cancel.clone();
        signals.stop = script.stop.clone();
        signals.events = Arc::new(Watcher {
            course: Arc::clone(&self.course),
            run: id.clone(),
        });
        let is_asked_to_end = |event: &Event| matches!(event, Event::AskToCancel);
        let mut syncer = world.syncer();
        if run.events.iter().any(|(_, event)| is_asked_to_end(event)) {
            syncer = syncer.with_pulse(QUICK);
        }
        let going = syncer.run(order, world.provider.clone(), signals);
        let ended = self.wait(until_death(going, &script.death, run.dies_after));
        drop(syncer);
        let has_died = ended.is_none();
        if let Some(ended) = ended {
            let report = ended.expect("there is a run");
            let summary = report.error.map(|error| error.summary).unwrap_or_default();
            assert!(!summary.contains("broke off"), "the reader has panicked");
        } else {
            self.course.tally("died");
            self.restart();
        }
        let store = Arc::clone(&self.world().store);
        let Some(outcome) = self.wait(self.course.settle(&*store, &id)) else {
            self.course.tally("died before it began");
            return;
        };
        if has_died && outcome.is_some() {
            self.course.tally("died after its end was stored");
        }
        if run.events.is_empty() && !has_died {
            let is_good = matches!(outcome, Some(Outcome::Succeeded | Outcome::Held));
            assert!(is_good, "nothing was in its way: {outcome:?}");
        }
        self.dead = (has_died && outcome.is_none()).then_some(id);
    }

    /// The process dies with all that it was about to do, and another one comes.
    fn restart(&mut self) {
        let (world, runtime) = self.process.take().expect("a process that lives");
        // What a thread writes at this moment comes to its end, or the dead would still be writing.
        drop(runtime);
        self.process = Some((world.restarted(), self::runtime()));
    }

    /// All that must hold after each step.
    fn check(&mut self) {
        let seen = self.wait(self.world().seen());
        let expected = self.course.model.lock().unwrap().state.lines();
        assert_eq!(seen, expected, "readers see the last applied run");
        self.follow();
        self.check_directory();
        self.check_runs();
        self.check_files();
    }

    fn follow(&mut self) {
        let mut follower = self.follower.clone();
        let (applied, expected) = {
            let model = self.course.model.lock().unwrap();
            (model.applied.clone(), model.state.lines())
        };
        match self.wait(follower.follow(self.world(), &applied)) {
            Ok(()) => {}
            // One step may bring changes and let a month go by.
            Err(StoreError::FeedPosition {
                why: PositionRefused::Purged { .. },
                ..
            }) if !self.course.model.lock().unwrap().is_feed_whole => follower = self.export(),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(follower.lines(), expected);
        self.follower = follower;
    }

    fn check_directory(&mut self) {
        let directory = self.wait(self.world().directory());
        assert!(directory.generation >= self.generation, "it never goes back");
        self.generation = directory.generation;
        let leased = directory.lease.map(|lease| lease.run);
        assert!(leased.is_none() || leased == self.dead, "{leased:?}");
        let model = self.course.model.lock().unwrap();
        let count = |count: usize| u64::try_from(count).unwrap();
        assert_eq!(directory.counts.users, count(model.state.users.len()));
        assert_eq!(directory.counts.groups, count(model.state.groups.len()));
        assert_eq!(
            directory.counts.memberships,
            count(model.state.memberships().count())
        );
        let is_held = model.plans.last().is_some_and(|plan| plan.stands == Stands::Held);
        assert_eq!(directory.held_since.is_some(), is_held);
    }

    /// All runs, newest first.
    fn runs(&self) -> Vec<RunRecord> {
        let World {
            store,
            tenant,
            directory,
            ..
        } = self.world();
        self.wait(store.runs(tenant, Some(directory), 1_000)).unwrap()
    }

    fn check_runs(&self) {
        let runs = self.runs();
        let unended = runs.iter().filter(|run| run.outcome.is_none());
        for run in unended {
            assert_eq!(Some(&run.run), self.dead.as_ref(), "a run without an end");
            assert_eq!(run.run, runs[0].run, "and none came after it");
        }
        let model = self.course.model.lock().unwrap();
        for plan in &model.plans {
            let Some(record) = runs.iter().find(|run| run.run == plan.run) else {
                continue;
            };
            let expected = match &plan.stands {
                Stands::Held => Outcome::Held,
                Stands::Superseded(_) => Outcome::Superseded,
                Stands::Approved => Outcome::Succeeded,
                Stands::Discarded => Outcome::Discarded,
            };
            assert_eq!(record.outcome, Some(expected));
        }
    }

    fn check_files(&self) {
        let files = |folder: &str| -> BTreeSet<String> {
            let path = self.world().folder.path().join(folder);
            let entries = std::fs::read_dir(path).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names
                .map(|name| name.split('.').next().unwrap().to_owned())
                .collect()
        };
        // What a run has left, and what a dry run beside it has.
        let runs = self.runs();
        let is_dry = |name: &String| runs.iter().any(|run| run.run.as_str() == name && run.dry_run);
        let (dry, staged): (Vec<_>, Vec<_>) = files("staging").into_iter().partition(is_dry);
        assert!(staged.len() <= 1 && dry.len() <= 1, "{staged:?} {dry:?}");
        let kept = self.course.model.lock().unwrap().kept();
        assert_eq!(files("held"), kept);
    }

    fn export(&self) -> Follower {
        let World {
            store,
            tenant,
            directory,
            ..
        } = self.world();
        let (told, end) = std::sync::mpsc::sync_channel(1);
        let sink = Box::new(move |row| {
            if let ExportRow::End { cursor, .. } = row {
                told.send(cursor).unwrap();
            }
            Ok(())
        });
        self.wait(store.export(tenant, directory, sink)).unwrap();
        let cursor = end.recv().unwrap();
        Follower::from_export(cursor, &self.course.model.lock().unwrap().state)
    }

    /// An export and the changes after it are what readers see now, while these changes are kept.
    fn follow_export(&mut self) {
        let Some(follower) = self.exported.take() else {
            return;
        };
        self.follow_anew(follower, "export followed");
    }

    /// So are all changes from nothing.
    fn replay(&self) {
        self.follow_anew(Follower::from_start(), "feed replayed");
    }

    fn follow_anew(&self, mut follower: Follower, what: &'static str) {
        let (applied, expected, is_whole) = {
            let model = self.course.model.lock().unwrap();
            (model.applied.clone(), model.state.lines(), model.is_feed_whole)
        };
        match self.wait(follower.follow(self.world(), &applied)) {
            Ok(()) => {
                assert_eq!(follower.lines(), expected);
                self.course.tally(what);
            }
            Err(StoreError::FeedPosition {
                why: PositionRefused::Purged { .. },
                ..
            }) => {
                assert!(!is_whole);
                self.course.tally("told to export again");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
