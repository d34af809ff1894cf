//! Full and incremental runs: what is fetched, and what is remembered of it.

use std::time::Duration;

use idsync_engine::RunOrder;
use idsync_model::{ErrorKind, Failure, Mode, Outcome};

use crate::org::Org;
use crate::world::{World, at_start};

fn two_groups() -> Org {
    let mut org = Org::of(6);
    org.set_group("a", &["u000", "u001", "u002", "u003"], at_start());
    org.set_group("b", &["u004", "u005"], at_start());
    org
}

#[tokio::test]
async fn runs_2_1_only_the_members_of_groups_that_changed_are_fetched() {
    let world = World::synced(two_groups()).await;
    let now = world.clock.time();
    world.provider.change(|org| org.set_group("b", &["u000"], now));
    let report = world.sync().await;
    assert_eq!(report.mode, Mode::Incremental);
    assert_eq!(world.provider.take_fetched(), ["b"]);
    assert_eq!((report.memberships.created, report.memberships.deleted), (1, 2));
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_2_1_a_run_in_which_nothing_changed_writes_nothing() {
    let world = World::synced(two_groups()).await;
    let report = world.sync().await;
    assert_eq!(world.provider.take_fetched(), Vec::<String>::new());
    for counts in [report.users, report.groups, report.memberships] {
        assert_eq!((counts.created, counts.updated, counts.deleted), (0, 0, 0));
    }
    assert_eq!(
        (
            report.users.unchanged,
            report.groups.unchanged,
            report.memberships.unchanged
        ),
        (6, 2, 6)
    );
}

#[tokio::test]
async fn runs_2_1_a_list_read_within_15_minutes_of_its_version_is_fetched_again() {
    let world = World::synced(two_groups()).await;
    let changed = world.clock.time();
    world
        .provider
        .change(|org| org.set_group("b", &["u000"], changed));
    world.clock.advance(Duration::from_mins(10));
    world.sync().await;
    assert_eq!(world.provider.take_fetched(), ["b"]);
    // A change in the same instant as the one before: the version is as it was.
    world
        .provider
        .change(|org| org.set_group("b", &["u000", "u001"], changed));
    world.clock.advance(Duration::from_mins(10));
    world.sync().await;
    assert_eq!(world.provider.take_fetched(), ["b"]);
    world.assert_equals_org().await;
    world.sync().await;
    assert_eq!(
        world.provider.take_fetched(),
        Vec::<String>::new(),
        "it has settled"
    );
}

#[tokio::test]
async fn runs_2_2_a_version_is_kept_only_with_the_members() {
    let world = World::synced(two_groups()).await;
    let now = world.clock.time();
    world.provider.change(|org| org.set_group("b", &["u000"], now));
    world.provider.does(|staging, _| async move {
        let mut org = two_groups();
        org.set_group("b", &["u000"], at_start().plus(Duration::from_hours(2)));
        let group = crate::org::group_row("b", &org.groups["b"]);
        staging.put_groups(vec![group]).await.unwrap();
        Err(Failure::new(
            ErrorKind::Unavailable,
            "members",
            "the org is away",
            "",
        ))
    });
    assert_eq!(world.sync().await.outcome, Outcome::Failed);
    world.provider.reads_org();
    world.sync().await;
    assert_eq!(world.provider.take_fetched(), ["b"]);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_2_3_a_user_who_returns_has_his_memberships_although_no_group_changed() {
    let world = World::synced(two_groups()).await;
    world.provider.change(|org| org.set_active("u001", false));
    let left = world.sync().await;
    assert_eq!((left.users.deleted, left.memberships.deleted), (1, 1));
    world.assert_equals_org().await;
    world.provider.change(|org| org.set_active("u001", true));
    let back = world.sync().await;
    assert_eq!((back.users.created, back.memberships.created), (1, 1));
    assert_eq!(world.provider.take_fetched(), Vec::<String>::new());
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_2_3_members_who_are_not_known_yet_belong_when_they_come() {
    let mut org = two_groups();
    org.set_group("b", &["u004", "u005", "later"], at_start());
    let world = World::synced(org).await;
    world.provider.change(|org| org.add_user("later"));
    let report = world.sync().await;
    assert_eq!((report.users.created, report.memberships.created), (1, 1));
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_2_4_the_first_run_is_full_then_a_day_of_incremental_ones() {
    let world = World::new(two_groups()).await;
    let start = world.clock.time();
    let mut modes = Vec::new();
    for hours in [0, 12, 23, 24, 25] {
        let due = start.plus(Duration::from_hours(hours));
        world.clock.advance(due.since(world.clock.time()));
        modes.push((hours, world.sync().await.mode));
    }
    assert_eq!(
        modes,
        [
            (0, Mode::Full),
            (12, Mode::Incremental),
            (23, Mode::Incremental),
            (24, Mode::Full),
            (25, Mode::Incremental)
        ]
    );
}

#[tokio::test]
async fn runs_2_4_full_when_asked_and_after_changes_of_plugin_contract_or_settings() {
    let world = World::synced(two_groups()).await;
    let asked = RunOrder {
        full: true,
        ..world.order()
    };
    assert_eq!(world.run(asked).await.mode, Mode::Full);
    assert_eq!(world.provider.take_fetched(), ["a", "b"]);

    let newer = || RunOrder {
        plugin_version: "1.1.0".to_owned(),
        ..world.order()
    };
    assert_eq!(world.run(newer()).await.mode, Mode::Full);
    assert_eq!(world.run(newer()).await.mode, Mode::Incremental);

    world.verify("settings-2", true).await;
    assert_eq!(world.run(newer()).await.mode, Mode::Full);
    assert_eq!(world.run(newer()).await.mode, Mode::Incremental);

    let by_next_contract = || RunOrder {
        contract: "idsync:plugin@1.1.0".to_owned(),
        ..newer()
    };
    assert_eq!(world.run(by_next_contract()).await.mode, Mode::Full);
    assert_eq!(world.run(by_next_contract()).await.mode, Mode::Incremental);
}

#[tokio::test]
async fn runs_2_4_stays_full_until_a_full_run_was_applied() {
    let world = World::synced(two_groups()).await;
    world.verify("settings-2", true).await;
    world.provider.does(|_, _| async {
        Err(Failure::new(
            ErrorKind::Unavailable,
            "users",
            "the org is away",
            "",
        ))
    });
    assert_eq!(world.sync().await.mode, Mode::Full);
    world.provider.reads_org();
    assert_eq!(world.dry_run().await.mode, Mode::Full);
    assert_eq!(world.sync().await.mode, Mode::Full);
    assert_eq!(world.sync().await.mode, Mode::Incremental);
}

#[tokio::test]
async fn runs_2_5_full_and_incremental_end_in_the_same() {
    let world = World::synced(two_groups()).await;
    let now = world.clock.time();
    world.provider.change(|org| {
        org.users.remove("u005");
        org.add_user("new");
        org.set_group("a", &["new", "u000"], now);
        org.set_group("c", &["u000"], now);
    });
    assert_eq!(world.sync().await.mode, Mode::Incremental);
    let incremental = world.seen().await;
    world
        .run(RunOrder {
            full: true,
            ..world.order()
        })
        .await;
    assert_eq!(world.seen().await, incremental);
    world.assert_equals_org().await;
}
