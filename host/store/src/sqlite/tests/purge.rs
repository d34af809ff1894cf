//! The purge: what goes when, what stays because something names it, and whose clock is believed.

use std::fs;
use std::time::Duration;

use idsync_model::{FeedCursor, Mode, RunId};

use super::feed::number;
use super::org::{House, Org, Seen, house, house_with_files};
use crate::{Directory, PurgeOrder, Purged, RunFacts, StoreError};

const DAY: Duration = Duration::from_hours(24);

async fn purge(house: &House) -> Purged {
    house.store.purge(PurgeOrder::default()).await.unwrap()
}

fn count(house: &House, table_and_condition: &str) -> i64 {
    house
        .raw()
        .query_row(
            &format!("SELECT count(*) FROM {table_and_condition}"),
            [],
            |row| row.get(0),
        )
        .unwrap()
}

async fn generation(house: &House, directory: &Directory) -> u64 {
    house
        .store
        .directory(&directory.tenant, directory.id.as_str())
        .await
        .unwrap()
        .generation
}

/// What the provider of every directory told last.
fn provider_told(house: &House, days_from_now: i64) {
    let at = house.clock_now().0 + days_from_now * 24 * 3_600_000;
    house
        .raw()
        .execute("UPDATE directory SET provider_time = ?1", [at])
        .unwrap();
}

#[tokio::test]
async fn runs_3_2_a_return_within_30_days_is_the_same_row_and_after_it_is_purged() {
    let house = house();
    let acme = house.directory("acme").await;
    house
        .sync(
            &acme,
            &Org::default().user("ann").user("bob").group("g", &["ann"]),
        )
        .await;
    house.sync(&acme, &Org::default().user("bob")).await;
    house.later(29 * DAY);
    let before = generation(&house, &acme).await;
    let early = purge(&house).await;
    assert_eq!((early.users, early.groups, early.identities), (0, 0, 0));
    assert_eq!(generation(&house, &acme).await, before, "no row went");

    house.later(2 * DAY);
    let purged = purge(&house).await;

    assert_eq!((purged.users, purged.groups), (1, 1));
    assert_eq!(purged.identities, 2);
    assert_eq!(generation(&house, &acme).await, before + 1);
    assert_eq!(house.seen(&acme).await.user_ids(), ["bob"]);
    assert_eq!(purge(&house).await, Purged::default(), "again is nothing more");
    assert_eq!(generation(&house, &acme).await, before + 1);
    house
        .sync(
            &acme,
            &Org::default().user("bob").user("ann").group("g", &["ann"]),
        )
        .await;
    assert_eq!(house.seen(&acme).await.pairs(), [("g", "ann")]);
}

#[tokio::test]
async fn runs_3_2_the_bare_id_stays_while_a_member_list_holds_it() {
    let house = house();
    let acme = house.directory("acme").await;
    let list = ["ann", "never-seen"];
    house
        .sync(&acme, &Org::default().user("ann").group("g", &list))
        .await;
    house.sync(&acme, &Org::default().group("g", &list)).await;
    house.later(31 * DAY);

    let purged = purge(&house).await;

    assert_eq!((purged.users, purged.identities), (1, 0));
    assert_eq!(count(&house, "user_identity"), 2);
    // She comes back, and the group was not read again.
    let plan = house
        .plan(
            &acme,
            &Org::default().user("ann").unread_group("g"),
            Mode::Incremental,
        )
        .await
        .unwrap();
    house.store.apply(plan, RunFacts::default()).await.unwrap();
    assert_eq!(house.seen(&acme).await.pairs(), [("g", "ann")]);

    house
        .sync(&acme, &Org::default().user("ann").group("g", &["ann"]))
        .await;
    house.later(31 * DAY);
    assert_eq!(purge(&house).await.identities, 1, "the newer list lacks it");
}

#[tokio::test]
async fn runs_8_4_ids_that_a_kept_change_names_stay() {
    let house = house();
    let acme = house.directory("acme").await;
    house
        .sync(&acme, &Org::default().user("ann").group("g", &["ann"]))
        .await;
    house.sync(&acme, &Org::default()).await;
    house.later(31 * DAY);
    let order = PurgeOrder {
        changes: Some(60 * DAY),
        ..PurgeOrder::default()
    };

    let purged = house.store.purge(order).await.unwrap();

    assert_eq!((purged.users, purged.groups, purged.identities), (1, 1, 0));
    let (rows, _) = house.followed(&number(0), None).await;
    let mut replayed = Seen::default();
    for row in &rows {
        replayed.follow(row);
    }
    assert_eq!(rows.len(), 8);
    assert_eq!(replayed, Seen::default());
}

#[tokio::test]
async fn runs_8_4_only_whole_blocks_from_the_start_of_the_feed_go() {
    let house = house();
    let one = house.directory("one").await;
    let two = house.directory("two").await;
    house.sync(&one, &Org::default().user("ann")).await;
    house.sync(&two, &Org::default().user("bob").user("eve")).await;
    // A clock that was ahead for the second run: what follows it stays as well.
    house
        .raw()
        .execute_batch("UPDATE run SET ended_at = ended_at + 20 * 86400000 WHERE applied_seq = 5")
        .unwrap();
    house.sync(&one, &Org::default().user("ann").user("zoe")).await;
    house.later(31 * DAY);

    assert_eq!(purge(&house).await.changes, 2);
    assert_eq!(house.page(&number(2), 10).await.unwrap().rows.len(), 5);
    house.later(20 * DAY);
    assert_eq!(purge(&house).await.changes, 5);
}

#[tokio::test]
async fn runs_8_4_a_purge_of_changes_alone_makes_no_plan_stale() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann");
    house.sync(&acme, &org).await;
    house.later(31 * DAY);
    let plan = house
        .plan(&acme, &org.clone().user("bob"), Mode::Full)
        .await
        .unwrap();

    assert_eq!(purge(&house).await.changes, 2);

    house.store.apply(plan, RunFacts::default()).await.unwrap();
    assert_eq!(house.seen(&acme).await.user_ids(), ["ann", "bob"]);
}

#[tokio::test]
async fn runs_5_3_a_plan_from_before_rows_were_purged_is_stale() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann").user("bob")).await;
    house.sync(&acme, &Org::default().user("bob")).await;
    house.later(31 * DAY);
    let plan = house
        .plan(&acme, &Org::default().user("bob").user("ann"), Mode::Full)
        .await
        .unwrap();

    assert_eq!(purge(&house).await.users, 1);

    let stale = house.store.apply(plan, RunFacts::default()).await;
    assert!(matches!(stale, Err(StoreError::Stale { .. })), "{stale:?}");
}

#[tokio::test]
async fn runs_6_7_the_purge_believes_the_earlier_of_the_hosts_time_and_the_providers() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    house.sync(&acme, &Org::default()).await;
    provider_told(&house, 0);
    // The host's clock jumps ahead by a year.
    house.later(365 * DAY);
    assert_eq!(purge(&house).await, Purged::default());

    // A provider's clock that is ahead lengthens nothing.
    provider_told(&house, 3_650);
    let purged = purge(&house).await;
    assert_eq!((purged.users, purged.changes), (1, 4));
}

#[tokio::test]
async fn runs_6_7_of_a_removed_directory_the_hosts_time_counts() {
    let house = house();
    let acme = house.directory("acme").await;
    house
        .sync(&acme, &Org::default().user("ann").group("g", &["ann"]))
        .await;
    provider_told(&house, 0);
    house
        .store
        .remove_directory(&house.tenant, &acme.id, &RunId::generate())
        .await
        .unwrap();
    let reader = FeedCursor::of(house.page(&number(0), 1).await.unwrap().feed, 8);
    house.later(31 * DAY);

    let purged = purge(&house).await;

    assert_eq!((purged.users, purged.groups, purged.identities), (1, 1, 2));
    assert_eq!((purged.changes, purged.runs), (8, 2));
    for table in [
        "directory_user",
        "directory_group",
        "user_identity",
        "group_identity",
        "run",
        "change_block",
    ] {
        assert_eq!(count(&house, table), 0, "{table}");
    }
    assert_eq!(count(&house, "directory"), 1, "its id is never used again");
    assert_eq!(purge(&house).await, Purged::default());
    assert_eq!(house.page(&reader, 10).await.unwrap().last, 8);
    house.store.remove_tenant(&house.tenant).await.unwrap();
}

#[tokio::test]
async fn runs_3_4_the_history_of_a_removed_directory_stays_while_a_change_names_it() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    house.later(25 * DAY);
    house
        .store
        .remove_directory(&house.tenant, &acme.id, &RunId::generate())
        .await
        .unwrap();
    house.later(10 * DAY);

    let purged = purge(&house).await;

    assert_eq!((purged.changes, purged.runs, purged.users), (2, 0, 0));
    let (rows, _) = house.followed(&number(2), None).await;
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn old_runs_go_unless_something_refers_to_them() {
    let house = house();
    let acme = house.directory("acme").await;
    let deleting = {
        house.sync(&acme, &Org::default().user("ann").user("bob")).await;
        house.sync(&acme, &Org::default().user("bob")).await.run.run
    };
    let mut with_skip = Org::default().user("bob");
    with_skip.skipped.push((
        idsync_model::Entity::User,
        "eve".to_owned(),
        "no e-mail".to_owned(),
    ));
    let skipping = house.sync(&acme, &with_skip).await.run.run;
    let last_applied = house.sync(&acme, &Org::default().user("bob")).await.run.run;
    let held = house.hold(&acme, &Org::default()).await;
    let (unended, ..) = house.begin(&acme, Mode::Full).await;
    house.later(100 * DAY);
    // The tombstone stays for longer than usual, and names the run that made it.
    let order = PurgeOrder {
        tombstones: 200 * DAY,
        changes: None,
    };

    let purged = house.store.purge(order).await.unwrap();

    assert_eq!(
        purged.runs, 2,
        "the first, whose changes are gone, and the one that skipped"
    );
    let left: Vec<_> = house
        .store
        .runs(&house.tenant, None, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|run| run.run)
        .collect();
    assert_eq!(left, [unended, held.clone(), last_applied, deleting]);
    let gone = house.store.skips(&house.tenant, &skipping).await;
    assert!(matches!(gone, Err(StoreError::UnknownRun { .. })), "{gone:?}");
    assert_eq!(count(&house, "run_skip"), 0);
    assert!(house.path().join("held").join(format!("{held}.db")).exists());
}

#[tokio::test]
async fn files_of_plans_without_a_run_go() {
    let house = house_with_files();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    let held = house.hold(&acme, &Org::default()).await;
    let (running, ..) = house.begin(&acme, Mode::Full).await;
    let ended = house
        .sync(&house.directory("other").await, &Org::default())
        .await
        .run
        .run;
    let stray = RunId::generate();
    let file = |folder: &str, run: &RunId| house.path().join(folder).join(format!("{run}.db"));
    for path in [
        file("held", &stray),
        file("staging", &stray),
        file("held", &ended),
        house.path().join("held").join("README"),
    ] {
        fs::write(path, "x").unwrap();
    }

    let orphan = RunId::generate();
    let journal = |folder: &str| house.path().join(folder).join(format!("{orphan}.db-journal"));
    fs::write(journal("staging"), "x").unwrap();
    fs::write(journal("held"), "x").unwrap();

    assert_eq!(purge(&house).await.files, 5);

    assert!(!journal("staging").exists());
    assert!(!journal("held").exists());

    assert!(file("held", &held).exists());
    assert!(file("staging", &running).exists());
    assert!(house.path().join("held").join("README").exists());
    assert!(!file("held", &stray).exists());
    assert!(!file("staging", &stray).exists());
    assert!(!file("held", &ended).exists());
}

#[tokio::test]
async fn runs_6_7_a_purge_is_due_when_the_last_is_long_ago_or_in_the_future() {
    let house = house();
    let is_due = async || house.store.purge_due(DAY).await.unwrap();
    assert!(!is_due().await, "a new store has nothing that is old");
    house.later(DAY);
    assert!(is_due().await, "there was none");
    purge(&house).await;
    assert!(!is_due().await);
    house.later(Duration::from_secs(86_399));
    assert!(!is_due().await);
    house.later(Duration::from_secs(1));
    assert!(is_due().await);
    purge(&house).await;
    house
        .raw()
        .execute_batch("UPDATE store SET purged_at = purged_at + 3600000")
        .unwrap();
    assert!(is_due().await, "the clock was set back");
}

#[tokio::test]
async fn runs_4_3_what_the_guard_counts_of_memberships_goes_when_it_looks_back_no_further() {
    let house = house();
    let acme = house.directory("acme").await;
    let ann = Org::default().user("ann");
    house.sync(&acme, &ann.clone().group("g", &["ann"])).await;
    house.sync(&acme, &ann.clone().group("g", &[])).await;
    house.later(Duration::from_hours(20));
    house.hold(&acme, &Org::default()).await;
    house.later(10 * DAY);
    purge(&house).await;
    assert_eq!(
        count(&house, "recent_list_deletion"),
        1,
        "it is counted back from the first of the plans that are held"
    );
    let plan = house
        .plan(&acme, &ann.clone().group("g", &[]), Mode::Full)
        .await
        .unwrap();
    assert_eq!(plan.summary().recent.memberships.deleted, 1);

    house.store.apply(plan, RunFacts::default()).await.unwrap();
    purge(&house).await;
    assert_eq!(count(&house, "recent_list_deletion"), 0);
}

#[tokio::test]
async fn memberships_that_went_are_forgotten_when_the_guard_looks_back_no_further() {
    let house = house();
    let acme = house.directory("acme").await;
    let ann = Org::default().user("ann");
    house.sync(&acme, &ann.clone().group("g", &["ann"])).await;
    house.sync(&acme, &ann.clone().group("g", &[])).await;
    house.later(2 * DAY);
    purge(&house).await;
    assert_eq!(count(&house, "recent_list_deletion"), 1);
    house.later(Duration::from_secs(1));
    purge(&house).await;
    assert_eq!(count(&house, "recent_list_deletion"), 0);
}

#[tokio::test]
async fn runs_8_4_changes_are_kept_as_long_as_was_set_whoever_purges() {
    let house = house();
    let acme = house.directory("acme").await;
    house.store.set_keep_changes(60 * DAY).await.unwrap();
    house.sync(&acme, &Org::default().user("ann")).await;
    house.later(59 * DAY);
    let other = super::org::beside(&house);
    assert_eq!(purge(&other).await.changes, 0);

    house.later(2 * DAY);
    assert_eq!(purge(&other).await.changes, 2);
}
