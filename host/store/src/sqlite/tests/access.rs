//! What one tenant or directory can't see of another.

use idsync_model::{Entity, Mode, Operation, TenantName};

use super::org::{Org, house, id, read_with};
use crate::{DirectoryVault, RunEnd, RunFacts, Sealed, SealedSecret, SecretOf, StoreError};

#[tokio::test]
async fn another_tenants_ids_are_unknown() {
    let house = house();
    let acme = house.directory("acme").await;
    let run = house.sync(&acme, &Org::default().user("ann")).await.run.run;
    let stranger: TenantName = "stranger".parse().unwrap();
    house.store.add_tenant(&stranger).await.unwrap();
    let store = &house.store;

    let unknown_directory = [
        store.directory(&stranger, acme.id.as_str()).await.err(),
        store.directory(&stranger, "acme").await.err(),
        store.signing_keys(&stranger, &acme.id).await.err(),
        store
            .secret(&stranger, &acme.id, "token", SecretOf::Verified)
            .await
            .err(),
        store.recall(&stranger, &acme.id, "apps").await.err(),
        store
            .export(&stranger, &acme.id, Box::new(|_| Ok(())))
            .await
            .err(),
        store.group_reads(&stranger, &acme.id, vec![id("g")]).await.err(),
        store.remove_directory(&stranger, &acme.id, &run).await.err(),
        store.runs(&stranger, Some(&acme.id), 10).await.err(),
    ];
    for error in unknown_directory {
        assert!(
            matches!(error, Some(StoreError::UnknownDirectory { .. })),
            "{error:?}"
        );
    }
    let unknown_run = [
        store.run(&stranger, &run).await.err(),
        store.skips(&stranger, &run).await.err(),
        store
            .create_staging(&stranger, &run, read_with(Mode::Full))
            .await
            .err(),
        store
            .planned_rows(&stranger, &run, Entity::User, Operation::Create, 10)
            .await
            .err(),
    ];
    for error in unknown_run {
        assert!(matches!(error, Some(StoreError::UnknownRun { .. })), "{error:?}");
    }
    assert!(store.runs(&stranger, None, 10).await.unwrap().is_empty());
    assert!(store.directories(&stranger).await.unwrap().is_empty());
    assert_eq!(house.seen(&acme).await.user_ids(), ["ann"]);
}

#[tokio::test]
async fn a_stranger_can_not_end_a_run_in_progress() {
    let house = house();
    let acme = house.directory("acme").await;
    let stranger: TenantName = "stranger".parse().unwrap();
    house.store.add_tenant(&stranger).await.unwrap();
    let (run, basis, staging) = house.begin(&acme, Mode::Full).await;

    let end = RunEnd::Planned {
        summary: Box::default(),
        held: None,
    };
    let refused = house
        .store
        .end_run(&stranger, &run, end, RunFacts::default())
        .await;

    assert!(matches!(refused, Err(StoreError::UnknownRun { .. })));
    Org::default().user("ann").put(&*staging, house.clock_now()).await;
    let plan = house.store.make_plan(&acme.tenant, staging, basis).await.unwrap();
    house.store.apply(plan, RunFacts::default()).await.unwrap();
}

#[tokio::test]
async fn directories_of_one_tenant_hold_the_same_ids_apart() {
    let house = house();
    let one = house.directory("one").await;
    let two = house.directory("two").await;

    house
        .sync(&one, &Org::default().user("ann").group("g", &["ann"]))
        .await;
    house
        .sync(&two, &Org::default().user("ann").user("bob").group("g", &["bob"]))
        .await;
    house.sync(&one, &Org::default().group("g", &["ann"])).await;

    assert_eq!(house.seen(&one).await.pairs(), []);
    assert_eq!(house.seen(&two).await.pairs(), [("g", "bob")]);
    assert_eq!(house.seen(&two).await.user_ids(), ["ann", "bob"]);
}

#[tokio::test]
async fn a_plugin_reaches_its_own_values_within_their_limit() {
    let house = house();
    let one = house.directory("one").await;
    let two = house.directory("two").await;
    let secret = SealedSecret {
        name: "token".to_owned(),
        value: Some(Sealed(b"sealed".to_vec())),
    };
    let with_secret = house
        .store
        .set_settings(
            &house.tenant,
            &one.id,
            &one.settings,
            one.settings.clone(),
            vec![secret],
        )
        .await
        .unwrap();
    assert_eq!(with_secret.secret_names, ["token"]);
    let vault = DirectoryVault::new(house.store.clone(), house.tenant.clone(), one.id.clone());
    let of_two = DirectoryVault::new(house.store.clone(), house.tenant.clone(), two.id.clone());

    vault
        .remember("apps", Some(Sealed(vec![1; 30])), 10, 20)
        .await
        .unwrap();
    let refused = vault.remember("more", Some(Sealed(vec![1; 30])), 10, 20).await;

    assert!(
        matches!(refused, Err(StoreError::VaultFull { bytes: 28, limit: 20 })),
        "{refused:?}"
    );
    assert_eq!(vault.recall("apps").await.unwrap(), Some(Sealed(vec![1; 30])));
    assert_eq!(vault.recall("more").await.unwrap(), None);
    assert_eq!(
        vault.recall("token").await.unwrap(),
        None,
        "a setting is not the plugin's"
    );
    assert_eq!(
        vault.secret("token").await.unwrap(),
        Some(Sealed(b"sealed".to_vec()))
    );
    assert_eq!(of_two.recall("apps").await.unwrap(), None);
    vault.remember("apps", None, 0, 20).await.unwrap();
    assert_eq!(vault.recall("apps").await.unwrap(), None);
}

#[tokio::test]
async fn a_tenant_goes_only_when_it_is_empty_and_takes_its_history_along() {
    let house = house();
    let name: TenantName = "acme".parse().unwrap();
    house.store.add_tenant(&name).await.unwrap();
    let taken = house.store.add_tenant(&name).await;
    assert!(matches!(taken, Err(StoreError::NameTaken { .. })));
    let directory = house.directory_of(&name, "okta").await;
    house
        .sync(&directory, &Org::default().user("ann").group("g", &["ann"]))
        .await;

    let refused = house.store.remove_tenant(&name).await;
    assert!(matches!(
        refused,
        Err(StoreError::TenantNotEmpty { directories: 1, .. })
    ));
    let removal = idsync_model::RunId::generate();
    house
        .store
        .remove_directory(&name, &directory.id, &removal)
        .await
        .unwrap();
    house.store.remove_tenant(&name).await.unwrap();

    let left = house.store.tenants().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, TenantName::default_tenant());
    let rows: i64 = house
        .raw()
        .query_row(
            "SELECT (SELECT count(*) FROM user_identity) + (SELECT count(*) FROM change_block) + (SELECT count(*) FROM run)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(rows, 0);
}
