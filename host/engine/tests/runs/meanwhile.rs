//! What happens to a directory while it is synced: disabled, removed, verified anew, planned for in vain.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use idsync_engine::{RunOrder, RunSignals};
use idsync_model::{
    DirectoryId, DirectoryState, DisabledReason, EventSink, Outcome, RunEvent, RunId, RunReport, Settings,
    TenantName,
};
use idsync_store::{Store, Verified};

use crate::org::{Org, refused, user_row};
use crate::world::World;

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
    let mut verified = now.verified.clone().unwrap();
    change(&mut verified);
    store
        .record_verification(tenant, directory, verified, now.settings_mark)
        .await
        .unwrap();
}

fn other_settings() -> Settings {
    Settings::from_iter([("domain".to_owned(), "other.example.com".to_owned())])
}

/// Verifies other settings and then the old ones again: what was planned before is stale, and what was read stands.
async fn move_on(store: &dyn Store, tenant: &TenantName, directory: &DirectoryId) {
    let now = store.directory(tenant, directory.as_str()).await.unwrap();
    let old = now.verified.unwrap();
    record(store, tenant, directory, |verified| {
        verified.settings = other_settings();
    })
    .await;
    record(store, tenant, directory, |verified| *verified = old).await;
}

#[tokio::test]
async fn runs_3_4_a_run_during_which_its_directory_was_disabled_and_enabled_again_writes_nothing() {
    let world = World::synced(Org::of(3)).await;
    let before = world.seen().await;
    world.provider.change(|org| org.add_user("new"));
    let report = run_with(&world, true, 1, |store, tenant, directory| {
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
    let report = world.full_sync().await;
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
    run_with(world, true, times, |store, tenant, directory| {
        Box::pin(move_on(store, tenant, directory))
    })
    .await
}

async fn run_with(world: &World, full: bool, times: usize, happening: Happening) -> RunReport {
    let signals = RunSignals {
        events: Arc::new(BeforeEnd {
            happening,
            store: world.store.clone(),
            tenant: world.tenant.clone(),
            directory: world.directory.clone(),
            times: AtomicUsize::new(times),
        }),
        ..world.signals()
    };
    let order = RunOrder {
        full,
        ..world.order()
    };
    world
        .syncer()
        .run(order, world.provider.clone(), signals)
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
async fn runs_5_3_an_incremental_run_whose_directory_moved_on_is_due_again() {
    let world = World::synced(Org::of(3)).await;
    let before = world.seen().await;
    world.provider.change(|org| org.add_user("new"));
    let report = run_with(&world, false, 1, |store, tenant, directory| {
        Box::pin(move_on(store, tenant, directory))
    })
    .await;
    assert_eq!(report.outcome, Outcome::Cancelled, "{report:?}");
    assert_eq!(world.seen().await, before);
    let directory = world.directory().await;
    assert!(directory.times.is_due);
    assert_eq!(directory.failing, None, "it is no failure");
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
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
        verified.settings = other_settings();
    })
    .await;
}

#[tokio::test]
async fn runs_7_2_a_run_of_the_old_key_is_applied_once_the_new_one_is_verified() {
    let world = World::synced(Org::of(3)).await;
    world.provider.change(|org| org.add_user("new"));
    let (store, tenant, directory) = (world.store.clone(), world.tenant.clone(), world.directory.clone());
    world.provider.does_before_page(1, move |_, _| {
        let (store, tenant, directory) = (store.clone(), tenant.clone(), directory.clone());
        async move {
            record(&*store, &tenant, &directory, |verified| {
                "key-2".clone_into(&mut verified.fingerprint);
            })
            .await;
            Ok(())
        }
    });
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
    world.assert_equals_org().await;
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
    let report = run_with(&world, true, 1, |store, tenant, directory| {
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
    world.provider.does(move |_, _| {
        let (store, tenant, directory) = (store.clone(), tenant.clone(), directory.clone());
        async move {
            store
                .remove_directory(&tenant, &directory, &RunId::generate())
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
