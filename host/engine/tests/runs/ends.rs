//! How runs end: cancelled, too late, broken off, beside another one, after a dead one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use idsync_engine::lock::{DirectoryLock, LockError};
use idsync_engine::{EngineError, RunOrder, RunSignals, Sync, remove};
use idsync_model::{
    DirectoryId, DirectoryState, DisabledReason, ErrorKind, EventSink, Failure, Mode, Outcome, RunEvent,
    RunId, RunReport, TenantName, Trigger,
};
use idsync_store::{NewRun, Store, Verified};
use tokio::sync::Notify;

use crate::org::{Org, refused, user_row};
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
async fn a_second_run_beside_the_first_is_refused_as_busy() {
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
    let second = world.try_run(world.order()).await;
    assert!(matches!(second, Err(EngineError::Lock(LockError::Busy { .. }))));
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
async fn the_next_run_ends_one_whose_process_died() {
    let world = World::synced(Org::of(3)).await;
    let dead = RunId::generate();
    let lock = DirectoryLock::take(&world.locks(), &world.directory).unwrap();
    let begun = NewRun {
        run: dead.clone(),
        directory: world.directory.clone(),
        trigger: Trigger::Manual,
        mode: Mode::Incremental,
        dry_run: false,
        started_at: world.clock.time(),
        plugin_version: "1.0.0".to_owned(),
    };
    world.store.begin_run(&world.tenant, begun).await.unwrap();
    world.store.create_staging(&world.tenant, &dead).await.unwrap();
    drop(lock);
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
    let dead = world.store.run(&world.tenant, &dead).await.unwrap();
    assert_eq!(dead.outcome, Some(Outcome::Failed));
    assert!(dead.error.is_some());
}

#[tokio::test]
async fn a_directory_that_is_disabled_while_it_is_read_is_not_changed_any_more() {
    let world = World::synced(Org::of(3)).await;
    let before = world.seen().await;
    let (store, tenant, directory) = (world.store.clone(), world.tenant.clone(), world.directory.clone());
    world.provider.does(move |_, _| {
        let (store, tenant, directory) = (store.clone(), tenant.clone(), directory.clone());
        async move {
            let reason = Some(DisabledReason::Person);
            store
                .set_state(&tenant, &directory, DirectoryState::Disabled, reason)
                .await
                .unwrap();
            Ok(())
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Cancelled, "{report:?}");
    let error = report.error.unwrap();
    assert!(error.summary.contains("the directory was disabled"), "{error:?}");
    assert_eq!(world.seen().await, before);
    world.provider.reads_org();
    assert_eq!(
        world.sync().await.outcome,
        Outcome::Succeeded,
        "a disabled one is synced by hand"
    );
}

/// Records that something else is verified now.
async fn record(
    store: &dyn Store,
    tenant: &TenantName,
    directory: &DirectoryId,
    change: impl FnOnce(&mut Verified),
) {
    let now = store.directory(tenant, directory.as_str()).await.unwrap();
    let mut verified = now.verified.unwrap();
    change(&mut verified);
    store
        .record_verification(tenant, directory, verified)
        .await
        .unwrap();
}

/// Verifies other settings and then the old ones again: what was planned before is stale, and what was read stands.
async fn move_on(store: &dyn Store, tenant: &TenantName, directory: &DirectoryId) {
    let now = store.directory(tenant, directory.as_str()).await.unwrap();
    let old = now.verified.unwrap();
    record(store, tenant, directory, |verified| {
        "settings-2".clone_into(&mut verified.fingerprint);
    })
    .await;
    record(store, tenant, directory, |verified| *verified = old).await;
}

#[tokio::test]
async fn runs_3_4_a_run_during_which_its_directory_was_disabled_and_enabled_again_writes_nothing() {
    let world = World::synced(Org::of(3)).await;
    let before = world.seen().await;
    world.provider.change(|org| org.add_user("new"));
    let report = run_with(&world, 1, |store, tenant, directory| {
        Box::pin(async move {
            for (state, reason) in [
                (DirectoryState::Disabled, Some(DisabledReason::Person)),
                (DirectoryState::Active, None),
            ] {
                store.set_state(tenant, directory, state, reason).await.unwrap();
            }
        })
    })
    .await;
    assert_eq!(report.outcome, Outcome::Cancelled, "{report:?}");
    let error = report.error.unwrap();
    assert!(error.summary.contains("the directory was disabled"), "{error:?}");
    assert_eq!(world.seen().await, before);
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn runs_5_3_a_run_whose_directory_moved_on_while_it_read_plans_at_the_present_generation() {
    let world = World::synced(Org::of(3)).await;
    world.provider.change(|org| org.add_user("new"));
    let users: Vec<_> = {
        let org = world.provider.org.lock().unwrap();
        org.users.iter().map(|(id, user)| user_row(id, user)).collect()
    };
    let (store, tenant, directory) = (world.store.clone(), world.tenant.clone(), world.directory.clone());
    world.provider.does(move |staging, _| {
        let (store, tenant, directory) = (store.clone(), tenant.clone(), directory.clone());
        let users = users.clone();
        async move {
            move_on(&*store, &tenant, &directory).await;
            staging.put_users(users).await.map_err(|e| refused(&e))
        }
    });
    let report = world.sync().await;
    assert_eq!((report.outcome, report.users.created), (Outcome::Succeeded, 1));
    world.assert_equals_org().await;
}

/// What happens to a directory while it is synced.
type Happening =
    for<'a> fn(&'a dyn Store, &'a TenantName, &'a DirectoryId) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Has something happen when a run is about to apply or hold its plan, a number of times.
struct BeforeEnd {
    happening: Happening,
    store: Arc<dyn Store>,
    tenant: TenantName,
    directory: DirectoryId,
    times: AtomicUsize,
}

impl EventSink for BeforeEnd {
    fn emit(&self, event: RunEvent) {
        let is_end = matches!(event, RunEvent::Progress { stage, .. } if stage == "apply" || stage == "hold");
        let once_less = |times: usize| times.checked_sub(1);
        if !is_end || self.times.fetch_update(SeqCst, SeqCst, once_less).is_err() {
            return;
        }
        // On a thread of its own, since a runtime's thread can't wait for another runtime.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on((self.happening)(&*self.store, &self.tenant, &self.directory));
            });
        });
    }
}

async fn run_while_it_moves_on(world: &World, times: usize) -> RunReport {
    run_with(world, times, |store, tenant, directory| {
        Box::pin(move_on(store, tenant, directory))
    })
    .await
}

async fn run_with(world: &World, times: usize, happening: Happening) -> RunReport {
    let signals = RunSignals {
        cancel: world.cancel.clone(),
        events: Arc::new(BeforeEnd {
            happening,
            store: world.store.clone(),
            tenant: world.tenant.clone(),
            directory: world.directory.clone(),
            times: AtomicUsize::new(times),
        }),
    };
    Sync::new(world.store.clone(), world.clock.clone(), world.locks())
        .run(world.order(), world.provider.clone(), signals)
        .await
        .unwrap()
}

#[tokio::test]
async fn runs_5_3_a_plan_that_went_stale_is_made_again_once() {
    let world = World::synced(Org::of(3)).await;
    world.provider.change(|org| org.add_user("new"));
    let report = run_while_it_moves_on(&world, 1).await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_5_3_a_plan_that_goes_stale_again_and_again_is_given_up() {
    let world = World::synced(Org::of(3)).await;
    let before = world.seen().await;
    world.provider.change(|org| org.add_user("new"));
    let report = run_while_it_moves_on(&world, 2).await;
    assert_eq!(report.outcome, Outcome::Cancelled);
    let error = report.error.unwrap();
    assert_eq!(error.summary, "the directory was changed while the plan was made");
    assert_eq!(world.seen().await, before);
}

#[tokio::test]
async fn runs_5_3_a_plan_that_went_stale_before_it_was_held_is_made_again_once() {
    for (times, outcome) in [(1, Outcome::Held), (2, Outcome::Cancelled)] {
        let world = World::synced(Org::of(30)).await;
        let before = world.seen().await;
        world.provider.change(|org| *org = Org::of(10));
        let report = run_while_it_moves_on(&world, times).await;
        assert_eq!(report.outcome, outcome, "{report:?}");
        assert_eq!(world.seen().await, before);
    }
}

/// A sync during which something else is verified than what it reads with.
async fn sync_while_verified(world: &World, change: fn(&mut Verified)) {
    let before = world.seen().await;
    let (store, tenant, directory) = (world.store.clone(), world.tenant.clone(), world.directory.clone());
    world.provider.does(move |_, _| {
        let (store, tenant, directory) = (store.clone(), tenant.clone(), directory.clone());
        async move {
            record(&*store, &tenant, &directory, change).await;
            Ok(())
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Cancelled, "{report:?}");
    assert_eq!(world.seen().await, before);
}

#[tokio::test]
async fn a_run_of_old_settings_is_not_applied_once_new_ones_are_verified() {
    let world = World::synced(Org::of(3)).await;
    sync_while_verified(&world, |verified| {
        "settings-2".clone_into(&mut verified.fingerprint);
    })
    .await;
}

#[tokio::test]
async fn runs_4_5_a_run_of_the_old_org_is_not_applied_once_the_new_one_is_confirmed() {
    let world = World::synced(Org::of(3)).await;
    sync_while_verified(&world, |verified| verified.org_id = Some("org-2".to_owned())).await;
}

#[tokio::test]
async fn runs_4_5_not_even_when_it_is_confirmed_just_before_the_apply() {
    let world = World::synced(Org::of(3)).await;
    let before = world.seen().await;
    world.provider.change(|org| org.add_user("new"));
    let report = run_with(&world, 1, |store, tenant, directory| {
        Box::pin(record(store, tenant, directory, |verified| {
            verified.org_id = Some("org-2".to_owned());
        }))
    })
    .await;
    assert_eq!(report.outcome, Outcome::Cancelled, "{report:?}");
    assert_eq!(world.seen().await, before);
}

#[tokio::test]
async fn runs_3_4_a_directory_that_is_removed_while_it_is_read_stays_removed() {
    let world = World::synced(Org::of(3)).await;
    let (store, tenant, directory) = (world.store.clone(), world.tenant.clone(), world.directory.clone());
    let locks = world.locks();
    world.provider.does(move |_, _| {
        let (store, tenant, directory) = (store.clone(), tenant.clone(), directory.clone());
        let locks = locks.clone();
        async move {
            remove(&*store, &locks, &tenant, &directory, &RunId::generate())
                .await
                .unwrap();
            Ok(())
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Cancelled);
    let error = report.error.unwrap();
    assert!(error.summary.contains("the directory was removed"), "{error:?}");
    let gone = world
        .store
        .directory(&world.tenant, world.directory.as_str())
        .await;
    assert!(matches!(
        gone,
        Err(idsync_store::StoreError::UnknownDirectory { .. })
    ));
}
