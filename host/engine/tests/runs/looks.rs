//! What a service sees of a store that others change too, and when.

use std::time::Duration;

use idsync_engine::scheduler::SchedulerOptions;
use idsync_model::{DirectoryState, DisabledReason};

use crate::org::Org;
use crate::scheduler::bounds;
use crate::service::Service;
use crate::world::World;

#[tokio::test]
async fn runs_6_what_changed_while_a_due_directory_waited_for_room_is_seen_before_it_is_started() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::with(&world, bounds(1, 1)).await;
    for name in ["disabled", "synced", "left"] {
        world.clock.advance(Duration::from_secs(1));
        service
            .add(&world, &world.tenant, name, &format!("{name}:443"))
            .await;
    }
    let directory = async |name| world.store.directory(&world.tenant, name).await.unwrap().id;
    let (disabled, synced, left) = (
        directory("disabled").await,
        directory("synced").await,
        directory("left").await,
    );
    service.scheduler.look().await.unwrap();
    assert_eq!(service.scheduler.running(), 1);

    let by_person = Some(DisabledReason::Person);
    let set = world
        .store
        .set_state(&world.tenant, &disabled, DirectoryState::Disabled, by_person);
    set.await.unwrap();
    let mut other = world.beside();
    other.directory = synced.clone();
    other.sync().await;
    while service.scheduler.running() > 0 {
        service.scheduler.wait_for_end().await;
        service.scheduler.go_on().await.unwrap();
    }

    let ended: Vec<_> = service
        .take_ended()
        .into_iter()
        .map(|run| run.directory)
        .collect();
    assert_eq!(ended, [world.directory.clone(), left]);
    let runs = world.store.runs(&world.tenant, Some(&synced), 10).await.unwrap();
    assert_eq!(runs.len(), 1, "it had its run");
}

#[tokio::test(start_paused = true)]
async fn runs_6_a_running_service_sees_within_seconds_what_a_command_line_changed() {
    let world = World::synced(Org::of(1)).await;
    let Service { scheduler, host, .. } = Service::of(&world).await;
    let month = Duration::from_hours(30 * 24);
    world
        .store
        .set_schedule(&world.tenant, &world.directory, month)
        .await
        .unwrap();
    let mut looks = host.looks.subscribe();
    let mut ends = host.ends.subscribe();
    let service = tokio::spawn(scheduler.run());
    ends.wait_for(|count| *count == 1).await.unwrap();
    let seen = *looks.borrow_and_update();
    looks.wait_for(|count| *count > seen).await.unwrap();
    let other = world.beside();
    other.enable().await;
    // In paused time; what writes a run's file is a thread that it does not wait for.
    let seen = tokio::time::timeout(Duration::from_hours(24), ends.wait_for(|count| *count == 2));
    seen.await.unwrap().unwrap();
    world.stop.cancel();
    service.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_store_is_away_for_a_while_goes_on_once_it_is_back() {
    let world = World::new(Org::of(1)).await;
    world.enable().await;
    // It has no file open yet that it could read from.
    let fresh = world.beside();
    let Service { scheduler, host, .. } = Service::unchanged(&fresh, SchedulerOptions::default());
    let (database, away) = (
        world.folder.path().join("idsync.db"),
        world.folder.path().join("away"),
    );
    std::fs::rename(&database, &away).unwrap();
    let service = tokio::spawn(scheduler.run());
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(*host.looks.borrow(), 0, "what health is told");
    assert!(!service.is_finished());
    std::fs::rename(&away, &database).unwrap();
    let mut ends = host.ends.subscribe();
    let seen = tokio::time::timeout(Duration::from_mins(1), ends.wait_for(|count| *count == 1));
    seen.await.unwrap().unwrap();
    fresh.stop.cancel();
    service.await.unwrap();
    world.assert_equals_org().await;
}

#[tokio::test]
async fn what_is_done_between_looks_at_all_directories_does_not_tell_health_that_they_succeed() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::of(&world).await;
    let told = service.host.looks.subscribe();
    service.scheduler.look().await.unwrap();
    assert_eq!(*told.borrow(), 1);
    service.scheduler.wait_for_end().await;
    service.scheduler.go_on().await.unwrap();
    assert_eq!(*told.borrow(), 1, "a run has ended");

    let fresh = world.beside();
    let mut service = Service::unchanged(&fresh, SchedulerOptions::default());
    let database = world.folder.path().join("idsync.db");
    std::fs::rename(&database, world.folder.path().join("away")).unwrap();
    service.scheduler.look().await.unwrap_err();
    service.scheduler.go_on().await.unwrap();
    assert_eq!(*service.host.looks.borrow(), 0, "the look failed");
}
