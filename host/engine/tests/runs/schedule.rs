//! What an operator sees of a service over hours and days: when runs come, what is tried again, what disables.

use std::time::Duration;

use idsync_model::{DirectoryState, DisabledReason, ErrorKind, Outcome};

use crate::org::Org;
use crate::service::{Service, fails, failure, minutes_between, succeeded};
use crate::world::{World, at_start, org_in_one_group};

const MINUTE: Duration = Duration::from_mins(1);

async fn state(world: &World) -> DirectoryState {
    world.directory().await.state
}

fn by_host(kind: ErrorKind) -> DisabledReason {
    DisabledReason::Host { kind }
}

#[tokio::test]
async fn runs_6_the_first_run_comes_upon_enabling_and_the_next_every_two_hours() {
    let world = World::new(Org::of(3)).await;
    let mut service = Service::of(&world).await;
    assert_eq!(service.settle().await, 1);
    world.assert_equals_org().await;

    service.pass_hours(24).await;
    let ended = service.take_ended();
    assert!((12..=13).contains(&ended.len()), "{} runs", ended.len());
    for pair in ended.windows(2) {
        let minutes = minutes_between(pair[0].at, pair[1].at);
        assert!((114..=127).contains(&minutes), "{minutes} minutes");
    }

    let (tenant, id) = (&world.tenant, &world.directory);
    let set = |state, reason| world.store.set_state(tenant, id, state, reason);
    set(DirectoryState::Disabled, Some(DisabledReason::Person))
        .await
        .unwrap();
    service.pass_hours(5).await;
    assert_eq!(service.take_ended(), []);
    set(DirectoryState::Active, None).await.unwrap();
    assert_eq!(service.settle().await, 1);
}

#[tokio::test]
async fn runs_6_a_schedule_of_ten_seconds_comes_about_every_ten_seconds() {
    let world = World::new(Org::of(1)).await;
    let every = Duration::from_secs(10);
    world
        .store
        .set_schedule(&world.tenant, &world.directory, every)
        .await
        .unwrap();
    let mut service = Service::of(&world).await;
    service.pass(MINUTE, Duration::from_millis(500)).await;
    let count = service.take_ended().len();
    assert!((6..=7).contains(&count), "{count} runs in a minute");
}

#[tokio::test]
async fn runs_6_a_look_is_never_further_away_than_the_next_run_nor_than_five_seconds() {
    let world = World::new(Org::of(1)).await;
    world
        .store
        .set_schedule(&world.tenant, &world.directory, Duration::from_secs(10))
        .await
        .unwrap();
    let mut service = Service::of(&world).await;
    service.settle().await;
    assert_eq!(service.scheduler.look().await.unwrap(), Duration::from_secs(5));
    world.clock.advance(Duration::from_secs(8));
    let wait = service.scheduler.look().await.unwrap();
    assert!(
        wait > Duration::from_secs(1) && wait < Duration::from_secs(3),
        "{wait:?}"
    );
}

#[tokio::test]
async fn runs_6_a_day_of_503_never_disables_and_the_state_says_since_when() {
    let world = World::synced(org_in_one_group(5, at_start())).await;
    fails(&world.provider, ErrorKind::Unavailable);
    let mut service = Service::of(&world).await;
    service.settle().await;
    let since = service.take_ended()[0].at;
    service.pass_hours(24).await;
    let directory = world.directory().await;
    assert_eq!(directory.state, DirectoryState::Active);
    let failing = directory.failing.unwrap();
    assert_eq!(
        (failing.since, failing.failure),
        (since, failure(ErrorKind::Unavailable))
    );
    assert_eq!(
        failing.in_a_row,
        1 + u32::try_from(service.take_ended().len()).unwrap()
    );
    assert!((46..60).contains(&failing.in_a_row), "{} runs", failing.in_a_row);
    world.assert_equals_org().await;

    world.provider.reads_org();
    world.provider.change(|org| org.add_user("new"));
    service.pass(MINUTE * 37, MINUTE).await;
    assert_eq!(world.directory().await.failing, None);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_tries_come_after_1_5_15_and_then_30_minutes() {
    let world = World::new(Org::of(1)).await;
    fails(&world.provider, ErrorKind::Unavailable);
    let mut service = Service::of(&world).await;
    service.pass_hours(2).await;
    let ended = service.take_ended();
    let waits: Vec<_> = ended
        .windows(2)
        .map(|pair| minutes_between(pair[0].at, pair[1].at))
        .collect();
    assert_eq!(waits, [1, 5, 15, 30, 30, 30]);
}

#[tokio::test]
async fn runs_6_401_once_is_tried_again_and_forgotten() {
    let world = World::new(Org::of(3)).await;
    fails(&world.provider, ErrorKind::Unauthorized);
    let mut service = Service::of(&world).await;
    assert_eq!(service.settle().await, 1);
    world.provider.reads_org();
    service.pass(MINUTE * 2, MINUTE).await;
    assert!(succeeded(&service.take_ended()[1]));
    assert_eq!(world.directory().await.failing, None);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_401_for_twenty_minutes_disables_at_the_run_ten_minutes_after_the_first() {
    let world = World::synced(org_in_one_group(5, at_start())).await;
    fails(&world.provider, ErrorKind::Unauthorized);
    let mut service = Service::of(&world).await;
    service.pass(MINUTE * 20, MINUTE).await;
    assert_eq!(
        state(&world).await,
        DirectoryState::Active,
        "the runs are 0, 1 and 6 minutes old"
    );
    service.pass_hours(24).await;
    let directory = world.directory().await;
    assert_eq!(directory.state, DirectoryState::Disabled);
    assert_eq!(directory.disabled_reason, Some(by_host(ErrorKind::Unauthorized)));
    assert_eq!(
        directory.failing.unwrap().failure,
        failure(ErrorKind::Unauthorized)
    );
    let ended = service.take_ended();
    let after: Vec<_> = ended
        .iter()
        .map(|run| minutes_between(ended[0].at, run.at))
        .collect();
    assert_eq!(after, [0, 1, 6, 21], "and none once it is disabled");
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_a_domain_that_is_no_org_disables_at_the_schedules_second_run() {
    let world = World::new(Org::of(1)).await;
    fails(&world.provider, ErrorKind::InvalidSettings);
    let mut service = Service::of(&world).await;
    service.pass_hours(5).await;
    assert_eq!(service.take_ended().len(), 2);
    let directory = world.directory().await;
    assert_eq!(
        directory.disabled_reason,
        Some(by_host(ErrorKind::InvalidSettings))
    );
}

#[tokio::test]
async fn runs_6_forbidden_disables_after_a_day() {
    let world = World::synced(org_in_one_group(5, at_start())).await;
    fails(&world.provider, ErrorKind::Forbidden);
    let mut service = Service::of(&world).await;
    service.pass_hours(23).await;
    assert_eq!(state(&world).await, DirectoryState::Active);
    service.pass_hours(2).await;
    assert_eq!(state(&world).await, DirectoryState::Disabled);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_a_plugin_that_can_not_be_loaded_is_a_failed_run_and_disables_after_five() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::of(&world).await;
    *service.host.unbound.lock().unwrap() = Some(failure(ErrorKind::Plugin));
    service.settle().await;
    let runs = world.store.runs(&world.tenant, None, 10).await.unwrap();
    assert_eq!(runs[0].outcome, Some(Outcome::Failed));
    assert_eq!(runs[0].error, Some(failure(ErrorKind::Plugin)));
    service.pass_hours(10).await;
    let ended = service.take_ended();
    assert_eq!(ended.len(), 5);
    assert_eq!(minutes_between(ended[0].at, ended[1].at), 30);
    let directory = world.directory().await;
    assert_eq!(directory.disabled_reason, Some(by_host(ErrorKind::Plugin)));
}

#[tokio::test]
async fn runs_6_7_a_clock_that_jumps_back_stops_no_schedule() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::of(&world).await;
    service.settle().await;
    world.clock.jump_back(Duration::from_hours(1));
    assert_eq!(
        service.settle().await,
        1,
        "a begin that is ahead of now counts as past"
    );
    service.pass_hours(5).await;
    assert_eq!(service.take_ended().len(), 4);
}

#[tokio::test]
async fn runs_8_4_what_is_old_is_purged_once_a_day() {
    let world = World::new(Org::of(3)).await;
    world
        .store
        .set_keep_changes(Duration::from_hours(24))
        .await
        .unwrap();
    let mut service = Service::of(&world).await;
    service.settle().await;
    let from_start = idsync_model::FeedCursor { feed: None, seq: 0 };
    let read = || world.store.changes(&world.tenant, &from_start, None, 100);
    assert!(!read().await.unwrap().rows.is_empty());
    service
        .pass(Duration::from_hours(3 * 24), Duration::from_mins(30))
        .await;
    service.scheduler.wait_for_purge().await;
    let refused = read().await.unwrap_err();
    assert!(refused.to_string().contains("export"), "{refused}");
}
