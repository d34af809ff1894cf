//! Directories: found, changed, removed.

use std::time::Duration;

use idsync_model::{
    DeleteReason, DirectoryId, DirectoryState, DisabledReason, Mode, Outcome, RunId, Settings, Trigger,
};

use rusqlite::{Connection, StatementStatus};

use super::org::{Org, Seen, house};
use crate::sqlite::{connection, directories, runs};
use crate::{ChangeBody, NewDirectory, RunFacts, StoreError, Verified};

#[tokio::test]
async fn a_directory_is_found_by_its_id_or_its_name_and_a_name_is_taken_once() {
    let house = house();
    let acme = house.directory("acme").await;
    assert_eq!(acme.state, DirectoryState::Draft);
    assert!(acme.full_run_due);

    assert_eq!(house.store.directory(&house.tenant, "acme").await.unwrap(), acme);
    assert_eq!(
        house
            .store
            .directory(&house.tenant, acme.id.as_str())
            .await
            .unwrap(),
        acme
    );
    let again = NewDirectory {
        id: DirectoryId::generate(),
        provider: "okta".to_owned(),
        name: "acme".to_owned(),
        settings: Settings::default(),
        secrets: Vec::new(),
        key: None,
        created_at: house.clock_now(),
    };
    let taken = house.store.add_directory(&house.tenant, again).await;
    assert!(matches!(taken, Err(StoreError::NameTaken { name }) if name == "acme"));
}

#[tokio::test]
async fn runs_2_4_a_change_of_settings_key_or_plugin_makes_a_full_run_due_until_one_is_applied() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann");
    let is_due = async || {
        house
            .store
            .directory(&house.tenant, "acme")
            .await
            .unwrap()
            .full_run_due
    };
    let verified = |fingerprint: &str, version: &str| Verified {
        fingerprint: fingerprint.to_owned(),
        plugin_version: version.to_owned(),
        org_id: Some("00o1".to_owned()),
        ..house.verified()
    };
    house.sync(&acme, &org).await;
    assert!(!is_due().await);

    house
        .store
        .record_verification(&house.tenant, &acme.id, verified("a", "1.0.0"), 1)
        .await
        .unwrap();
    assert!(is_due().await);
    let plan = house.plan(&acme, &org, Mode::Incremental).await.unwrap();
    house.store.apply(plan, RunFacts::default()).await.unwrap();
    assert!(is_due().await, "an incremental run is not enough");
    house.sync(&acme, &org).await;
    house
        .store
        .record_verification(&house.tenant, &acme.id, verified("a", "1.0.0"), 1)
        .await
        .unwrap();
    assert!(!is_due().await, "the same was verified again");
    house
        .store
        .record_verification(&house.tenant, &acme.id, verified("a", "1.1.0"), 1)
        .await
        .unwrap();
    assert!(is_due().await);
    house.sync(&acme, &org).await;
    house.hold(&acme, &org).await;
    assert!(is_due().await);
}

#[tokio::test]
async fn runs_2_4_settings_that_change_during_a_full_run_make_another_one_due() {
    let house = house();
    let acme = house.directory("acme").await;
    let (_, basis, staging) = house.begin(&acme, Mode::Full).await;

    house
        .store
        .set_settings(
            &house.tenant,
            &acme.id,
            &acme.settings,
            Settings::default(),
            Vec::new(),
        )
        .await
        .unwrap();
    house.settle(&acme, staging, basis).await;

    assert!(
        house
            .store
            .directory(&house.tenant, "acme")
            .await
            .unwrap()
            .full_run_due
    );
}

#[tokio::test]
async fn settings_that_were_changed_meanwhile_are_not_overwritten() {
    let house = house();
    let acme = house.directory("acme").await;
    let settings = |name: &str| Settings::from_iter([(name.to_owned(), "x".to_owned())]);
    let set = async |name: &str| {
        house
            .store
            .set_settings(
                &house.tenant,
                &acme.id,
                &acme.settings,
                settings(name),
                Vec::new(),
            )
            .await
    };
    assert_eq!(set("first").await.unwrap().settings, settings("first"));

    let refused = set("second").await;

    assert!(matches!(refused, Err(StoreError::SettingsChanged)), "{refused:?}");
    let now = house.store.directory(&house.tenant, "acme").await.unwrap();
    assert_eq!(now.settings, settings("first"));
}

#[tokio::test]
async fn runs_3_4_a_disabled_directory_is_written_by_no_run_in_progress() {
    let house = house();
    let acme = house.directory("acme").await;
    let plan = house
        .plan(&acme, &Org::default().user("ann"), Mode::Full)
        .await
        .unwrap();

    let disabled = house
        .store
        .set_state(
            &house.tenant,
            &acme.id,
            DirectoryState::Disabled,
            Some(DisabledReason::Person),
        )
        .await
        .unwrap();
    assert_eq!(disabled.disabled_reason, Some(DisabledReason::Person));
    let run = plan.run().clone();
    house
        .store
        .set_state(&house.tenant, &acme.id, DirectoryState::Active, None)
        .await
        .unwrap();
    let refused = house.store.apply(plan, RunFacts::default()).await;

    assert!(matches!(refused, Err(StoreError::RunEnded { .. })), "{refused:?}");
    assert_eq!(house.seen(&acme).await, Seen::default());
    let ended = house.store.run(&house.tenant, &run).await.unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Cancelled));
    assert_eq!(ended.error.unwrap().stage, "disabling");
    assert_eq!(house.path().join("staging").read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn runs_3_4_a_removal_is_one_block_of_deletions_and_erases_what_is_sealed() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default()
        .user("ann")
        .user("bob")
        .group("g", &["ann", "bob", "eve"]);
    house.sync(&acme, &org).await;
    let held = house.hold(&acme, &Org::default()).await;
    let plan = house.plan(&acme, &org, Mode::Full).await.unwrap();
    let in_progress = plan.run().clone();
    let mut replayed = house.seen(&acme).await;
    let before = house.changes().await.len();

    let run = RunId::generate();
    let removed = house
        .store
        .remove_directory(&house.tenant, &acme.id, &run)
        .await
        .unwrap();

    assert_eq!(removed.changes, 5);
    assert_eq!(removed.run.trigger, Trigger::Removal);
    assert_eq!(removed.run.outcome, Some(Outcome::Succeeded));
    assert_eq!(removed.run.users.deleted, 2);
    assert_eq!(removed.superseded.as_ref(), Some(&held));
    let changes = house.changes().await;
    for change in &changes[before..] {
        assert_eq!(change.run, run);
        match &change.body {
            ChangeBody::User { reason, .. }
            | ChangeBody::Group { reason, .. }
            | ChangeBody::Membership { reason, .. } => {
                assert_eq!(*reason, Some(DeleteReason::Removed), "{change:?}");
            }
            ChangeBody::Applied { .. } => {}
        }
        replayed.follow(change);
    }
    assert_eq!(replayed, Seen::default());
    assert_eq!(changes.last().unwrap().seq, 6 + before as u64);

    let gone = house.store.directory(&house.tenant, "acme").await;
    assert!(matches!(gone, Err(StoreError::UnknownDirectory { .. })));
    let refused = house.store.apply(plan, RunFacts::default()).await;
    assert!(matches!(refused, Err(StoreError::RunEnded { .. })), "{refused:?}");
    let outcome = async |run| house.store.run(&house.tenant, run).await.unwrap().outcome;
    assert_eq!(outcome(&held).await, Some(Outcome::Superseded));
    assert_eq!(outcome(&in_progress).await, Some(Outcome::Cancelled));
    for folder in ["staging", "held"] {
        assert_eq!(
            house.path().join(folder).read_dir().unwrap().count(),
            0,
            "{folder}"
        );
    }
    let sealed = b"sealed-private-half";
    for file in house.path().read_dir().unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(
                !bytes.windows(sealed.len()).any(|part| part == sealed),
                "{}",
                path.display()
            );
        }
    }

    let again = house.directory("acme").await;
    assert_ne!(again.id, acme.id);
    assert_eq!(house.seen(&again).await, Seen::default());
}

#[tokio::test]
async fn a_removal_does_not_wait_for_who_reads() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    let reader = house.raw();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM directory_user")
        .unwrap();

    let removed = house
        .store
        .remove_directory(&house.tenant, &acme.id, &RunId::generate())
        .await
        .unwrap();

    assert_eq!(removed.run.users.deleted, 1);
    house.directory("other").await;
}

#[tokio::test]
async fn runs_2_4_the_time_of_the_last_full_read_is_its_start() {
    let house = house();
    let acme = house.directory("acme").await;
    let start = house.clock_now();
    let plan = house
        .plan(&acme, &Org::default().user("ann"), Mode::Full)
        .await
        .unwrap();
    house.later(Duration::from_mins(1));
    let applied = house.store.apply(plan, RunFacts::default()).await.unwrap();
    house.later(Duration::from_mins(1));
    let plan = house
        .plan(&acme, &Org::default().user("ann"), Mode::Incremental)
        .await
        .unwrap();
    house.store.apply(plan, RunFacts::default()).await.unwrap();

    let now = house.store.directory(&house.tenant, "acme").await.unwrap();
    assert_eq!(now.last_full_at, Some(start));
    assert_eq!(now.last_full_plugin_version.as_deref(), Some("1.0.0"));
    assert_eq!(applied.run.report().unwrap().duration_ms, 60_000);
}

/// How many steps SQLite's machine took for a statement that this connection has kept.
fn steps(store: &Connection, statement: &str) -> i32 {
    let kept = store.prepare_cached(statement).unwrap();
    kept.get_status(StatementStatus::VmStep)
}

#[tokio::test]
async fn what_is_asked_of_one_directory_takes_no_longer_beside_a_hundred_others() {
    const RUN: &str = "
        INSERT INTO run (tenant_id, directory_key, id, cause, mode, dry_run, started_at, plugin_version, full_mark)
        SELECT tenant_id, directory_key, replace(id, 'dir', 'run'), 'schedule', 'full', 0, 1, '1.0.0', 1
        FROM directory
        WHERE id = :id";
    let house = house();
    let mut found = Vec::new();
    for count in [1, 100] {
        let mut directories = Vec::new();
        for n in 0..count {
            let added = house.directory(&format!("{count}-{n}")).await;
            let made = house.raw().execute(RUN, [added.id.as_str()]).unwrap();
            assert_eq!(made, 1);
            directories.push(added);
        }
        let store = connection::open_reader(&house.path().join("idsync.db")).unwrap();
        let first = &directories[0];
        let found_again = directories::find(&store, &house.tenant, first.id.as_str()).unwrap();
        assert_eq!(found_again.name, first.name);
        let listed = runs::list(&store, &house.tenant, Some(&first.id), 10).unwrap();
        assert_eq!(listed.len(), 1);
        found.push((
            steps(&store, directories::FIND),
            steps(&store, runs::OF_DIRECTORY),
        ));
    }
    let [(find, list), beside] = found[..] else {
        panic!("two were counted")
    };
    assert!(find > 0 && list > 0, "{found:?}");
    assert!(beside.0 < 2 * find && beside.1 < 2 * list, "{found:?}");
}
