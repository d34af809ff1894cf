//! A store that was restored starts new feeds; one that merely died or was opened again goes on with its own.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use idsync_model::{FeedCursor, FeedId, Mode, SystemClock, TenantName};
use rusqlite::TransactionBehavior;

use super::feed::number;
use super::org::{House, Org, house, reopened};
use crate::sqlite::connection::open_for_apply;
use crate::sqlite::feed_mark;
use crate::{PositionRefused, RunFacts, SqliteStore, StoreError};

async fn feed(house: &House) -> FeedId {
    house.page(&number(0), 1).await.unwrap().feed
}

/// The feed of whatever store lies in a folder.
async fn feed_in(folder: &Path) -> FeedId {
    let store = SqliteStore::open(folder, Arc::new(SystemClock::new())).unwrap();
    let tenant = TenantName::default_tenant();
    store.changes(&tenant, &number(0), None, 1).await.unwrap().feed
}

/// Puts other bytes into the files of a folder, as a restore in their place does: the files stay the same ones.
fn overwrite(folder: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// A house whose store is closed, and its files as they are now.
fn closed(house: House) -> (tempfile::TempDir, Vec<u8>) {
    let House { folder, store, .. } = house;
    drop(store);
    let bytes = fs::read(folder.path().join("idsync.db")).unwrap();
    assert!(!folder.path().join("idsync.db-wal").exists());
    (folder, bytes)
}

#[tokio::test]
async fn runs_8_4_a_store_that_is_opened_again_goes_on_with_its_feed() {
    let house = house();
    let acme = house.directory("acme").await;
    let first = feed(&house).await;
    house.sync(&acme, &Org::default().user("ann")).await;
    let house = reopened(house);
    assert_eq!(feed(&house).await, first);
    house.sync(&acme, &Org::default()).await;
    let house = reopened(house);
    assert_eq!(feed(&house).await, first);
    house
        .store
        .remove_directory(&house.tenant, &acme.id, &idsync_model::RunId::generate())
        .await
        .unwrap();
    let house = reopened(house);
    assert_eq!(feed(&house).await, first);
}

#[tokio::test]
async fn runs_8_4_an_older_store_in_the_place_of_the_present_one_starts_a_new_feed() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    let first = feed(&house).await;
    let House {
        folder,
        clock,
        store,
        tenant,
    } = house;
    drop(store);
    let older = fs::read(folder.path().join("idsync.db")).unwrap();
    let store = SqliteStore::open(folder.path(), clock.clone()).unwrap();
    let house = House {
        folder,
        clock,
        store,
        tenant,
    };
    // One apply is enough: its numbers would be given out a second time.
    house.sync(&acme, &Org::default().user("ann").user("bob")).await;
    let reader = house.exported_to(&acme).await;
    assert_eq!(reader, FeedCursor::of(first.clone(), 4));
    let (folder, _) = closed(house);

    overwrite(folder.path(), &[("idsync.db", older)]);

    let store = SqliteStore::open(folder.path(), Arc::new(SystemClock::new())).unwrap();
    let tenant = TenantName::default_tenant();
    let refused = store.changes(&tenant, &reader, None, 10).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::FeedPosition {
                why: PositionRefused::AnotherFeed,
                ..
            })
        ),
        "{refused:?}"
    );
    let page = store.changes(&tenant, &number(0), None, 10).await.unwrap();
    assert_ne!(page.feed, first);
    assert_eq!((page.last, page.rows.len()), (2, 2), "numbers and rows stay");
    // Numbers 1 and 2 are of both feeds, and a reader of the first one does not know what came after them.
    for bare in [1, 2] {
        let refused = store.changes(&tenant, &number(bare), None, 10).await;
        assert!(
            matches!(
                refused,
                Err(StoreError::FeedPosition {
                    why: PositionRefused::UnnamedFeed,
                    ..
                })
            ),
            "{refused:?}"
        );
        let named = FeedCursor::of(page.feed.clone(), bare);
        store.changes(&tenant, &named, None, 10).await.unwrap();
    }
    drop(store);
    assert_eq!(feed_in(folder.path()).await, page.feed, "it begins anew once");
}

#[tokio::test]
async fn runs_8_4_a_store_without_its_mark_or_with_a_foreign_one_starts_a_new_feed() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    let first = feed(&house).await;
    let (folder, _) = closed(house);

    fs::remove_file(folder.path().join("feed.mark")).unwrap();
    let second = feed_in(folder.path()).await;
    assert_ne!(second, first);
    overwrite(folder.path(), &[("feed.mark", b"of another store\n".to_vec())]);
    let third = feed_in(folder.path()).await;
    assert_ne!(third, second);
    assert_eq!(feed_in(folder.path()).await, third);
}

#[tokio::test]
async fn runs_8_4_a_copy_of_the_data_directory_starts_a_new_feed_and_the_original_does_not() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    let first = feed(&house).await;
    let (folder, _) = closed(house);
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["idsync.db", "feed.mark"] {
        fs::copy(folder.path().join(name), elsewhere.path().join(name)).unwrap();
    }

    assert_ne!(feed_in(elsewhere.path()).await, first);
    assert_eq!(feed_in(folder.path()).await, first);
}

#[tokio::test]
async fn runs_8_4_a_crash_around_the_commit_of_an_apply_leaves_the_feed_as_it_is() {
    let house = house();
    let acme = house.directory("acme").await;
    // Before anything was applied, and after.
    for _ in 0..2 {
        let first = feed(&house).await;
        for is_committed in [false, true] {
            let mut connection = open_for_apply(&house.path().join("idsync.db")).unwrap();
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .unwrap();
            feed_mark::announce(&transaction).unwrap();
            // Somebody opens the store meanwhile.
            assert_eq!(feed_in(&house.path()).await, first);
            if is_committed {
                transaction.commit().unwrap();
            } else {
                drop(transaction);
            }
            drop(connection);
            let mark = fs::read_to_string(house.path().join("feed.mark")).unwrap();
            assert_eq!(mark.split_whitespace().count(), 2);

            assert_eq!(feed_in(&house.path()).await, first, "committed: {is_committed}");

            let mark = fs::read_to_string(house.path().join("feed.mark")).unwrap();
            assert_eq!(mark.split_whitespace().count(), 1, "the next opening settles it");
        }
        house.sync(&acme, &Org::default().user("ann")).await;
    }
}

#[tokio::test]
async fn runs_8_4_each_tenant_gets_a_feed_of_its_own_when_they_begin_anew() {
    let house = house();
    let other: TenantName = "other".parse().unwrap();
    house.store.add_tenant(&other).await.unwrap();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    let feeds = async |house: &House| {
        let of_other = house
            .store
            .changes(&other, &number(0), None, 1)
            .await
            .unwrap()
            .feed;
        [feed(house).await, of_other]
    };
    let before = feeds(&house).await;
    house
        .raw()
        .execute_batch("UPDATE store SET place = 'elsewhere'")
        .unwrap();

    let house = reopened(house);

    let after = feeds(&house).await;
    assert_ne!(after[0], after[1]);
    assert!(before.iter().all(|feed| !after.contains(feed)));
}

/// Of applies that wait for each other, each leaves the mark to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_8_4_after_many_applies_at_once_only_the_store_as_it_is_is_known() {
    let house = Arc::new(house());
    for n in 0..5 {
        let mut applies = Vec::new();
        for place in 0..4 {
            let directory = house.directory(&format!("acme-{n}-{place}")).await;
            let org = Org::default().user("ann").user("bob");
            let plan = house.plan(&directory, &org, Mode::Full).await.unwrap();
            let house = Arc::clone(&house);
            applies.push(tokio::spawn(async move {
                house.store.apply(plan, RunFacts::default()).await
            }));
        }
        for apply in applies {
            apply.await.unwrap().unwrap();
        }
        let mark = fs::read_to_string(house.path().join("feed.mark")).unwrap();
        let token: String = house
            .raw()
            .query_row("SELECT apply_token FROM store", [], |row| row.get(0))
            .unwrap();
        assert_eq!(mark, format!("{token}\n"));
    }
}
