//! What the end of a run leaves its directory: counters of failures, the next try, what disables.

use std::time::Duration;

use idsync_model::{
    DirectoryState, DisabledReason, ErrorKind, Failure, Outcome, ProviderTime, UnixMillis, Usage, Wake,
};

use crate::org::Org;
use crate::world::World;

/// From now on every run fails in this way.
fn fails(world: &World, kind: ErrorKind) {
    fails_with(world, Failure::new(kind, "users", "the org said no", ""));
}

fn fails_with(world: &World, failure: Failure) {
    world.provider.does(move |_, _| {
        let failure = failure.clone();
        async move { Err(failure) }
    });
}

async fn state(world: &World) -> DirectoryState {
    world.directory().await.state
}

#[tokio::test]
async fn runs_6_8_after_a_success_a_failure_stands_in_the_history_alone() {
    let world = World::synced(Org::of(3)).await;
    fails(&world, ErrorKind::Unavailable);
    let first = world.sync().await;
    world.clock.advance(Duration::from_mins(1));
    world.sync().await;
    let directory = world.directory().await;
    let failing = directory.failing.unwrap();
    assert_eq!(
        (failing.in_a_row, failing.failure.kind),
        (2, ErrorKind::Unavailable)
    );
    assert!(directory.times.next_try_at.is_some());

    world.provider.reads_org();
    world.sync().await;
    let directory = world.directory().await;
    assert_eq!((directory.failing, directory.times.next_try_at), (None, None));
    let first = world.store.run(&world.tenant, &first.run).await.unwrap();
    assert_eq!(first.error.unwrap().summary, "the org said no");
}

#[tokio::test]
async fn runs_6_what_is_tried_again_is_tried_after_a_minute() {
    let world = World::synced(Org::of(3)).await;
    fails(&world, ErrorKind::Unavailable);
    world.sync().await;
    let next = world.directory().await.times.next_try_at.unwrap();
    let wait = next.since(world.clock.time());
    assert!(
        wait >= Duration::from_secs(48) && wait <= Duration::from_secs(72),
        "{wait:?}"
    );
}

#[tokio::test]
async fn runs_6_unauthorized_disables_when_it_stands_in_two_runs_ten_minutes_apart() {
    let world = World::active(Org::of(3)).await;
    let before = world.seen().await;
    fails(&world, ErrorKind::Unauthorized);
    world.sync().await;
    world.clock.advance(Duration::from_mins(9));
    world.sync().await;
    assert_eq!(state(&world).await, DirectoryState::Active);
    world.clock.advance(Duration::from_mins(1));
    let last = world.sync().await;
    assert_eq!(
        last.error.unwrap().kind,
        ErrorKind::Unauthorized,
        "it says why itself"
    );
    let directory = world.directory().await;
    assert_eq!(directory.state, DirectoryState::Disabled);
    let kind = ErrorKind::Unauthorized;
    assert_eq!(directory.disabled_reason, Some(DisabledReason::Host { kind }));
    assert_eq!(world.seen().await, before, "nobody loses access");
}

#[tokio::test]
async fn runs_6_an_org_that_is_away_for_a_day_is_never_disabled_and_nothing_is_lost() {
    let world = World::active(Org::of(3)).await;
    let before = world.seen().await;
    fails(&world, ErrorKind::Unavailable);
    for _ in 0..49 {
        world.sync().await;
        world.clock.advance(Duration::from_mins(30));
    }
    let directory = world.directory().await;
    assert_eq!(directory.state, DirectoryState::Active);
    assert_eq!(directory.failing.unwrap().in_a_row, 49);
    assert_eq!(world.seen().await, before);
    world.provider.reads_org();
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn runs_6_a_held_run_counts_as_a_success() {
    let world = World::synced(Org::of(30)).await;
    fails(&world, ErrorKind::Forbidden);
    world.sync().await;
    world.provider.reads_org();
    world.provider.change(|org| *org = Org::of(3));
    assert_eq!(world.sync().await.outcome, Outcome::Held);
    assert_eq!(world.directory().await.failing, None);
}

#[tokio::test]
async fn runs_6_a_dry_run_leaves_the_directory_as_it_is() {
    let world = World::synced(Org::of(3)).await;
    let before = world.directory().await;
    fails(&world, ErrorKind::Unauthorized);
    world.dry_run().await;
    world.clock.advance(Duration::from_mins(20));
    world.dry_run().await;
    let directory = world.directory().await;
    assert_eq!((directory.state, directory.failing), (before.state, None));
    assert_eq!(directory.times, before.times);
}

/// A provider whose clock is two minutes ahead of the host's.
fn is_ahead(world: &World, wake: Option<Wake>) -> ProviderTime {
    let host = world.clock.time();
    let clock = ProviderTime {
        provider: host.plus(Duration::from_mins(2)),
        host,
    };
    *world.provider.usage.lock().unwrap() = Usage {
        requests: 7,
        peak_memory_bytes: 5 << 20,
        wake,
        provider_time: Some(clock),
        ..Usage::default()
    };
    clock
}

fn seconds(time: UnixMillis) -> u64 {
    u64::try_from(time.0 / 1000).unwrap()
}

#[tokio::test]
async fn runs_6_2_a_try_waits_for_the_time_that_the_provider_named_by_its_clock() {
    let world = World::synced(Org::of(3)).await;
    let clock = is_ahead(&world, None);
    fails_with(
        &world,
        Failure {
            retry_at: Some(seconds(clock.provider.plus(Duration::from_mins(20)))),
            ..Failure::new(ErrorKind::RateLimited, "users", "too many requests", "")
        },
    );
    world.sync().await;
    let times = world.directory().await.times;
    let next = times
        .not_before
        .map(|not_before| not_before.at)
        .max(times.next_try_at);
    assert_eq!(next, Some(world.clock.time().plus(Duration::from_mins(20))));
}

#[tokio::test]
async fn runs_6_2_the_next_run_waits_for_the_wish_of_the_last_one() {
    let world = World::synced(Org::of(3)).await;
    let clock = is_ahead(&world, None);
    is_ahead(
        &world,
        Some(Wake {
            time: seconds(clock.provider.plus(Duration::from_hours(3))),
            reason: "the window opens again".to_owned(),
        }),
    );
    let report = world.sync().await;
    assert_eq!(report.peak_memory_bytes, 5 << 20);
    let not_before = world.directory().await.times.not_before.unwrap();
    assert_eq!(not_before.at, world.clock.time().plus(Duration::from_hours(3)));
    assert_eq!(not_before.reason, "the window opens again");
    world.provider.usage.lock().unwrap().wake = None;
    world.sync().await;
    assert_eq!(world.directory().await.times.not_before, None);
}

#[tokio::test]
async fn runs_6_7_after_a_jump_back_of_the_clock_a_full_run_is_due_and_the_store_stays_right() {
    let world = World::synced(Org::of(3)).await;
    world.clock.jump_back(Duration::from_hours(4));
    world.provider.change(|org| org.add_user("new"));
    let report = world.sync().await;
    assert_eq!(report.mode, idsync_model::Mode::Full);
    assert_eq!(report.outcome, Outcome::Succeeded);
    world.assert_equals_org().await;
}
