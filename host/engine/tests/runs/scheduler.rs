//! How a service carries runs out: bounds, other processes, its own end, and what breaks beside it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use idsync_engine::pick::Bounds;
use idsync_engine::scheduler::SchedulerOptions;
use idsync_model::{DirectoryId, ErrorKind, Failure, Outcome, TenantName};
use idsync_store::Verified;
use tokio::sync::{Notify, Semaphore};

use crate::org::{Org, OrgProvider};
use crate::service::{Service, succeeded};
use crate::world::World;

/// Runs of the provider wait until the gate lets one more through.
fn waits_at(provider: &OrgProvider, gate: &Arc<Semaphore>) {
    let gate = Arc::clone(gate);
    provider.does(move |_, _| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Err(Failure::new(ErrorKind::Unavailable, "users", "let through", ""))
        }
    });
}

pub fn bounds(total: usize, per_tenant: usize) -> SchedulerOptions {
    SchedulerOptions {
        bounds: Bounds { total, per_tenant },
        ..SchedulerOptions::default()
    }
}

fn tenant(name: &str) -> TenantName {
    name.parse().unwrap()
}

#[tokio::test]
async fn runs_6_no_more_runs_at_once_than_the_bounds_say_and_no_tenant_is_left_out() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::with(&world, bounds(3, 2)).await;
    let gate = Arc::new(Semaphore::new(0));
    waits_at(&world.provider, &gate);
    let other = tenant("other");
    world.store.add_tenant(&other).await.unwrap();
    for n in 0..8 {
        let provider = service
            .add(
                &world,
                &world.tenant,
                &format!("mine-{n}"),
                &format!("host-{n}:443"),
            )
            .await;
        waits_at(&provider, &gate);
    }
    world.clock.advance(Duration::from_secs(1));
    let late = service.add(&world, &other, "late", "late:443").await;
    waits_at(&late, &gate);

    service.scheduler.look().await.unwrap();
    assert_eq!(service.scheduler.running(), 3);
    gate.add_permits(3);
    for _ in 0..3 {
        service.scheduler.wait_for_end().await;
    }
    let ended = service.take_ended();
    let of_others = ended
        .iter()
        .filter(|run| run.directory != world.directory)
        .count();
    assert!(of_others >= 2, "{ended:?}");
    let others = world.store.runs(&other, None, 10).await.unwrap();
    assert_eq!(others.len(), 1, "two of the one tenant left room for the other");

    gate.add_permits(7);
    service.settle().await;
    assert_eq!(service.take_ended().len(), 7, "every one is started in the end");
}

#[tokio::test]
async fn runs_7_3_no_two_directories_of_one_host_run_at_once() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::with(&world, bounds(9, 9)).await;
    let gate = Arc::new(Semaphore::new(0));
    waits_at(&world.provider, &gate);
    for (name, host) in [("a", "org:443"), ("b", "org:443"), ("c", "org:8443")] {
        let provider = service.add(&world, &world.tenant, name, host).await;
        waits_at(&provider, &gate);
    }
    service.scheduler.look().await.unwrap();
    assert_eq!(service.scheduler.running(), 3, "`b` waits for `a`");
    gate.add_permits(3);
    for _ in 0..3 {
        service.scheduler.wait_for_end().await;
    }
    service.scheduler.look().await.unwrap();
    assert_eq!(service.scheduler.running(), 1);
    gate.add_permits(1);
    service.settle().await;
    assert_eq!(service.take_ended().len(), 4);
}

/// Records what the present settings of a directory reach, as a verification does.
async fn store_hosts(world: &World, directory: &DirectoryId, host: &str) {
    let stored = world
        .store
        .directory(&world.tenant, directory.as_str())
        .await
        .unwrap();
    let verified = Verified {
        hosts: Some(vec![host.to_owned()]),
        ..stored.verified.unwrap()
    };
    world
        .store
        .record_verification(&world.tenant, directory, verified, stored.settings_mark)
        .await
        .unwrap();
}

#[tokio::test]
async fn runs_7_3_no_two_directories_of_one_stored_host_run_at_once_and_no_plugin_is_asked() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::with(&world, bounds(9, 9)).await;
    let gate = Arc::new(Semaphore::new(0));
    waits_at(&world.provider, &gate);
    store_hosts(&world, &world.directory, "org:443").await;
    for name in ["a", "b"] {
        // What the plugin would say is not what is stored.
        let provider = service
            .add(&world, &world.tenant, name, &format!("{name}:443"))
            .await;
        waits_at(&provider, &gate);
        let added = world.store.directory(&world.tenant, name).await.unwrap();
        store_hosts(&world, &added.id, "org:443").await;
    }
    service.scheduler.look().await.unwrap();
    assert_eq!(service.scheduler.running(), 1);
    gate.add_permits(3);
    service.settle().await;
    assert_eq!(service.take_ended().len(), 3);
    gate.add_permits(10_000);
    service.pass_hours(3).await;
    assert_eq!(service.take_asked(), []);
}

#[tokio::test]
async fn runs_7_3_unknown_hosts_are_asked_for_once_until_a_verification_stores_them() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::with(&world, bounds(9, 9)).await;
    let gate = Arc::new(Semaphore::new(0));
    for (name, host) in [("a", "org:443"), ("b", "org:443")] {
        let provider = service.add(&world, &world.tenant, name, host).await;
        waits_at(&provider, &gate);
    }
    for _ in 0..3 {
        service.scheduler.look().await.unwrap();
    }
    assert_eq!(service.take_asked().len(), 3, "each of the three once");
    while service.scheduler.running() > 1 {
        service.scheduler.wait_for_end().await;
        service.scheduler.look().await.unwrap();
    }
    gate.add_permits(1);
    service.scheduler.wait_for_end().await;
    service.scheduler.look().await.unwrap();
    assert_eq!(service.scheduler.running(), 1, "`b` waited for `a`");
    world
        .provider
        .does(|_, _| async { Err(Failure::new(ErrorKind::Unavailable, "users", "away", "")) });
    gate.add_permits(10_000);
    service.pass_hours(3).await;
    assert_eq!(service.take_asked(), [], "also for later runs");

    store_hosts(&world, &world.directory, "org:443").await;
    service.pass_hours(3).await;
    assert_eq!(service.take_asked(), []);
}

/// Another process whose run is at its first page, and waits for the gate there.
/// Two directories of one host, of which that of the second can't be told, and the gate that their runs wait at. The
/// world's own directory has no part in it.
async fn one_of_two_untold(world: &World, service: &Service) -> (Arc<Semaphore>, DirectoryId) {
    let gate = Arc::new(Semaphore::new(0));
    for name in ["told", "untold"] {
        world.clock.advance(Duration::from_secs(1));
        let provider = service.add(world, &world.tenant, name, "org:443").await;
        waits_at(&provider, &gate);
    }
    let untold = world.store.directory(&world.tenant, "untold").await.unwrap().id;
    service.host.untold.lock().unwrap().push(untold.clone());
    (gate, untold)
}

#[tokio::test]
async fn runs_7_3_hosts_that_could_not_be_told_are_asked_for_again_before_the_run() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::with(&world, bounds(2, 2)).await;
    let (gate, untold) = one_of_two_untold(&world, &service).await;
    service.scheduler.look().await.unwrap();
    assert_eq!(service.scheduler.running(), 2);
    assert!(service.take_asked().contains(&untold));

    service.host.untold.lock().unwrap().clear();
    service.scheduler.wait_for_end().await;
    service.scheduler.go_on().await.unwrap();
    assert_eq!(service.take_asked(), [untold]);
    assert_eq!(
        service.scheduler.running(),
        1,
        "there is room, and it waits for its host"
    );

    gate.add_permits(10_000);
    service.pass_hours(3).await;
    assert_eq!(service.take_asked(), [], "now that they are known");
}

#[tokio::test]
async fn runs_7_3_hosts_that_could_not_be_told_for_one_run_are_known_to_the_next() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::with(&world, bounds(9, 9)).await;
    let (gate, untold) = one_of_two_untold(&world, &service).await;
    service.scheduler.look().await.unwrap();
    assert_eq!(
        service.scheduler.running(),
        3,
        "why it can't be told, its run says"
    );
    gate.add_permits(2);
    service.settle().await;
    assert!(service.take_ended().iter().any(|run| run.directory == untold));

    service.host.untold.lock().unwrap().clear();
    world.clock.advance(Duration::from_hours(3));
    service.scheduler.look().await.unwrap();
    assert_eq!(service.scheduler.running(), 2, "two are of one host");
    gate.add_permits(10_000);
    service.settle().await;
}

async fn begun_beside(
    world: &World,
    gate: &Arc<Semaphore>,
) -> (Arc<World>, impl Future<Output = ()> + use<>) {
    let other = Arc::new(world.beside());
    let there = Arc::new(Notify::new());
    let (told, gate) = (Arc::clone(&there), Arc::clone(gate));
    world.provider.does_before_page(0, move |_, _| {
        told.notify_one();
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(())
        }
    });
    let running = Arc::clone(&other);
    let mut run = async move {
        running.sync().await;
    }
    .boxed();
    tokio::select! {
        () = &mut run => panic!("the gate is shut"),
        () = there.notified() => {}
    }
    (other, run)
}

#[tokio::test]
async fn runs_6_3_a_directory_that_another_process_syncs_is_left_alone_until_that_is_done() {
    let world = World::new(Org::of(3)).await;
    let mut service = Service::of(&world).await;
    let gate = Arc::new(Semaphore::new(0));
    let (_other, run) = begun_beside(&world, &gate).await;
    world.enable().await;
    assert_eq!(service.settle().await, 0);
    gate.add_permits(9);
    run.await;
    world.enable().await;
    assert_eq!(service.settle().await, 1);
    assert!(succeeded(&service.take_ended()[0]));
}

#[tokio::test]
async fn runs_6_3_two_who_begin_at_once_are_no_error() {
    let world = World::new(Org::of(3)).await;
    let mut service = Service::of(&world).await;
    let other = world.beside();
    let there = Arc::new(Notify::new());
    let told = Arc::clone(&there);
    world.provider.does_before_page(0, move |_, _| {
        told.notify_one();
        std::future::pending()
    });
    let run = Arc::new(std::sync::Mutex::new(None));
    let kept = Arc::clone(&run);
    let meanwhile = async move {
        let mut run = async move { other.sync().await }.boxed();
        tokio::select! {
            report = &mut run => panic!("{report:?}"),
            () = there.notified() => {}
        }
        // It goes on for as long as the test does.
        *kept.lock().unwrap() = Some(run);
    };
    *service.host.meanwhile.lock().unwrap() = Some(meanwhile.boxed());
    service.scheduler.look().await.unwrap();
    service.scheduler.wait_for_end().await;
    assert_eq!(service.take_ended(), [], "there was no run of the service's");
    assert_eq!(service.scheduler.running(), 0);
    assert_eq!(service.settle().await, 0);
    let directory = world.directory().await;
    assert_eq!(directory.failing, None);
    let runs = world.store.runs(&world.tenant, None, 10).await.unwrap();
    assert_eq!(runs.len(), 1);
}

#[tokio::test]
async fn runs_6_3_what_a_dead_process_left_is_gone_on_with_at_once() {
    let world = World::new(Org::of(9)).await;
    let gate = Arc::new(Semaphore::new(0));
    world.enable().await;
    let (other, run) = begun_beside(&world, &gate).await;
    drop(run);
    let mut service = Service::unchanged(&world, SchedulerOptions::default());
    assert_eq!(service.settle().await, 0, "its process lives");
    drop(other);
    world.provider.reads_on();
    assert_eq!(service.settle().await, 1);
    world.assert_equals_org().await;
    let runs = world.store.runs(&world.tenant, None, 10).await.unwrap();
    let outcomes: Vec<_> = runs.iter().map(|run| run.outcome).collect();
    assert_eq!(outcomes, [Some(Outcome::Succeeded), Some(Outcome::Failed)]);
}

#[tokio::test]
async fn runs_6_3_a_lease_that_does_not_beat_is_taken_over_after_60_s_of_watching() {
    let world = World::new(Org::of(3)).await;
    let gate = Arc::new(Semaphore::new(0));
    world.enable().await;
    let (_alive, run) = begun_beside(&world, &gate).await;
    drop(run);
    world.provider.reads_on();
    world.clock.advance(Duration::from_hours(1));
    let mut service = Service::unchanged(&world, SchedulerOptions::default());
    service
        .pass(Duration::from_secs(55), Duration::from_secs(5))
        .await;
    assert_eq!(service.take_ended(), []);
    service
        .pass(Duration::from_secs(10), Duration::from_secs(5))
        .await;
    assert!(succeeded(&service.take_ended()[0]));
}

#[tokio::test]
async fn runs_6_3_a_directory_whose_runs_kill_the_process_rests_after_three() {
    let mut world = World::new(Org::of(9)).await;
    world.enable().await;
    for (deaths, rest) in [(1, 0), (2, 0), (3, 5), (4, 15), (5, 30), (6, 30)] {
        let gate = Arc::new(Semaphore::new(0));
        let (other, run) = begun_beside(&world, &gate).await;
        drop(run);
        drop(other);
        world = world.restarted();
        let mut service = Service::unchanged(&world, SchedulerOptions::default());
        if rest > 0 {
            service.scheduler.look().await.unwrap();
            assert_eq!(service.scheduler.running(), 0, "after {deaths}");
            world.clock.advance(Duration::from_secs(rest * 60 - 1));
            service.scheduler.look().await.unwrap();
            assert_eq!(service.scheduler.running(), 0, "after {deaths}");
            world.clock.advance(Duration::from_secs(1));
        }
        drop(service);
    }
    world.provider.reads_on();
    let mut service = Service::unchanged(&world, SchedulerOptions::default());
    assert_eq!(service.settle().await, 1);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_6_a_stopped_service_goes_on_at_its_next_start_where_it_was() {
    let world = World::new(Org::of(12)).await;
    let service = Service::of(&world).await;
    let stop = world.stop.clone();
    world.provider.does_before_page(2, move |_, context| {
        stop.cancel();
        async move {
            context.cancel.cancelled().await;
            Err(Failure::new(ErrorKind::Cancelled, "users", "told to end", ""))
        }
    });
    let Service { scheduler, host, .. } = service;
    scheduler.run().await;
    let ended = std::mem::take(&mut *host.ended.lock().unwrap());
    assert_eq!(ended[0].report.outcome, Outcome::Cancelled);
    assert_eq!(world.provider.take_pages(), [0, 1]);
    assert!(world.directory().await.times.is_due);

    drop(host);
    world.provider.reads_on();
    let world = world.restarted();
    let mut next = Service::unchanged(&world, SchedulerOptions::default());
    next.scheduler.look().await.unwrap();
    assert_eq!(next.scheduler.running(), 1, "it goes on at once");
    next.scheduler.wait_for_end().await;
    assert_eq!(
        next.take_ended()[0].report.resumed_from,
        Some(ended[0].report.run.clone())
    );
    assert_eq!(world.provider.take_pages(), [2, 3]);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_6_6_nothing_is_started_once_the_service_is_told_to_stop() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::of(&world).await;
    world.stop.cancel();
    assert_eq!(service.settle().await, 0);
    service.scheduler.run().await;
    assert_eq!(world.store.runs(&world.tenant, None, 10).await.unwrap(), []);
}

/// A compilation that never ends, and tells when it begins.
fn compiles_for_ever(begins: &Arc<Notify>) -> futures::future::BoxFuture<'static, ()> {
    let begins = Arc::clone(begins);
    async move {
        begins.notify_one();
        std::future::pending::<()>().await;
    }
    .boxed()
}

/// The service is told to stop as soon as the compilation has begun, and ends.
async fn ends_while_compiling(world: &World, service: Service, begins: &Notify) {
    let Service { scheduler, .. } = service;
    let running = tokio::spawn(scheduler.run());
    begins.notified().await;
    world.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), running).await;
    ended.expect("it does not wait for the plugin").unwrap();
    assert_eq!(world.store.runs(&world.tenant, None, 10).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn runs_6_6_a_service_that_waits_for_a_plugin_ends_within_seconds() {
    let begins = Arc::new(Notify::new());
    let world = World::new(Org::of(1)).await;
    let service = Service::of(&world).await;
    *service.host.compiling.lock().unwrap() = Some(compiles_for_ever(&begins));
    ends_while_compiling(&world, service, &begins).await;

    let world = World::new(Org::of(1)).await;
    let service = Service::of(&world).await;
    *service.host.meanwhile.lock().unwrap() = Some(compiles_for_ever(&begins));
    ends_while_compiling(&world, service, &begins).await;
}

#[tokio::test]
async fn a_run_that_breaks_off_ends_alone() {
    let world = World::new(Org::of(1)).await;
    let mut service = Service::of(&world).await;
    service.add(&world, &world.tenant, "sound", "sound:443").await;
    service.host.panics.lock().unwrap().push(world.directory.clone());
    service.settle().await;
    let ended = service.take_ended();
    assert_eq!(ended.len(), 1);
    assert_ne!(ended[0].directory, world.directory);
    service.host.panics.lock().unwrap().clear();
    assert_eq!(
        service.settle().await,
        0,
        "it is not tried again in the same moment"
    );
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(service.settle().await, 1);
}
