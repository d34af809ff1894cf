//! Runs that go on where an earlier one was cut off, and those that must not.

use std::sync::Arc;
use std::time::Duration;

use idsync_engine::RunOrder;
use idsync_model::{ErrorKind, Failure, Mode, Outcome, RunId, RunReport};
use tokio::sync::Notify;

use crate::org::Org;
use crate::world::{World, at_start};

/// Nine users on the pages 0 to 2, and two groups on page 3.
fn four_pages() -> Org {
    let mut org = Org::of(9);
    org.set_group("a", &["u000", "u001", "u002", "u003"], at_start());
    org.set_group("b", &["u004"], at_start());
    org
}

fn failure(kind: ErrorKind) -> Failure {
    Failure::new(kind, "users", "the org is away", "")
}

/// A run that fails in this way before page 2.
async fn cut(world: &World, kind: ErrorKind) -> RunReport {
    world
        .provider
        .does_before_page(2, move |_, _| async move { Err(failure(kind)) });
    let mut order = world.order();
    if kind == ErrorKind::Deadline {
        order.limits.time = Duration::ZERO;
    }
    let report = world.run(order).await;
    assert_eq!(report.error.as_ref().map(|error| error.kind), Some(kind));
    assert_eq!(world.provider.take_pages(), [0, 1]);
    world.provider.reads_on();
    report
}

/// A run whose process dies before page 2.
async fn crash(world: World) -> (World, RunId) {
    let order = world.order();
    let run = order.run.clone();
    let there = Arc::new(Notify::new());
    let told = Arc::clone(&there);
    world.provider.does_before_page(2, move |_, _| {
        told.notify_one();
        std::future::pending()
    });
    tokio::select! {
        report = world.run(order) => panic!("{report:?}"),
        () = there.notified() => {}
    }
    assert_eq!(world.provider.take_pages(), [0, 1]);
    world.provider.reads_on();
    (world.restarted(), run)
}

async fn is_due(world: &World) -> bool {
    world.directory().await.times.is_due
}

#[tokio::test]
async fn runs_6_4_the_run_after_a_crash_goes_on_from_the_last_checkpoint() {
    let world = World::new(four_pages()).await;
    let began_at = world.clock.time();
    let (world, dead) = crash(world).await;
    world.clock.advance(Duration::from_mins(10));
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    assert_eq!(world.provider.take_pages(), [2, 3]);
    assert_eq!(report.resumed_from, Some(dead.clone()));
    assert_eq!(report.oldest_read_at, Some(began_at.to_string()));
    world.assert_equals_org().await;
    assert_eq!(
        world.directory().await.last_full_at,
        Some(began_at),
        "24 hours count from the first row"
    );
    let dead = world.store.run(&world.tenant, &dead).await.unwrap();
    assert_eq!(dead.outcome, Some(Outcome::Failed));
    assert_eq!(dead.error.unwrap().kind, ErrorKind::Host);
}

#[tokio::test]
async fn runs_6_4_the_next_run_follows_a_resumed_one_at_once_and_is_none_itself() {
    let world = World::new(four_pages()).await;
    let (world, _) = crash(world).await;
    world.sync().await;
    assert!(is_due(&world).await);
    // Who left before the resume is seen now.
    world.provider.change(|org| {
        org.users.remove("u000");
    });
    let next = world.sync().await;
    assert_eq!((next.resumed_from, next.oldest_read_at), (None, None));
    assert!(!is_due(&world).await);
    world.assert_equals_org().await;
}

/// A run that dies before that page, a minute later.
async fn die_before(world: World, page: usize) -> World {
    world.clock.advance(Duration::from_mins(1));
    let there = Arc::new(Notify::new());
    let told = Arc::clone(&there);
    world.provider.does_before_page(page, move |_, _| {
        told.notify_one();
        std::future::pending()
    });
    tokio::select! {
        report = world.sync() => panic!("{report:?}"),
        () = there.notified() => {}
    }
    world.provider.reads_on();
    world.restarted()
}

#[tokio::test]
async fn runs_6_4_twelve_crashes_that_came_further_each_time_and_then_a_run_that_is_right_with_fewer_pages() {
    let mut world = World::new(Org::of(39)).await;
    for page in 1..=12 {
        world = die_before(world, page).await;
    }
    assert_eq!(world.provider.take_pages(), (0..12).collect::<Vec<_>>());
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
    assert_eq!(world.provider.take_pages()[0], 12);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_4_a_checkpoint_that_five_runs_in_a_row_died_of_is_dropped() {
    let mut world = World::new(four_pages()).await;
    // One takes it, and four die of it.
    for _ in 0..5 {
        world = die_before(world, 2).await;
    }
    assert_eq!(world.provider.take_pages(), [0, 1]);
    world = die_before(world, 2).await;
    assert!(world.provider.take_pages().is_empty(), "the fifth");
    let report = world.sync().await;
    assert_eq!((report.outcome, report.resumed_from), (Outcome::Succeeded, None));
    assert_eq!(world.provider.take_pages(), [0, 1, 2, 3]);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_4_the_next_run_follows_a_resumed_one_that_is_held_at_once_too() {
    let world = World::synced(four_pages()).await;
    world.provider.take_pages();
    cut(&world, ErrorKind::Unavailable).await;
    world.provider.change(|org| org.groups.clear());
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held);
    assert!(report.resumed_from.is_some());
    assert!(is_due(&world).await);
    assert_eq!(world.sync().await.outcome, Outcome::Held);
    assert!(!is_due(&world).await);
}

#[tokio::test]
async fn runs_6_4_a_dry_run_neither_goes_on_from_an_earlier_run_nor_uses_up_what_it_left() {
    let world = World::new(four_pages()).await;
    let left = cut(&world, ErrorKind::Unavailable).await.run;
    let report = world.dry_run().await;
    assert_eq!((report.dry_run, report.resumed_from), (true, None));
    assert_eq!(world.provider.take_pages(), [0, 1, 2, 3]);
    assert_eq!(world.sync().await.resumed_from, Some(left));
    assert_eq!(world.provider.take_pages(), [2, 3]);
}

#[tokio::test]
async fn runs_6_4_an_incremental_run_goes_on_with_what_it_decided() {
    let world = World::synced(four_pages()).await;
    world.provider.take_pages();
    let now = world.clock.time();
    world.provider.change(|org| {
        org.add_user("u009");
        org.set_group("b", &["u005", "u009"], now);
    });
    cut(&world, ErrorKind::Unavailable).await;
    let report = world.sync().await;
    assert_eq!(
        (report.outcome, report.mode),
        (Outcome::Succeeded, Mode::Incremental)
    );
    assert!(report.resumed_from.is_some());
    assert_eq!(world.provider.take_pages(), [2, 3, 4]);
    assert_eq!(world.provider.take_fetched(), ["b"]);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_a_run_whose_time_ends_is_followed_at_once_by_one_that_goes_on() {
    let world = World::new(four_pages()).await;
    let report = cut(&world, ErrorKind::Deadline).await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(is_due(&world).await);
    let next = world.sync().await;
    assert_eq!(next.resumed_from, Some(report.run));
    assert_eq!(world.provider.take_pages(), [2, 3]);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_4_what_was_read_is_kept_unless_it_is_in_doubt() {
    use ErrorKind::{
        Deadline, Forbidden, Host, InvalidSettings, NotFound, Plugin, Protocol, RateLimited, Unauthorized,
        Unavailable,
    };
    for (kind, is_kept) in [
        (Unavailable, true),
        (RateLimited, true),
        (Unauthorized, true),
        (Deadline, true),
        (Host, true),
        (Forbidden, false),
        (InvalidSettings, false),
        (NotFound, false),
        (Protocol, false),
        (Plugin, false),
    ] {
        let world = World::new(four_pages()).await;
        let report = cut(&world, kind).await;
        let next = world.sync().await;
        assert_eq!(next.resumed_from == Some(report.run), is_kept, "{kind}");
        world.assert_equals_org().await;
    }
}

/// Whether the run after one that was cut off goes on from it, when this happens between.
async fn goes_on_after(between: impl AsyncFnOnce(&World, &mut RunOrder)) -> bool {
    let world = World::new(four_pages()).await;
    cut(&world, ErrorKind::Unavailable).await;
    let mut order = world.order();
    between(&world, &mut order).await;
    let report = world.run(order).await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    world.assert_equals_org().await;
    let is_from_page_2 = world.provider.take_pages() == [2, 3];
    assert_eq!(report.resumed_from.is_some(), is_from_page_2);
    is_from_page_2
}

#[tokio::test]
async fn runs_6_4_a_run_goes_on_when_nothing_is_in_its_way() {
    assert!(goes_on_after(async |_, _| {}).await);
    let still_young = async |world: &World, _: &mut RunOrder| world.clock.advance(Duration::from_mins(59));
    assert!(goes_on_after(still_young).await);
    assert!(
        goes_on_after(async |_, order| order.full = true).await,
        "it was full"
    );
}

#[tokio::test]
async fn runs_6_4_a_checkpoint_of_an_hour_ago_is_too_old() {
    assert!(!goes_on_after(async |world, _| world.clock.advance(Duration::from_hours(1))).await);
}

#[tokio::test]
async fn runs_6_7_after_a_jump_back_of_the_clock_a_checkpoint_is_too_old() {
    assert!(!goes_on_after(async |world, _| world.clock.jump_back(Duration::from_hours(1))).await);
}

#[tokio::test]
async fn runs_6_4_a_run_does_not_go_on_with_another_plugin_or_contract() {
    let other_plugin =
        async |_: &World, order: &mut RunOrder| "digest-2".clone_into(&mut order.plugin_digest);
    assert!(!goes_on_after(other_plugin).await);
    let other_contract =
        async |_: &World, order: &mut RunOrder| "idsync:plugin@2.0.0".clone_into(&mut order.contract);
    assert!(!goes_on_after(other_contract).await);
}

#[tokio::test]
async fn runs_6_4_a_run_does_not_go_on_with_other_settings_or_another_key() {
    let other = async |world: &World, _: &mut RunOrder| {
        world.verify("settings-2", true).await;
    };
    assert!(!goes_on_after(other).await);
}

#[tokio::test]
async fn runs_6_4_a_run_does_not_go_on_in_another_mode() {
    let world = World::synced(four_pages()).await;
    world.provider.take_pages();
    cut(&world, ErrorKind::Unavailable).await;
    let report = world.full_sync().await;
    assert_eq!((report.mode, report.resumed_from), (Mode::Full, None));
    assert_eq!(world.provider.take_pages(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn runs_6_4_a_run_does_not_go_on_once_something_was_applied() {
    let world = World::synced(four_pages()).await;
    world.provider.take_pages();
    cut(&world, ErrorKind::Unavailable).await;
    assert_eq!(world.full_sync().await.outcome, Outcome::Succeeded);
    world.provider.take_pages();
    let report = world.sync().await;
    assert_eq!((report.mode, report.resumed_from), (Mode::Incremental, None));
    assert_eq!(world.provider.take_pages(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn runs_6_4_the_org_that_is_expected_is_told_at_a_resume_too() {
    let world = World::new(four_pages()).await;
    cut(&world, ErrorKind::Unavailable).await;
    world.sync().await;
    let requests = world.provider.requests.lock().unwrap();
    assert!(requests[1].resume.is_some());
    assert_eq!(requests[1].expected_org.as_deref(), Some("org-1"));
}

#[tokio::test]
async fn runs_6_6_a_run_that_is_stopped_is_due_and_goes_on_at_the_next_start() {
    let world = World::new(four_pages()).await;
    let stop = world.stop.clone();
    world.provider.does_before_page(2, move |_, context| {
        stop.cancel();
        async move {
            context.cancel.cancelled().await;
            Err(failure(ErrorKind::Cancelled))
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Cancelled);
    let error = report.error.unwrap();
    assert!(error.summary.contains("stopped with its process"), "{error:?}");
    assert!(is_due(&world).await);
    assert_eq!(world.directory().await.lease, None, "it is given back");
    world.provider.reads_on();
    world.provider.take_pages();

    let world = world.restarted();
    let next = world.sync().await;
    assert_eq!(next.resumed_from, Some(report.run));
    assert_eq!(world.provider.take_pages(), [2, 3]);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_6_what_was_read_to_its_end_is_applied_although_the_process_is_stopped() {
    let world = World::new(four_pages()).await;
    let stop = world.stop.clone();
    world.provider.does_before_page(3, move |_, _| {
        stop.cancel();
        async { Ok(()) }
    });
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_a_run_that_a_person_cancelled_is_not_due_and_the_next_goes_on() {
    let world = World::new(four_pages()).await;
    let cancel = world.cancel.clone();
    world.provider.does_before_page(2, move |_, context| {
        cancel.cancel();
        async move {
            context.cancel.cancelled().await;
            Err(failure(ErrorKind::Cancelled))
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Cancelled);
    assert!(!is_due(&world).await);
    assert_eq!(world.directory().await.failing, None, "it is no failure");
    world.provider.reads_on();
    assert_eq!(world.beside().sync().await.resumed_from, Some(report.run));
}
