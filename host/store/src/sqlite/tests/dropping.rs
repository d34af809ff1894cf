//! What a run left and is of no use: it is not gone on from, and goes.

use std::fs;

use idsync_model::{ErrorKind, Mode, RunId};

use super::org::{House, beside, house, house_with_files, read_with, user};
use super::resuming::{begin, ending, left, read_half, staged_files};
use crate::{ReadWith, RunFacts, SqliteStore, StagedCounts, Verified};

#[tokio::test]
async fn runs_6_4_what_has_no_checkpoint_or_was_not_to_be_kept_is_not_kept() {
    let house = house();
    let acme = house.directory("acme").await;
    let (run, _, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_users(vec![user("ann")]).await.unwrap();
    house
        .store
        .end_run(
            &house.tenant,
            &run,
            ending(ErrorKind::Unavailable, true),
            RunFacts::default(),
        )
        .await
        .unwrap();
    assert!(staged_files(&house).is_empty(), "no checkpoint");

    let (run, _, staging) = house.begin(&acme, Mode::Full).await;
    read_half(&*staging).await;
    house
        .store
        .end_run(
            &house.tenant,
            &run,
            ending(ErrorKind::Protocol, false),
            RunFacts::default(),
        )
        .await
        .unwrap();
    assert!(staged_files(&house).is_empty(), "not to be kept");

    let (run, basis, staging) = house.begin(&acme, Mode::Full).await;
    read_half(&*staging).await;
    house
        .store
        .make_plan(&house.tenant, staging, basis)
        .await
        .unwrap();
    house
        .store
        .end_run(
            &house.tenant,
            &run,
            ending(ErrorKind::Host, true),
            RunFacts::default(),
        )
        .await
        .unwrap();
    assert!(
        staged_files(&house).is_empty(),
        "planned from, and so beyond its checkpoint"
    );
    assert_eq!(
        house.store.resumable(&house.tenant, &acme.id).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn runs_6_4_a_run_that_died_after_its_plan_is_not_gone_on_from() {
    let house = house();
    let acme = house.directory("acme").await;
    let (dead, basis, staging) = house.begin(&acme, Mode::Full).await;
    read_half(&*staging).await;
    house
        .store
        .make_plan(&house.tenant, staging, basis)
        .await
        .unwrap();
    let house = super::org::reopened(house);

    let (run, _) = begin(&house, &acme).await;

    assert_eq!(
        house.store.resumable(&house.tenant, &acme.id).await.unwrap(),
        None
    );
    let resumed = house
        .store
        .resume_staging(&house.tenant, &run, &dead)
        .await
        .unwrap();
    assert!(resumed.is_none());
    assert!(staged_files(&house).is_empty());
}

#[tokio::test]
async fn runs_6_4_what_was_read_before_a_restart_of_the_machine_is_not_gone_on_from() {
    for boot in [Some("another boot".to_owned()), None] {
        let house = house();
        let acme = house.directory("acme").await;
        let first = left(&house, &acme, ErrorKind::Unavailable).await;
        let (run, _) = begin(&house, &acme).await;
        let store = SqliteStore::open_in(&house.path(), house.clock.clone(), boot, 0).unwrap();

        let resumable = store.resumable(&house.tenant, &acme.id).await.unwrap().unwrap();
        assert!(!resumable.is_same_boot);
        let resumed = store.resume_staging(&house.tenant, &run, &first).await.unwrap();

        assert!(resumed.is_none());
        assert!(staged_files(&house).is_empty());
    }
}

#[tokio::test]
async fn runs_6_4_where_the_boot_is_unknown_nothing_is_gone_on_from() {
    let known = house();
    let store = SqliteStore::open_in(&known.path(), known.clock.clone(), None, 0).unwrap();
    let house = House { store, ..known };
    let acme = house.directory("acme").await;
    left(&house, &acme, ErrorKind::Unavailable).await;
    let resumable = house
        .store
        .resumable(&house.tenant, &acme.id)
        .await
        .unwrap()
        .unwrap();
    assert!(!resumable.is_same_boot, "two unknown boots are not the same one");
}

#[tokio::test]
async fn runs_6_4_what_was_read_before_the_directory_moved_on_is_not_gone_on_from() {
    let house = house();
    let acme = house.directory("acme").await;
    let first = left(&house, &acme, ErrorKind::Unavailable).await;
    let verified = Verified {
        fingerprint: "b".to_owned(),
        ..house.verified()
    };
    house
        .store
        .record_verification(&house.tenant, &acme.id, verified, acme.settings_mark)
        .await
        .unwrap();
    let (run, basis) = begin(&house, &acme).await;

    let resumable = house
        .store
        .resumable(&house.tenant, &acme.id)
        .await
        .unwrap()
        .unwrap();
    assert_ne!(resumable.generation, basis.generation);
    let resumed = house
        .store
        .resume_staging(&house.tenant, &run, &first)
        .await
        .unwrap();
    assert!(resumed.is_none());
    assert!(staged_files(&house).is_empty());
}

#[tokio::test]
async fn runs_6_4_a_run_goes_on_from_its_own_directory_alone() {
    let house = house();
    let acme = house.directory("acme").await;
    let other = house.directory("other").await;
    let first = left(&house, &acme, ErrorKind::Unavailable).await;
    let (run, _) = begin(&house, &other).await;

    assert_eq!(
        house.store.resumable(&house.tenant, &other.id).await.unwrap(),
        None
    );
    let resumed = house
        .store
        .resume_staging(&house.tenant, &run, &first)
        .await
        .unwrap();

    assert!(resumed.is_none());
    let kept = house
        .store
        .resumable(&house.tenant, &acme.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.run, first, "it still waits for its own directory");
}

#[tokio::test]
async fn runs_6_5_who_begins_afresh_drops_what_can_not_be_gone_on_from() {
    let house = house_with_files();
    let acme = house.directory("acme").await;
    let other = house.directory("other").await;
    let first = left(&house, &acme, ErrorKind::Unavailable).await;
    let theirs = left(&house, &other, ErrorKind::Unavailable).await;

    let (run, _) = begin(&house, &acme).await;
    let kept = house
        .store
        .resumable(&house.tenant, &acme.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.run, first, "the lease alone drops nothing yet");
    let with = ReadWith {
        plugin_digest: "another".to_owned(),
        ..read_with(Mode::Full)
    };
    let staging = house
        .store
        .create_staging(&house.tenant, &run, with.clone())
        .await
        .unwrap();

    assert_eq!(staging.counts().await.unwrap(), StagedCounts::default());
    let mut names = [format!("{run}.db"), format!("{theirs}.db")];
    names.sort();
    let files = staged_files(&house);
    assert_eq!(
        files
            .iter()
            .filter(|name| !name.contains("journal"))
            .collect::<Vec<_>>(),
        names.iter().collect::<Vec<_>>()
    );
    staging.checkpoint(b"page 1".to_vec()).await.unwrap();
    house
        .store
        .end_run(
            &house.tenant,
            &run,
            ending(ErrorKind::Unavailable, true),
            RunFacts::default(),
        )
        .await
        .unwrap();
    let kept = house
        .store
        .resumable(&house.tenant, &acme.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((kept.run, kept.with), (run, with));
}

#[tokio::test]
async fn runs_6_5_opening_a_store_drops_nothing_and_a_removal_drops_all() {
    let house = house();
    let acme = house.directory("acme").await;
    left(&house, &acme, ErrorKind::Unavailable).await;
    let process = beside(&house);
    assert_eq!(staged_files(&house).len(), 1);

    process
        .store
        .remove_directory(&house.tenant, &acme.id, &RunId::generate())
        .await
        .unwrap();

    assert!(staged_files(&house).is_empty());
}

#[tokio::test]
async fn runs_6_4_a_file_that_is_no_staging_is_not_gone_on_from() {
    let house = house();
    let acme = house.directory("acme").await;
    let first = left(&house, &acme, ErrorKind::Unavailable).await;
    let path = house.path().join("staging").join(format!("{first}.db"));
    fs::write(&path, b"").unwrap();
    assert_eq!(
        house.store.resumable(&house.tenant, &acme.id).await.unwrap(),
        None
    );
    fs::write(
        &path,
        "no database at all, but long enough to be one ".repeat(100),
    )
    .unwrap();
    let (run, _) = begin(&house, &acme).await;

    assert_eq!(
        house.store.resumable(&house.tenant, &acme.id).await.unwrap(),
        None
    );
    let resumed = house
        .store
        .resume_staging(&house.tenant, &run, &first)
        .await
        .unwrap();

    assert!(resumed.is_none());
    assert!(staged_files(&house).is_empty());
}
