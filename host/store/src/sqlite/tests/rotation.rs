//! Settings, secrets and keys that wait for their verification, and the part of an org that is another directory's.

use idsync_model::TenantName;

use super::org::{House, house};
use crate::{Directory, DirectoryVault, NewKey, Sealed, SealedSecret, SecretOf, StoreError, Verified};

fn new_key(kid: &str) -> NewKey {
    NewKey {
        kid: kid.to_owned(),
        algorithm: idsync_model::KeyAlgorithm::Es256,
        public_jwk: "{\"kty\":\"EC\"}".to_owned(),
        sealed_private: Sealed(format!("sealed-half-of-{kid}").into_bytes()),
    }
}

fn verified(house: &House, kid: Option<&str>) -> Verified {
    Verified {
        fingerprint: "of all".to_owned(),
        org_id: Some("00o1".to_owned()),
        scope: vec!["0oa1".to_owned()],
        kid: kid.map(str::to_owned),
        ..house.verified()
    }
}

async fn secret(house: &House, directory: &Directory, of: SecretOf) -> Option<String> {
    let sealed = house
        .store
        .secret(&house.tenant, &directory.id, "token", of)
        .await
        .unwrap();
    sealed.map(|sealed| String::from_utf8(sealed.0).unwrap())
}

async fn set_secret(house: &House, directory: &Directory, value: Option<&str>) -> Directory {
    let secret = SealedSecret {
        name: "token".to_owned(),
        value: value.map(|value| Sealed(value.as_bytes().to_vec())),
    };
    house
        .store
        .set_settings(
            &house.tenant,
            &directory.id,
            &directory.settings,
            directory.settings.clone(),
            vec![secret],
        )
        .await
        .unwrap()
}

/// The files of the data directory that hold these bytes.
fn files_with(house: &House, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for file in house.path().read_dir().unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let content = std::fs::read(&path).unwrap();
            if content.windows(bytes.len()).any(|part| part == bytes) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn runs_7_2_runs_use_the_old_key_until_the_new_one_is_verified_and_then_it_is_erased() {
    let house = house();
    let acme = house.directory("acme").await;
    let store = &house.store;
    let vault = DirectoryVault::new(store.clone(), house.tenant.clone(), acme.id.clone());

    let rotating = store
        .add_next_key(&house.tenant, &acme.id, new_key("kid-2"))
        .await
        .unwrap();

    assert_eq!(rotating.next_key.as_deref(), Some("kid-2"));
    let keys = store.signing_keys(&house.tenant, &acme.id).await.unwrap();
    assert_eq!(keys.current.unwrap().kid, "kid-1");
    assert_eq!(keys.next.unwrap().kid, "kid-2");
    assert_eq!(vault.signing_key().await.unwrap().unwrap().kid, "kid-1");
    let of_verification = vault.clone().for_verification();
    assert_eq!(of_verification.signing_key().await.unwrap().unwrap().kid, "kid-2");
    assert!(!files_with(&house, b"sealed-private-half").is_empty());

    // A verification with the old key leaves both.
    let still = store
        .record_verification(
            &house.tenant,
            &acme.id,
            verified(&house, Some("kid-1")),
            rotating.settings_mark,
        )
        .await
        .unwrap();
    assert_eq!(still.next_key.as_deref(), Some("kid-2"));

    let done = store
        .record_verification(
            &house.tenant,
            &acme.id,
            verified(&house, Some("kid-2")),
            rotating.settings_mark,
        )
        .await
        .unwrap();

    assert_eq!(done.next_key, None);
    assert_eq!(done.verified.unwrap().kid.as_deref(), Some("kid-2"));
    let keys = store.signing_keys(&house.tenant, &acme.id).await.unwrap();
    let current = keys.current.unwrap();
    assert_eq!(current.kid, "kid-2");
    assert_eq!(current.sealed_private, new_key("kid-2").sealed_private);
    assert_eq!(keys.next, None);
    assert_eq!(files_with(&house, b"sealed-private-half"), [""; 0]);
}

#[tokio::test]
async fn runs_7_2_a_new_key_can_be_dropped_and_there_is_one_at_most() {
    let house = house();
    let acme = house.directory("acme").await;
    let store = &house.store;
    let none = store.drop_next_key(&house.tenant, &acme.id).await;
    assert!(matches!(none, Err(StoreError::NoNextKey)), "{none:?}");
    store
        .add_next_key(&house.tenant, &acme.id, new_key("kid-2"))
        .await
        .unwrap();
    let twice = store
        .add_next_key(&house.tenant, &acme.id, new_key("kid-3"))
        .await;
    assert!(
        matches!(&twice, Err(StoreError::NextKeyWaits { kid }) if kid == "kid-2"),
        "{twice:?}"
    );

    let dropped = store.drop_next_key(&house.tenant, &acme.id).await.unwrap();

    assert_eq!(dropped.next_key, None);
    assert_eq!(files_with(&house, b"sealed-half-of-kid-2"), [""; 0]);
    let keys = store.signing_keys(&house.tenant, &acme.id).await.unwrap();
    assert_eq!(keys.current.unwrap().kid, "kid-1");
    // A verification that began with it comes too late.
    let late = store
        .record_verification(
            &house.tenant,
            &acme.id,
            verified(&house, Some("kid-2")),
            acme.settings_mark,
        )
        .await;
    assert!(matches!(late, Err(StoreError::SettingsChanged)), "{late:?}");
    assert_eq!(
        store.directory(&house.tenant, "acme").await.unwrap().verified,
        None
    );
}

#[tokio::test]
async fn runs_7_2_keys_are_the_tenants_own() {
    let house = house();
    let acme = house.directory("acme").await;
    let stranger: TenantName = "stranger".parse().unwrap();
    house.store.add_tenant(&stranger).await.unwrap();
    let refused = [
        house.store.signing_keys(&stranger, &acme.id).await.err(),
        house
            .store
            .add_next_key(&stranger, &acme.id, new_key("kid-2"))
            .await
            .err(),
        house.store.drop_next_key(&stranger, &acme.id).await.err(),
    ];
    for error in refused {
        assert!(
            matches!(error, Some(StoreError::UnknownDirectory { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn runs_7_1_a_secret_waits_for_its_verification_while_runs_use_the_old_one() {
    let house = house();
    let acme = house.directory("acme").await;
    let acme = set_secret(&house, &acme, Some("first-secret")).await;
    assert_eq!(
        secret(&house, &acme, SecretOf::Verified).await.as_deref(),
        Some("first-secret"),
        "before the first verification there is nothing to protect"
    );
    assert!(acme.waiting_secrets.is_empty());
    let verify = async |mark| {
        house
            .store
            .record_verification(&house.tenant, &acme.id, verified(&house, None), mark)
            .await
    };
    verify(acme.settings_mark).await.unwrap();

    let waiting = set_secret(&house, &acme, Some("second-secret")).await;

    assert_eq!(waiting.waiting_secrets, ["token"]);
    assert_eq!(waiting.secret_names, ["token"]);
    assert_eq!(
        secret(&house, &acme, SecretOf::Verified).await.as_deref(),
        Some("first-secret")
    );
    assert_eq!(
        secret(&house, &acme, SecretOf::Next).await.as_deref(),
        Some("second-secret")
    );
    let vault = DirectoryVault::new(house.store.clone(), house.tenant.clone(), acme.id.clone());
    assert_eq!(
        vault.secret("token").await.unwrap(),
        Some(Sealed(b"first-secret".to_vec()))
    );
    assert_eq!(
        vault.for_verification().secret("token").await.unwrap(),
        Some(Sealed(b"second-secret".to_vec()))
    );

    let late = verify(acme.settings_mark).await;
    assert!(matches!(late, Err(StoreError::SettingsChanged)), "{late:?}");
    let done = verify(waiting.settings_mark).await.unwrap();

    assert!(done.waiting_secrets.is_empty());
    assert_eq!(
        secret(&house, &acme, SecretOf::Verified).await.as_deref(),
        Some("second-secret")
    );
    assert_eq!(files_with(&house, b"first-secret"), [""; 0]);
}

#[tokio::test]
async fn runs_7_1_a_secret_that_is_taken_away_stays_until_that_is_verified() {
    let house = house();
    let acme = house.directory("acme").await;
    let acme = set_secret(&house, &acme, Some("first-secret")).await;
    house
        .store
        .record_verification(
            &house.tenant,
            &acme.id,
            verified(&house, None),
            acme.settings_mark,
        )
        .await
        .unwrap();

    let waiting = set_secret(&house, &acme, None).await;

    assert_eq!(waiting.secret_names, [""; 0]);
    assert_eq!(waiting.waiting_secrets, ["token"]);
    assert_eq!(
        secret(&house, &acme, SecretOf::Verified).await.as_deref(),
        Some("first-secret")
    );
    assert_eq!(secret(&house, &acme, SecretOf::Next).await, None);
    house
        .store
        .record_verification(
            &house.tenant,
            &acme.id,
            verified(&house, None),
            waiting.settings_mark,
        )
        .await
        .unwrap();
    assert_eq!(secret(&house, &acme, SecretOf::Verified).await, None);
    assert_eq!(files_with(&house, b"first-secret"), [""; 0]);
}

#[tokio::test]
async fn runs_7_3_two_directories_of_a_tenant_may_not_sync_the_same_app() {
    let house = house();
    let one = house.directory("one").await;
    let two = house.directory("two").await;
    let other: TenantName = "other".parse().unwrap();
    house.store.add_tenant(&other).await.unwrap();
    let of_other = house.directory_of(&other, "one").await;
    let verify = async |directory: &Directory, org: &str, scope: &[&str]| {
        let verified = Verified {
            org_id: Some(org.to_owned()),
            scope: scope.iter().map(|part| (*part).to_owned()).collect(),
            ..verified(&house, None)
        };
        let mark = directory.settings_mark;
        house
            .store
            .record_verification(&directory.tenant, &directory.id, verified, mark)
            .await
    };
    let first = verify(&one, "00o1", &["0oa1", "0oa2"]).await.unwrap();
    assert_eq!(first.verified.unwrap().scope, ["0oa1", "0oa2"]);

    let refused = verify(&two, "00o1", &["0oa3", "0oa2"]).await;

    assert!(
        matches!(&refused, Err(StoreError::SameScope { directory }) if directory == "one"),
        "{refused:?}"
    );
    let untouched = house.store.directory(&house.tenant, "two").await.unwrap();
    assert_eq!(untouched.verified, None);
    verify(&two, "00o1", &["0oa3"]).await.unwrap();
    verify(&two, "00o2", &["0oa1"]).await.unwrap();
    verify(&of_other, "00o1", &["0oa1"]).await.unwrap();
    verify(&one, "00o1", &["0oa1"]).await.unwrap();
    let all = verify(&two, "00o1", &[]).await;
    assert!(
        matches!(all, Err(StoreError::SameScope { .. })),
        "no part is all of the org: {all:?}"
    );
    verify(&two, "00o3", &[]).await.unwrap();
    let part = verify(&one, "00o3", &["0oa9"]).await;
    assert!(
        matches!(&part, Err(StoreError::SameScope { directory }) if directory == "two"),
        "{part:?}"
    );
    // Verified by a version that kept no parts.
    house
        .raw()
        .execute_batch("UPDATE directory SET verified_scope = NULL WHERE name = 'two'")
        .unwrap();
    verify(&one, "00o3", &["0oa9"]).await.unwrap();
    let run = idsync_model::RunId::generate();
    house
        .store
        .remove_directory(&house.tenant, &one.id, &run)
        .await
        .unwrap();
    verify(&two, "00o1", &["0oa1"]).await.unwrap();
}

#[tokio::test]
async fn runs_7_2_a_verification_in_progress_does_not_count_for_keys_that_came_or_went_meanwhile() {
    let house = house();
    let acme = house.directory("acme").await;
    let verify = async |kid: &str, mark: u64| {
        let verified = verified(&house, Some(kid));
        house
            .store
            .record_verification(&house.tenant, &acme.id, verified, mark)
            .await
    };
    let first = house
        .store
        .add_next_key(&house.tenant, &acme.id, new_key("kid-2"))
        .await
        .unwrap();
    let late = verify("kid-1", acme.settings_mark).await;
    assert!(matches!(late, Err(StoreError::SettingsChanged)), "{late:?}");

    let dropped = house.store.drop_next_key(&house.tenant, &acme.id).await.unwrap();
    let late = verify("kid-1", first.settings_mark).await;
    assert!(matches!(late, Err(StoreError::SettingsChanged)), "{late:?}");

    verify("kid-1", dropped.settings_mark).await.unwrap();
}
