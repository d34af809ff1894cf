//! What a person answers to a held plan: yes, no, twice, too late.

use std::time::Duration;

use idsync_engine::{PLAN_LASTS, approve};
use idsync_model::{Mode, Outcome, RunId, RunReport, Settings, TenantName};
use idsync_store::{Approved, StaleWhy, StoreError};

use crate::org::Org;
use crate::world::World;

/// A directory of twenty users, of whom fifteen are gone by a plan that is held.
async fn held() -> (World, RunReport) {
    let world = World::synced(Org::of(20)).await;
    world.provider.change(|org| *org = Org::of(5));
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held);
    (world, report)
}

async fn say_yes(world: &World, run: &RunId) -> Result<Approved, StoreError> {
    approve(&*world.store, &world.tenant, run).await
}

#[tokio::test]
async fn runs_5_3_an_approved_plan_is_applied_as_it_was_shown_and_twice_is_once() {
    let (world, report) = held().await;
    // The org has moved on; what was shown has not.
    world.provider.change(|org| org.add_user("later"));
    let approved = say_yes(&world, &report.run).await.unwrap();
    assert!(!approved.was_already);
    assert_eq!(approved.applied.run.users.deleted, 15);
    let seen = world.seen().await;
    assert_eq!(seen.len(), 5);
    let again = say_yes(&world.beside(), &report.run).await.unwrap();
    assert!(again.was_already);
    assert_eq!(world.seen().await, seen);
    assert_eq!(world.sync().await.users.created, 1);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_5_3_an_approval_needs_no_lease_and_the_run_in_progress_is_of_an_older_generation() {
    let (world, report) = held().await;
    let (store, tenant, run) = (world.store.clone(), world.tenant.clone(), report.run.clone());
    world.provider.does_before_page(1, move |_, _| {
        let (store, tenant, run) = (store.clone(), tenant.clone(), run.clone());
        async move {
            approve(&*store, &tenant, &run).await.unwrap();
            Ok(())
        }
    });
    let report = world.sync().await;
    assert_eq!(
        (report.mode, report.outcome),
        (Mode::Full, Outcome::Succeeded),
        "{report:?}"
    );
    assert_eq!(report.users.deleted, 0, "it planned again");
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_5_3_a_plan_of_a_day_ago_is_refused_as_stale() {
    let (world, report) = held().await;
    let before = world.seen().await;
    world.clock.advance(PLAN_LASTS + Duration::from_secs(1));
    let refused = say_yes(&world, &report.run).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::StalePlan {
                why: StaleWhy::Age,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(world.seen().await, before);
}

#[tokio::test]
async fn runs_6_7_a_plan_from_the_future_is_too_old() {
    let (world, report) = held().await;
    world.clock.jump_back(Duration::from_hours(1));
    let refused = say_yes(&world, &report.run).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::StalePlan {
                why: StaleWhy::Age,
                ..
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn runs_5_3_a_plan_is_stale_once_other_settings_are_verified() {
    let (world, report) = held().await;
    let other = Settings::from_iter([("domain".to_owned(), "other.example.com".to_owned())]);
    world.verify_settings(other, "settings-2", true).await;
    let refused = say_yes(&world, &report.run).await;
    assert!(
        matches!(refused, Err(StoreError::StalePlan { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn runs_5_3_a_superseded_plan_stands_for_the_newer_one_that_deletes_nothing_else() {
    let (world, first) = held().await;
    world.provider.change(|org| org.add_user("later"));
    let second = world.sync().await;
    assert_eq!(second.outcome, Outcome::Held);
    let approved = say_yes(&world, &first.run).await.unwrap();
    assert_eq!(approved.applied.run.run, second.run);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_5_3_a_superseded_plan_does_not_stand_for_one_that_deletes_more() {
    let (world, first) = held().await;
    let before = world.seen().await;
    world.provider.change(|org| *org = Org::of(4));
    assert_eq!(world.sync().await.outcome, Outcome::Held);
    let refused = say_yes(&world, &first.run).await;
    assert!(
        matches!(refused, Err(StoreError::SupersededBy { .. })),
        "{refused:?}"
    );
    assert_eq!(world.seen().await, before);
}

#[tokio::test]
async fn runs_5_4_a_discarded_plan_is_over_and_the_same_deletions_are_held_again() {
    let (world, report) = held().await;
    let discarded = world.store.discard(&world.tenant, &report.run).await.unwrap();
    assert_eq!(discarded.outcome, Some(Outcome::Discarded));
    let refused = say_yes(&world, &report.run).await;
    assert!(matches!(refused, Err(StoreError::NotHeld { .. })), "{refused:?}");
    let next = world.sync().await;
    assert_eq!((next.outcome, next.mode), (Outcome::Held, Mode::Full));
}

#[tokio::test]
async fn runs_5_3_another_tenant_can_answer_to_nothing() {
    let (world, report) = held().await;
    let other: TenantName = "other".parse().unwrap();
    world.store.add_tenant(&other).await.unwrap();
    let yes = approve(&*world.store, &other, &report.run).await;
    assert!(matches!(yes, Err(StoreError::UnknownRun { .. })), "{yes:?}");
    let no = world.store.discard(&other, &report.run).await;
    assert!(matches!(no, Err(StoreError::UnknownRun { .. })), "{no:?}");
}

#[tokio::test]
async fn runs_5_5_the_state_says_since_when_a_plan_is_held_and_the_schedule_goes_on() {
    let (world, _) = held().await;
    let since = world.clock.time();
    world.clock.advance(Duration::from_hours(2));
    assert_eq!(world.sync().await.outcome, Outcome::Held);
    let directory = world.directory().await;
    assert_eq!(directory.held_since, Some(since));
    assert_eq!(directory.times.last_began_at, Some(world.clock.time()));
}
