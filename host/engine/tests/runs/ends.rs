//! How runs end: cancelled, too late, broken off, beside another one, after a dead one.

use std::sync::Arc;
use std::time::Duration;

use idsync_engine::{EngineError, RunOrder};
use idsync_model::{ErrorKind, Failure, Mode, Outcome, RunEvent};
use tokio::sync::Notify;

use crate::org::Org;
use crate::world::{World, at_start, org_in_one_group};

#[tokio::test]
async fn a_run_is_reported_as_it_is_stored() {
    let world = World::new(org_in_one_group(4, at_start())).await;
    let report = world.sync().await;
    assert_eq!((report.outcome, report.mode), (Outcome::Succeeded, Mode::Full));
    assert_eq!(
        (
            report.users.created,
            report.groups.created,
            report.memberships.created
        ),
        (4, 1, 4)
    );
    assert_eq!(report.requests, 7);
    assert_eq!(report.notes, ["read the org"]);
    let stored = world.store.run(&world.tenant, &report.run).await.unwrap();
    assert_eq!(stored.report(), Some(report.clone()));
    let told = world.told.0.lock().unwrap();
    assert_eq!(
        told.first(),
        Some(&RunEvent::Started {
            run: report.run.clone(),
            mode: Mode::Full
        })
    );
    assert_eq!(
        told.last(),
        Some(&RunEvent::Ended {
            run: report.run,
            outcome: Outcome::Succeeded
        })
    );
}

#[tokio::test]
async fn a_directory_that_was_never_verified_is_not_synced() {
    let world = World::unverified(Org::of(1)).await;
    let error = world.try_run(world.order()).await.unwrap_err();
    assert!(
        error.to_string().contains("idsync directory verify org"),
        "{error}"
    );
    assert!(matches!(error, EngineError::NotVerified { .. }));
    let runs = world.store.runs(&world.tenant, None, 10).await.unwrap();
    assert!(runs.is_empty());
}

#[tokio::test]
async fn runs_7_1_the_verified_settings_are_used_until_new_ones_are_verified() {
    let world = World::new(Org::of(1)).await;
    let settings =
        |domain: &str| idsync_model::Settings::from_iter([("domain".to_owned(), domain.to_owned())]);
    world
        .store
        .set_settings(
            &world.tenant,
            &world.directory,
            &settings("example.com"),
            settings("new.example.com"),
            Vec::new(),
        )
        .await
        .unwrap();
    world.sync().await;
    world.verify("settings-2", true).await;
    world.sync().await;
    let requests = world.provider.requests.lock().unwrap();
    assert_eq!(requests[0].settings, settings("example.com"));
    assert_eq!(requests[1].settings, settings("new.example.com"));
    assert_eq!(requests[1].expected_org.as_deref(), Some("org-1"));
}

#[tokio::test]
async fn runs_7_1_what_was_verified_is_what_was_checked_whatever_was_set_meanwhile() {
    let world = World::new(Org::of(1)).await;
    let checked = world.directory().await.settings;
    let settings = idsync_model::Settings::from_iter([("domain".to_owned(), "new.example.com".to_owned())]);
    world
        .store
        .set_settings(
            &world.tenant,
            &world.directory,
            &checked,
            settings.clone(),
            Vec::new(),
        )
        .await
        .unwrap();
    world.verify_settings(checked.clone(), "settings-1", true).await;
    let directory = world.directory().await;
    assert_eq!(directory.verified.unwrap().settings, checked);
    assert_eq!(directory.settings, settings, "it is still to be verified");
}

#[tokio::test]
async fn runs_6_3_a_second_run_beside_the_first_is_refused_as_busy_in_this_and_in_another_process() {
    let world = Arc::new(World::new(Org::of(1)).await);
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    world.provider.does(move |_, _| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            Ok(())
        }
    });
    let first = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.sync().await }
    });
    begun.notified().await;
    for world in [&*world, &world.beside()] {
        let second = world.try_run(world.order()).await;
        let Err(EngineError::Busy { run, since, .. }) = second else {
            panic!("{second:?}");
        };
        assert_eq!(world.directory().await.lease.unwrap().run, run);
        assert_eq!(since, world.clock.time());
    }
    go_on.notify_one();
    assert_eq!(first.await.unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_cancelled_run_changes_nothing() {
    let world = World::synced(Org::of(3)).await;
    let before = world.seen().await;
    let cancel = world.cancel.clone();
    world.provider.does(move |_, context| {
        cancel.cancel();
        async move {
            context.cancel.cancelled().await;
            Err(Failure::new(ErrorKind::Cancelled, "users", "told to end", ""))
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Cancelled);
    assert_eq!(report.error.unwrap().kind, ErrorKind::Cancelled);
    assert_eq!(world.seen().await, before);
}

#[tokio::test]
async fn a_run_that_is_cancelled_when_all_is_read_applies_nothing() {
    let world = World::synced(Org::of(3)).await;
    let before = world.seen().await;
    let cancel = world.cancel.clone();
    world.provider.does(move |_, _| {
        cancel.cancel();
        async { Ok(()) }
    });
    assert_eq!(world.sync().await.outcome, Outcome::Cancelled);
    assert_eq!(world.seen().await, before);
}

#[tokio::test]
async fn a_plugin_that_does_not_end_when_told_is_ended() {
    let world = World::synced(Org::of(3)).await;
    let cancel = world.cancel.clone();
    world.provider.does(move |_, _| {
        cancel.cancel();
        std::future::pending()
    });
    let mut order: RunOrder = world.order();
    order.limits.grace = Duration::from_millis(1);
    assert_eq!(world.run(order).await.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_plugin_that_reads_on_after_its_time_is_ended() {
    let world = World::synced(Org::of(3)).await;
    world.provider.does(|_, context| {
        assert_eq!(context.time_limit, Duration::from_millis(1));
        std::future::pending()
    });
    let mut order: RunOrder = world.order();
    order.limits.time = Duration::from_millis(1);
    order.limits.grace = Duration::from_millis(1);
    let report = world.run(order).await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.error.unwrap().kind, ErrorKind::Deadline);
}

#[tokio::test]
async fn a_plugin_that_calls_itself_cancelled_has_failed() {
    let world = World::synced(Org::of(3)).await;
    world
        .provider
        .does(|_, _| async { Err(Failure::new(ErrorKind::Cancelled, "users", "enough", "")) });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.error.unwrap().kind, ErrorKind::Plugin);
}

#[tokio::test]
async fn a_panic_ends_its_run_alone() {
    let world = World::synced(Org::of(3)).await;
    world
        .provider
        .does(|_, _| async { panic!("a fault of the test") });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.error.unwrap().kind, ErrorKind::Host);
    world.provider.reads_org();
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn runs_6_a_plugin_that_says_it_is_out_of_time_at_once_is_at_fault_itself() {
    let world = World::new(Org::of(3)).await;
    world
        .provider
        .does(|_, _| async { Err(Failure::new(ErrorKind::Deadline, "users", "no time", "")) });
    let report = world.sync().await;
    assert_eq!(report.error.unwrap().kind, ErrorKind::Plugin);
    assert!(
        !world.directory().await.times.is_due,
        "it is not run again at once"
    );
}
