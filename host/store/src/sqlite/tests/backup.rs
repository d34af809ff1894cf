//! Backups: whole, private, never in the place of another file, and known as such when they are opened.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use idsync_model::{Mode, SystemClock};
use rusqlite::Connection;

use super::feed::number;
use super::org::{House, Org, Seen, house};
use crate::{SqliteStore, StoreError};

#[tokio::test]
async fn runs_8_4_a_restored_backup_has_all_rows_and_starts_a_new_feed() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann").group("g", &["ann"]);
    house.sync(&acme, &org).await;
    let before = house.page(&number(0), 10).await.unwrap();
    let restored = tempfile::tempdir().unwrap();

    house
        .store
        .backup(&restored.path().join("idsync.db"))
        .await
        .unwrap();

    let names: Vec<_> = restored
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["idsync.db"], "one file, and nothing beside it");
    let mode = fs::metadata(restored.path().join("idsync.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // The store goes on, and its readers with it.
    house.sync(&acme, &Org::default().user("bob")).await;
    assert_eq!(house.page(&number(0), 10).await.unwrap().feed, before.feed);

    let store = SqliteStore::open(restored.path(), house.clock.clone()).unwrap();
    let again = House {
        folder: restored,
        clock: house.clock.clone(),
        store,
        tenant: house.tenant.clone(),
    };
    assert_eq!(again.seen(&acme).await, org.seen());
    let after = again.page(&number(0), 10).await.unwrap();
    assert_ne!(after.feed, before.feed);
    assert_eq!(after.rows.len(), before.rows.len());
    assert_eq!(after.last, before.last);
    // It is a backup no more.
    let again = super::org::reopened(again);
    assert_eq!(again.page(&number(0), 1).await.unwrap().feed, after.feed);
    again.sync(&acme, &Org::default().user("eve")).await;
}

#[tokio::test]
async fn a_backup_never_takes_the_place_of_a_file() {
    let house = house();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy.db");
    fs::write(&to, "precious").unwrap();

    let refused = house.store.backup(&to).await;

    assert!(
        matches!(&refused, Err(StoreError::BackupExists { path }) if *path == to),
        "{refused:?}"
    );
    assert_eq!(fs::read(&to).unwrap(), b"precious");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    let nowhere = house.store.backup(&folder.path().join("no/such/copy.db")).await;
    assert!(matches!(nowhere, Err(StoreError::File { .. })), "{nowhere:?}");
}

#[tokio::test]
async fn what_a_backup_that_died_left_does_not_stand_in_the_way() {
    let house = house();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("copy.db.part"), "half").unwrap();
    fs::write(folder.path().join("copy.db.part-journal"), "half").unwrap();

    house.store.backup(&folder.path().join("copy.db")).await.unwrap();

    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    fs::rename(folder.path().join("copy.db"), folder.path().join("idsync.db")).unwrap();
    SqliteStore::open(folder.path(), Arc::new(SystemClock::new())).unwrap();
}

#[tokio::test]
async fn a_backup_is_of_one_moment_and_does_not_wait_for_who_writes() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann");
    house.sync(&acme, &org).await;
    house.begin(&acme, Mode::Full).await;
    let writer = house.raw();
    writer
        .execute_batch("BEGIN IMMEDIATE; DELETE FROM directory_user")
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy.db");

    house.store.backup(&to).await.unwrap();
    writer.execute_batch("COMMIT").unwrap();

    assert_eq!(house.seen(&acme).await, Seen::default());
    let copy = Connection::open(&to).unwrap();
    let users: i64 = copy
        .query_row("SELECT count(*) FROM directory_user", [], |row| row.get(0))
        .unwrap();
    let leases: i64 = copy
        .query_row("SELECT count(*) FROM lease", [], |row| row.get(0))
        .unwrap();
    assert_eq!((users, leases), (1, 0));
}
