//! Verification and removal.

use idsync_engine::EngineError;
use idsync_model::{CheckOutcome, Outcome, RunId, TenantName, Trigger};
use idsync_store::StoreError;

use crate::org::Org;
use crate::world::{World, at_start, org_in_one_group};

fn another_org_answers(world: &World, org: Option<&str>) {
    *world.provider.org_id.lock().unwrap() = org.map(ToOwned::to_owned);
}

#[tokio::test]
async fn a_verification_that_passes_is_stored() {
    let world = World::unverified(Org::of(1)).await;
    let verification = world.verify("settings-1", true).await;
    assert!(verification.is_verified());
    let verified = world.directory().await.verified.unwrap();
    assert_eq!(verified.fingerprint, "settings-1");
    assert_eq!(verified.org_id.as_deref(), Some("org-1"));
    assert_eq!(verified.settings.get("domain"), Some("example.com"));
    assert_eq!(verified.at, world.clock.time());
}

#[tokio::test]
async fn a_verification_that_fails_leaves_what_was_verified() {
    let world = World::new(Org::of(1)).await;
    *world.provider.verdict.lock().unwrap() = CheckOutcome::Failed;
    assert!(!world.verify("settings-2", true).await.is_verified());
    assert_eq!(
        world.directory().await.verified.unwrap().fingerprint,
        "settings-1"
    );
}

#[tokio::test]
async fn runs_4_5_another_org_is_refused_until_a_person_confirms_it() {
    let world = World::new(Org::of(1)).await;
    another_org_answers(&world, Some("org-2"));
    let unattended = world.verify("settings-1", false).await;
    assert!(!unattended.is_verified());
    assert_eq!(unattended.checks.last().unwrap().id, "same-org");
    assert_eq!(
        world.directory().await.verified.unwrap().org_id.as_deref(),
        Some("org-1")
    );

    let by_person = world.verify("settings-1", true).await;
    assert!(by_person.is_verified());
    assert_eq!(by_person.checks.last().unwrap().outcome, CheckOutcome::Warning);
    assert_eq!(
        world.directory().await.verified.unwrap().org_id.as_deref(),
        Some("org-2")
    );
}

#[tokio::test]
async fn runs_4_5_a_known_org_that_can_not_be_told_is_not_verified() {
    let world = World::new(Org::of(1)).await;
    another_org_answers(&world, None);
    assert!(!world.verify("settings-1", true).await.is_verified());
}

#[tokio::test]
async fn runs_3_4_a_removal_is_a_run_of_its_own() {
    let world = World::synced(org_in_one_group(3, at_start())).await;
    let run = RunId::generate();
    let applied = world
        .store
        .remove_directory(&world.tenant, &world.directory, &run)
        .await
        .unwrap();
    assert_eq!(applied.changes, 7, "three users, a group, three memberships");
    assert_eq!(applied.run.trigger, Trigger::Removal);
    assert_eq!(applied.run.outcome, Some(Outcome::Succeeded));
    let again = world
        .store
        .remove_directory(&world.tenant, &world.directory, &run)
        .await;
    assert!(matches!(again, Err(StoreError::UnknownDirectory { .. })));
    let sync = world.try_run(world.order()).await;
    assert!(matches!(
        sync,
        Err(EngineError::Store(StoreError::UnknownDirectory { .. }))
    ));
}

#[tokio::test]
async fn another_tenants_directory_is_not_found() {
    let world = World::synced(Org::of(1)).await;
    let other: TenantName = "other".parse().unwrap();
    world.store.add_tenant(&other).await.unwrap();
    let mut order = world.order();
    order.tenant = other.clone();
    let sync = world.try_run(order).await;
    assert!(matches!(
        sync,
        Err(EngineError::Store(StoreError::UnknownDirectory { .. }))
    ));
    let removal = world
        .store
        .remove_directory(&other, &world.directory, &RunId::generate())
        .await;
    assert!(matches!(removal, Err(StoreError::UnknownDirectory { .. })));
    world.assert_equals_org().await;
}
