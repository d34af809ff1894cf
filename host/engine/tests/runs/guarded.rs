//! The guard over real plans: what is held, what a held plan keeps, and what becomes of it.

use std::sync::Arc;

use idsync_model::{DeleteLimit, DeleteLimits, Entity, HoldRule, Mode, Operation, Outcome};

use crate::org::Org;
use crate::world::{World, at_start, org_in_one_group};

fn without(org: &mut Org, users: usize) {
    for n in 0..users {
        org.users.remove(&format!("u{n:03}"));
    }
}

#[tokio::test]
async fn runs_4_1_holds_when_more_than_a_fifth_would_go() {
    let world = World::synced(Org::of(50)).await;
    let before = world.seen().await;
    world.provider.change(|org| without(org, 11));
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held);
    assert_eq!(report.error, None, "a held run is no error");
    let reasons = report.held.unwrap().reasons;
    assert_eq!(reasons.len(), 1);
    assert_eq!(
        (reasons[0].kind, reasons[0].rule, reasons[0].count, reasons[0].of),
        (Entity::User, HoldRule::Share, 11, 50)
    );
    assert_eq!(world.seen().await, before);
}

#[tokio::test]
async fn runs_4_1_a_fifth_goes_through() {
    let world = World::synced(Org::of(50)).await;
    world.provider.change(|org| without(org, 10));
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_4_1_holds_when_an_org_is_suddenly_empty() {
    let world = World::synced(org_in_one_group(3, at_start())).await;
    let before = world.seen().await;
    world.provider.change(|org| *org = Org::default());
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held);
    let kinds: Vec<_> = report.held.unwrap().reasons.iter().map(|r| r.kind).collect();
    assert_eq!(kinds, [Entity::User, Entity::Membership], "a single group may go");
    assert_eq!(world.seen().await, before);
}

#[tokio::test]
async fn runs_4_1_the_first_applied_run_is_never_held() {
    let world = World::new(Org::default()).await;
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_4_2_memberships_that_go_with_their_user_are_not_counted_again() {
    let mut org = Org::of(50);
    // Ten users have all the memberships, in four groups.
    let ids: Vec<String> = (0..10).map(|n| format!("u{n:03}")).collect();
    let members: Vec<&str> = ids.iter().map(String::as_str).collect();
    for group in ["a", "b", "c", "d"] {
        org.set_group(group, &members, at_start());
    }
    let world = World::synced(org).await;
    world.provider.change(|org| without(org, 10));
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    assert_eq!((report.users.deleted, report.memberships.deleted), (10, 40));
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_4_2_memberships_that_go_with_their_group_are_counted() {
    let mut org = org_in_one_group(30, at_start());
    org.set_group("few", &["u000"], at_start());
    let world = World::synced(org).await;
    world.provider.change(|org| {
        org.groups.remove("all");
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held);
    let reasons = report.held.unwrap().reasons;
    assert_eq!(reasons.len(), 1);
    assert_eq!(
        (reasons[0].kind, reasons[0].count, reasons[0].of),
        (Entity::Membership, 30, 31)
    );
}

#[tokio::test]
async fn runs_4_2_a_list_that_shrinks_is_held() {
    let world = World::synced(org_in_one_group(30, at_start())).await;
    let now = world.clock.time();
    world.provider.change(|org| org.set_group("all", &["u000"], now));
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held);
    assert_eq!(report.held.unwrap().reasons[0].kind, Entity::Membership);
}

#[tokio::test]
async fn runs_5_1_a_held_run_keeps_its_plan_and_applies_nothing_of_it() {
    let world = World::synced(Org::of(20)).await;
    let before = world.seen().await;
    world.provider.change(|org| {
        without(org, 15);
        org.add_user("new");
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held);
    assert_eq!((report.users.created, report.users.deleted), (1, 15));
    assert_eq!(world.seen().await, before, "not even the creation");

    let stored = world.store.run(&world.tenant, &report.run).await.unwrap();
    assert_eq!(stored.held, report.held);
    assert_eq!(stored.users.deleted, 15);
    let would_go = world
        .store
        .planned_rows(&world.tenant, &report.run, Entity::User, Operation::Delete, 100)
        .await
        .unwrap();
    assert_eq!(would_go.len(), 15);
    assert_eq!(would_go[0].external_id.as_str(), "u000");
    assert_eq!(world.directory().await.held_since, Some(world.clock.time()));
}

#[tokio::test]
async fn runs_5_2_a_newer_plan_that_is_held_too_supersedes_the_older() {
    let world = World::synced(Org::of(20)).await;
    world.provider.change(|org| without(org, 15));
    let first = world.sync().await;
    let second = world.sync().await;
    assert_eq!(
        second.mode,
        Mode::Full,
        "the run after a held one reads everything"
    );
    assert_eq!(second.outcome, Outcome::Held);
    let first = world.store.run(&world.tenant, &first.run).await.unwrap();
    assert_eq!(first.outcome, Some(Outcome::Superseded));
    assert_eq!(first.error, None);
}

#[tokio::test]
async fn runs_5_2_a_newer_plan_within_the_limits_is_applied() {
    let world = World::synced(Org::of(20)).await;
    world.provider.change(|org| without(org, 15));
    let held = world.sync().await;
    world.provider.change(|org| *org = Org::of(19));
    let mended = world.sync().await;
    assert_eq!((mended.outcome, mended.mode), (Outcome::Succeeded, Mode::Full));
    let held = world.store.run(&world.tenant, &held.run).await.unwrap();
    assert_eq!(held.outcome, Some(Outcome::Superseded));
    assert_eq!(world.directory().await.held_since, None);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_5_2_a_run_that_fails_leaves_the_held_plan_standing() {
    let world = World::synced(Org::of(20)).await;
    world.provider.change(|org| without(org, 15));
    let held = world.sync().await;
    world.provider.does(|_, _| async {
        Err(idsync_model::Failure::new(
            idsync_model::ErrorKind::Unavailable,
            "users",
            "the org is away",
            "",
        ))
    });
    assert_eq!(world.sync().await.outcome, Outcome::Failed);
    let held = world.store.run(&world.tenant, &held.run).await.unwrap();
    assert_eq!(held.outcome, Some(Outcome::Held));
}

#[tokio::test]
async fn a_dry_run_stops_after_the_plan_and_says_what_the_guard_would() {
    let world = World::synced(Org::of(20)).await;
    let before = world.seen().await;
    let directory = world.directory().await;
    world.provider.change(|org| without(org, 15));
    let report = world.dry_run().await;
    assert!(report.dry_run);
    assert_eq!(report.outcome, Outcome::Succeeded);
    assert_eq!(report.users.deleted, 15);
    assert_eq!(report.held.as_ref().unwrap().reasons[0].count, 15);
    let stored = world.store.run(&world.tenant, &report.run).await.unwrap();
    assert_eq!(stored.report().as_ref(), Some(&report));
    assert_eq!(world.seen().await, before);
    let now = world.directory().await;
    assert_eq!(now.generation, directory.generation);
    assert_eq!(now.held_since, None);
    assert_eq!(now.last_full_at, directory.last_full_at);
}

#[tokio::test]
async fn runs_4_1_limits_of_the_directory_that_are_off_let_everything_go() {
    let world = World::synced(Org::of(20)).await;
    world.provider.change(|org| without(org, 20));
    let limits = DeleteLimits {
        users: DeleteLimit::Off,
        ..DeleteLimits::default()
    };
    world
        .store
        .set_limits(&world.tenant, &world.directory, limits)
        .await
        .unwrap();
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_4_1_limits_that_are_set_while_a_directory_is_read_are_those_that_count() {
    let world = World::synced(Org::of(30)).await;
    let other = Arc::new(world.beside());
    world.provider.change(|org| *org = Org::of(10));
    world.provider.does_before_page(1, move |_, _| {
        let other = Arc::clone(&other);
        async move {
            let limits = DeleteLimits {
                users: DeleteLimit::Off,
                ..DeleteLimits::default()
            };
            other
                .store
                .set_limits(&other.tenant, &other.directory, limits)
                .await
                .unwrap();
            Ok(())
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    world.assert_equals_org().await;
}
