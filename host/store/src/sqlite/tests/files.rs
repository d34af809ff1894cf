//! The files of a data directory: who can read them, and which are refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use idsync_model::{Mode, SystemClock};
use rusqlite::Connection;

use super::org::{Org, house};
use crate::{SqliteStore, Store, StoreError};

fn open(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    SqliteStore::open(path, Arc::new(SystemClock::new()))
}

fn modes_below(path: &Path, wrong: &mut Vec<String>) {
    for entry in path.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        if mode != expected {
            wrong.push(format!("{} {mode:o}", path.display()));
        }
        if path.is_dir() {
            modes_below(&path, wrong);
        }
    }
}

#[tokio::test]
async fn only_the_owner_can_read_any_file() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    house.hold(&acme, &Org::default()).await;
    let (run, _, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_users(Vec::new()).await.unwrap();
    staging.checkpoint(vec![1]).await.unwrap();

    let path = house.path();
    for name in ["idsync.db", "idsync.db-wal", "idsync.db-shm"] {
        assert!(path.join(name).exists(), "{name}");
    }
    assert!(path.join("staging").join(format!("{run}.db")).exists());
    assert_eq!(path.join("held").read_dir().unwrap().count(), 1);
    let mut wrong = Vec::new();
    modes_below(&path, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_data_directory_is_made_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep").join("data");
    open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let path = folder.path().join("idsync.db");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();

    let refused = open(folder.path()).err().unwrap();

    assert!(
        matches!(
            refused,
            StoreError::NewerVersion {
                found: 99,
                known: 6,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("idsync.db");
    fs::write(
        &path,
        "a diary, by accident of this name, that nobody wants to lose".repeat(20),
    )
    .unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        open(folder.path()).err(),
        Some(StoreError::NotAStore { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE diary (day TEXT)").unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        open(folder.path()).err(),
        Some(StoreError::NotAStore { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_data_directory_without_write_access_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o500)).unwrap();
    let refused = open(&path).err().unwrap();
    assert!(matches!(refused, StoreError::NotWritable { .. }), "{refused}");
    assert!(refused.to_string().contains("--data-dir"));

    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    drop(open(&path).unwrap());
    fs::set_permissions(path.join("idsync.db"), Permissions::from_mode(0o400)).unwrap();
    assert!(matches!(open(&path).err(), Some(StoreError::NotWritable { .. })));

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(open(&file).err(), Some(StoreError::NotWritable { .. })));
}

#[tokio::test]
async fn a_store_that_is_opened_again_holds_what_was_applied() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann").group("g", &["ann"]);
    house.sync(&acme, &org).await;

    let again = super::org::reopened(house);

    assert_eq!(again.seen(&acme).await, org.seen());
}

#[tokio::test]
async fn a_data_directory_that_others_can_write_to_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let loose = folder.path().join("loose");
    fs::create_dir(&loose).unwrap();
    fs::set_permissions(&loose, Permissions::from_mode(0o777)).unwrap();
    let error = SqliteStore::open(&loose, Arc::new(SystemClock::new()))
        .err()
        .unwrap();
    assert!(matches!(error, StoreError::OthersCanWrite { .. }), "{error}");
    assert!(error.to_string().contains("chmod go-w"), "{error}");
    assert_eq!(fs::read_dir(&loose).unwrap().count(), 0);
}

#[tokio::test]
async fn a_store_that_is_a_link_to_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("elsewhere.db");
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&elsewhere, data.join("idsync.db")).unwrap();
    let error = SqliteStore::open(&data, Arc::new(SystemClock::new()))
        .err()
        .unwrap();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
    assert!(!elsewhere.exists());
}
