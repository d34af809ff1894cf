//! Who may run a directory: leases between processes, and what becomes of a run that lost its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use idsync_engine::lease::{LOST_AFTER, Watch};
use idsync_engine::{Cancel, EngineError, Pulse, RunOrder, cancel};
use idsync_model::{ErrorKind, Failure, Mode, Outcome, RunId};
use tokio::sync::Notify;

use crate::org::{Org, refused};
use crate::world::World;

const QUICK: Pulse = Pulse {
    ask_every: Duration::from_millis(1),
    beat_every: Duration::from_millis(2),
};

/// A world whose provider has another process sync the directory to its end before page 1 of the first run, having
/// seen the first run's lease as lost. `then` is what the first run's plugin does after that.
async fn overtaken(
    mut world: World,
    pulse: Pulse,
    waits_for_cancel: bool,
) -> (World, idsync_model::RunReport) {
    world.pulse = pulse;
    let other = Arc::new(world.beside());
    let is_first = Arc::new(AtomicBool::new(true));
    world.provider.does_before_page(1, move |_, context| {
        let other = Arc::clone(&other);
        let is_first = is_first.swap(false, SeqCst);
        async move {
            if !is_first {
                return Ok(());
            }
            let fence = other.directory().await.lease.unwrap().fence;
            let order = RunOrder {
                takes_over: Some(fence),
                ..other.order()
            };
            let report = other.run(order).await;
            assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
            if waits_for_cancel {
                context.cancel.cancelled().await;
                return Err(Failure::new(ErrorKind::Cancelled, "users", "told to end", ""));
            }
            Ok(())
        }
    });
    let report = world.sync().await;
    (world, report)
}

fn assert_taken_over(report: &idsync_model::RunReport) {
    let error = report.error.as_ref().unwrap();
    assert!(
        error.summary.contains("another process took the run over"),
        "{report:?}"
    );
    assert_ne!(report.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn runs_6_3_the_loser_of_a_lease_can_write_nothing() {
    let world = World::new(Org::of(6)).await;
    // Its plugin reads on, and no beat comes in the short time.
    let (world, report) = overtaken(world, Pulse::default(), false).await;
    assert_taken_over(&report);
    world.assert_equals_org().await;
    let runs = world.store.runs(&world.tenant, None, 10).await.unwrap();
    let outcomes: Vec<_> = runs.iter().map(|run| run.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Succeeded), Some(Outcome::Failed)]);
    assert_eq!(
        world.directory().await.failing,
        None,
        "what the winner left stands"
    );
}

#[tokio::test]
async fn runs_6_3_a_heartbeat_that_finds_the_lease_lost_ends_the_run() {
    let world = World::new(Org::of(6)).await;
    let (world, report) = overtaken(world, QUICK, true).await;
    assert_taken_over(&report);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_3_the_heartbeat_beats_while_a_run_reads() {
    let mut world = World::new(Org::of(1)).await;
    world.pulse = QUICK;
    let seen = Arc::new(world.beside());
    world.provider.does_before_page(0, move |_, _| {
        let seen = Arc::clone(&seen);
        async move {
            while seen.directory().await.lease.unwrap().beat < 3 {
                tokio::task::yield_now().await;
            }
            Ok(())
        }
    });
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn runs_6_3_a_lease_whose_beat_stands_still_is_taken_over_after_60_s_and_not_before() {
    let world = World::new(Org::of(6)).await;
    let there = Arc::new(Notify::new());
    let told = Arc::clone(&there);
    world.provider.does_before_page(1, move |_, _| {
        told.notify_one();
        std::future::pending()
    });
    // The process lives on, and the run does not.
    tokio::select! {
        report = world.sync() => panic!("{report:?}"),
        () = there.notified() => {}
    }
    world.provider.reads_on();
    let other = world.beside();
    let mut watch = Watch::new(other.owner.folder().to_owned());
    let lease = other.directory().await.lease.unwrap();
    let mut is_lost = |world: &World| {
        let now = idsync_model::Clock::monotonic(&*world.clock);
        watch.is_lost(&world.directory, &lease, now)
    };
    assert!(!is_lost(&other));
    other.clock.jump_back(Duration::from_hours(1));
    other
        .clock
        .advance(LOST_AFTER.saturating_sub(Duration::from_secs(1)));
    assert!(!is_lost(&other));
    assert!(matches!(
        other.try_run(other.order()).await,
        Err(EngineError::Busy { .. })
    ));
    other.clock.advance(Duration::from_secs(1));
    assert!(is_lost(&other));
    let order = RunOrder {
        takes_over: Some(lease.fence),
        ..other.order()
    };
    assert_eq!(other.run(order).await.outcome, Outcome::Succeeded);
    other.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_3_a_lease_that_another_has_taken_meanwhile_is_not_taken_over() {
    let world = World::new(Org::of(3)).await;
    let other = Arc::new(world.beside());
    world.provider.does_before_page(0, move |_, _| {
        let other = Arc::clone(&other);
        async move {
            let fence = other.directory().await.lease.unwrap().fence;
            let order = RunOrder {
                takes_over: Some(fence - 1),
                ..other.order()
            };
            let late = other.try_run(order).await;
            assert!(matches!(late, Err(EngineError::Busy { .. })), "{late:?}");
            Ok(())
        }
    });
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn runs_6_another_process_cancels_a_run() {
    let mut world = World::new(Org::of(6)).await;
    world.pulse = QUICK;
    let other = Arc::new(world.beside());
    world.provider.does_before_page(1, move |_, context| {
        let other = Arc::clone(&other);
        async move {
            let run = other.directory().await.lease.unwrap().run;
            let answer = cancel(&*other.store, &other.tenant, &run).await.unwrap();
            assert_eq!(answer, Cancel::Asked);
            context.cancel.cancelled().await;
            Err(Failure::new(ErrorKind::Cancelled, "users", "told to end", ""))
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Cancelled, "{report:?}");
    let again = cancel(&*world.store, &world.tenant, &report.run).await.unwrap();
    assert!(matches!(again, Cancel::HadEnded(record) if record.outcome == Some(Outcome::Cancelled)));
    let unknown = cancel(&*world.store, &world.tenant, &RunId::generate()).await;
    assert!(matches!(
        unknown,
        Err(idsync_store::StoreError::UnknownRun { .. })
    ));
}

#[tokio::test]
async fn runs_2_4_the_run_after_a_held_one_is_full_whatever_process_it_is_of() {
    let world = World::synced(Org::of(30)).await;
    assert_eq!(world.sync().await.mode, Mode::Incremental);
    world.provider.does(|staging, _| async move {
        let user = crate::org::user_row("u000", &Org::of(1).users["u000"]);
        staging.put_users(vec![user]).await.map_err(|e| refused(&e))
    });
    assert_eq!(world.sync().await.outcome, Outcome::Held);
    world.provider.reads_org();
    assert_eq!(world.beside().sync().await.mode, Mode::Full);
}
