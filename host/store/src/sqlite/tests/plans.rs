//! Plans: what they find, and that they are applied whole, once, and only where they fit.

use std::time::Duration;

use idsync_model::{DeleteReason, Entity, MembersVersion, Mode, Operation, Outcome, StoredCounts};
use rusqlite::{StatementStatus, TransactionBehavior};

use super::org::{Org, Seen, house, house_with_files, id};
use crate::sqlite::telling::Paths;
use crate::sqlite::{apply, connection};
use crate::{ChangeBody, RunFacts, StoreError};

fn acme_org() -> Org {
    Org::default()
        .user("ann")
        .user("bob")
        .user("cat")
        .group("g", &["ann", "bob", "dan"])
        .group("h", &["cat"])
}

#[tokio::test]
async fn runs_3_2_every_deletion_says_why() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = acme_org().user("dan").user("eve").group("i", &[]);
    house.sync(&acme, &org).await;
    let mut next = org.without("ann").inactive("bob").without("eve").without("h");
    next.skipped
        .push((Entity::User, "eve".to_owned(), "no e-mail".to_owned()));
    next.dropped.insert("g".to_owned());

    let applied = house.sync(&acme, &next).await;

    let deletions: Vec<_> = house
        .changes()
        .await
        .into_iter()
        .filter(|change| change.run == applied.run.run)
        .filter_map(|change| match change.body {
            ChangeBody::User {
                external_id, reason, ..
            }
            | ChangeBody::Group {
                external_id, reason, ..
            } => Some((external_id, reason?)),
            ChangeBody::Membership {
                group, user, reason, ..
            } => Some((format!("{user} in {group}"), reason?)),
            ChangeBody::Applied { .. } => None,
        })
        .collect();
    let expected = [
        ("ann in g", DeleteReason::Gone),
        ("bob in g", DeleteReason::Gone),
        ("dan in g", DeleteReason::Gone),
        ("cat in h", DeleteReason::Absent),
        ("g", DeleteReason::Gone),
        ("h", DeleteReason::Absent),
        ("ann", DeleteReason::Absent),
        ("bob", DeleteReason::Inactive),
        ("eve", DeleteReason::Skipped),
    ];
    assert_eq!(
        deletions,
        expected.map(|(name, reason)| (name.to_owned(), reason))
    );
}

#[tokio::test]
async fn runs_2_3_a_user_who_comes_back_has_the_memberships_of_every_list_that_holds_the_id() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &acme_org()).await;
    assert_eq!(
        house.seen(&acme).await.pairs(),
        [("g", "ann"), ("g", "bob"), ("h", "cat")]
    );

    // No list is read again, and dan was never more than an id in one.
    let unread = Org::default()
        .user("bob")
        .user("dan")
        .inactive("ann")
        .unread_group("g")
        .unread_group("h");
    house.sync(&acme, &unread).await;
    assert_eq!(house.seen(&acme).await.pairs(), [("g", "bob"), ("g", "dan")]);

    let back = Org::default()
        .user("ann")
        .user("cat")
        .unread_group("g")
        .unread_group("h");
    house.sync(&acme, &back).await;
    assert_eq!(house.seen(&acme).await.pairs(), [("g", "ann"), ("h", "cat")]);
}

#[tokio::test]
async fn runs_3_2_a_user_who_returns_keeps_his_key_and_has_no_remembered_memberships() {
    let house = house();
    let acme = house.directory("acme").await;
    let key = || -> (i64, Option<i64>) {
        house
            .raw()
            .query_row(
                "SELECT i.user_key, u.deleted_at
                 FROM user_identity AS i
                 JOIN directory_user AS u ON u.user_key = i.user_key
                 WHERE i.external_id = 'ann'",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap()
    };
    house.sync(&acme, &acme_org()).await;
    let first = key();
    house.later(Duration::from_mins(1));
    house
        .sync(&acme, &acme_org().without("ann").group("g", &["bob"]))
        .await;
    assert_eq!(key(), (first.0, Some(house.clock_now().0)));
    house.later(Duration::from_hours(29 * 24));

    let returned = house.sync(&acme, &acme_org().group("g", &["bob"])).await;

    assert_eq!(key(), first);
    assert_eq!(returned.run.users.created, 1);
    assert_eq!(house.seen(&acme).await.pairs(), [("g", "bob"), ("h", "cat")]);
}

#[tokio::test]
async fn runs_3_1_two_users_may_share_an_address_and_one_may_take_it_over() {
    let house = house();
    let acme = house.directory("acme").await;
    let mut org = Org::default().user("ann").user("bob");
    org.users.get_mut("bob").unwrap().email = "ann@example.com".to_owned();
    house.sync(&acme, &org).await;
    assert_eq!(house.seen(&acme).await, org.seen());

    org.users.get_mut("ann").unwrap().email = "other@example.com".to_owned();
    let applied = house.sync(&acme, &org).await;

    assert_eq!((applied.changes, applied.run.users.updated), (1, 1));
    assert_eq!(house.seen(&acme).await, org.seen());
    let changes = house.changes().await;
    let (before, row) = changes
        .iter()
        .find_map(|change| match &change.body {
            ChangeBody::User {
                operation: Operation::Update,
                before: Some(before),
                row: Some(row),
                ..
            } => Some((before, row)),
            _ => None,
        })
        .unwrap();
    assert_eq!(before.email, "ann@example.com");
    assert_eq!(row.email, "other@example.com");
}

#[tokio::test]
async fn runs_4_2_memberships_that_go_with_their_user_are_counted_apart() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &acme_org()).await;

    // ann goes and takes one along; bob only leaves the list; cat's goes with its group.
    let next = acme_org().without("ann").without("h").group("g", &["dan"]);
    let plan = house.plan(&acme, &next, Mode::Full).await.unwrap();

    let summary = plan.summary();
    let stored = StoredCounts {
        users: 3,
        groups: 2,
        memberships: 3,
    };
    assert_eq!(summary.stored, stored);
    assert!(!summary.is_first);
    assert_eq!((summary.users.deleted, summary.groups.deleted), (1, 1));
    assert_eq!(summary.memberships.deleted, 3);
    assert_eq!(summary.memberships_deleted_with_user, 1);
    let rows = house
        .store
        .planned_rows(
            &house.tenant,
            plan.run(),
            Entity::Membership,
            Operation::Delete,
            10,
        )
        .await
        .unwrap();
    let named: Vec<_> = rows
        .iter()
        .map(|row| (row.external_id.as_str(), row.member.as_ref().unwrap().as_str()))
        .collect();
    assert_eq!(named, [("g", "ann"), ("g", "bob"), ("h", "cat")]);
}

#[tokio::test]
async fn an_unchanged_run_writes_no_row() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &acme_org()).await;
    let rows = || -> Vec<String> {
        let connection = house.raw();
        let mut statement = connection
            .prepare(
                "SELECT 'user ' || user_key || email || ifnull(deleted_at, '-') FROM directory_user
                 UNION ALL
                 SELECT 'group ' || group_key || ifnull(changed_at, '-') || ifnull(read_at, '-') FROM directory_group
                 UNION ALL
                 SELECT 'list ' || group_key || ' ' || hex(users) FROM member_list
                 UNION ALL
                 SELECT 'change ' || last_seq FROM change_block
                 UNION ALL
                 SELECT 'tenant ' || last_seq FROM tenant
                 UNION ALL
                 SELECT 'next ' || next_key FROM identity_counter",
            )
            .unwrap();
        statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let before = rows();
    house.later(Duration::from_mins(1));

    let mut unread = acme_org();
    unread.lists.clear();
    let plan = house.plan(&acme, &unread, Mode::Incremental).await.unwrap();
    let applied = house.store.apply(plan, RunFacts::default()).await.unwrap();

    assert_eq!((applied.changes, applied.run.applied_seq), (0, None));
    assert_eq!(applied.run.users.unchanged, 3);
    assert_eq!(rows(), before);
}

#[tokio::test]
async fn runs_2_2_a_version_is_stored_by_the_apply_with_its_time_of_reading() {
    let house = house();
    let acme = house.directory("acme").await;
    let mut org = acme_org();
    let plan = house.plan(&acme, &org, Mode::Full).await.unwrap();
    let read = async || {
        house
            .store
            .group_reads(&house.tenant, &acme.id, vec![id("g")])
            .await
            .unwrap()
            .remove(0)
    };
    assert_eq!(read().await, None, "a plan stores nothing");
    let first = house.clock_now();
    house.store.apply(plan, RunFacts::default()).await.unwrap();
    assert_eq!(read().await.unwrap().read_at, Some(first));

    house.later(Duration::from_mins(1));
    org.groups.get_mut("g").unwrap().members_version = Some(MembersVersion::Tag("v2".to_owned()));
    let mut unread = org.clone();
    unread.lists.clear();
    house.sync(&acme, &unread).await;
    assert_eq!(
        read().await.unwrap().version,
        Some(MembersVersion::ChangedAt(1)),
        "it was not read"
    );
    house.sync(&acme, &org).await;
    assert_eq!(
        read().await.unwrap().version,
        Some(MembersVersion::Tag("v2".to_owned()))
    );

    house.sync(&acme, &org.clone().without("g")).await;
    house.sync(&acme, &org).await;
    let mut gone = org.clone().without("g").unread_group("g");
    gone.dropped.insert("g".to_owned());
    house.sync(&acme, &gone).await;
    assert_eq!(read().await, None, "a group that is gone is new when it returns");
}

#[tokio::test]
async fn runs_5_3_a_plan_is_refused_when_the_directory_has_moved_on() {
    let house = house();
    let acme = house.directory("acme").await;
    let (_, basis, staging) = house.begin(&acme, Mode::Full).await;
    let old = house
        .store
        .make_plan(&house.tenant, staging, basis)
        .await
        .unwrap();
    // As if another process had applied in between, without regard for the lock.
    house
        .raw()
        .execute("UPDATE directory SET generation = generation + 1", [])
        .unwrap();

    let refused = house.store.apply(old, RunFacts::default()).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::Stale {
                planned: 1,
                found: 2,
                ..
            })
        ),
        "{refused:?}"
    );

    let (_, basis, staging) = house.begin(&acme, Mode::Full).await;
    house
        .raw()
        .execute("UPDATE directory SET generation = generation + 1", [])
        .unwrap();
    let refused = house.store.make_plan(&house.tenant, staging, basis).await;
    assert!(matches!(refused, Err(StoreError::Stale { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_apply_that_dies_before_its_commit_leaves_the_old_state() {
    let house = house_with_files();
    let acme = house.directory("acme").await;
    house.sync(&acme, &acme_org()).await;
    let before = (house.seen(&acme).await, house.changes().await.len());
    let next = acme_org().without("ann").user("zoe").group("h", &["zoe"]);
    let plan = house.plan(&acme, &next, Mode::Full).await.unwrap();
    let run_file = house.path().join("staging").join(format!("{}.db", plan.run()));
    let store = house.path().join("idsync.db");

    let paths = Paths {
        store: &store,
        run_file: &run_file,
    };
    let mut dying = connection::open_for_apply(&store).unwrap();
    connection::attach(&dying, &run_file, 1_024).unwrap();
    let transaction = dying
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let written = apply::write(&transaction, paths, &plan, &RunFacts::default(), &*house.clock);
    assert!(written.unwrap().0.changes > 0);
    drop(transaction);
    drop(dying);

    assert_eq!((house.seen(&acme).await, house.changes().await.len()), before);
    let house = super::org::reopened(house);
    assert_eq!((house.seen(&acme).await, house.changes().await.len()), before);
    house.store.apply(plan, RunFacts::default()).await.unwrap();
    assert_eq!(house.seen(&acme).await, next.seen());
}

/// As many groups as one row of the feed after the other is made for.
fn many_lists() -> Org {
    (0..20).fold(Org::default().user("ann").user("bob"), |org, n| {
        org.group(&format!("g{n}"), &["ann", "bob"])
    })
}

#[tokio::test]
async fn what_can_not_be_told_is_not_applied() {
    let house = house_with_files();
    let acme = house.directory("acme").await;
    let plan = house.plan(&acme, &many_lists(), Mode::Full).await.unwrap();
    let run_file = house.path().join("staging").join(format!("{}.db", plan.run()));
    let store = house.path().join("idsync.db");
    let paths = Paths {
        store: &store,
        run_file: &house.path().join("nowhere.db"),
    };
    let mut applying = connection::open_for_apply(&store).unwrap();
    connection::attach(&applying, &run_file, 1_024).unwrap();
    let transaction = applying
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();

    let written = apply::write(&transaction, paths, &plan, &RunFacts::default(), &*house.clock);

    assert!(
        matches!(written, Err(StoreError::Sqlite(_))),
        "{:?}",
        written.err()
    );
}

#[tokio::test]
async fn an_apply_that_can_not_write_ends_though_more_would_be_told() {
    let house = house();
    let acme = house.directory("acme").await;
    let plan = house.plan(&acme, &many_lists(), Mode::Full).await.unwrap();
    let broken = connection::connect(&house.path().join("idsync.db")).unwrap();
    broken
        .execute_batch(
            "CREATE TRIGGER full_disk BEFORE INSERT ON user_identity BEGIN SELECT RAISE(ABORT, 'full'); END",
        )
        .unwrap();

    let refused = house.store.apply(plan, RunFacts::default()).await;

    assert!(matches!(refused, Err(StoreError::Sqlite(_))), "{refused:?}");
    assert!(house.changes().await.is_empty());
}

#[tokio::test]
async fn runs_5_1_a_held_plan_is_kept_whole_and_changes_nothing() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &acme_org()).await;
    let since = house.clock_now();
    let held = house
        .hold(&acme, &Org::default().user("new").inactive("ann"))
        .await;
    let house = super::org::reopened(house);

    assert_eq!(house.seen(&acme).await, acme_org().seen());
    let run = house.store.run(&house.tenant, &held).await.unwrap();
    assert_eq!(
        (run.outcome, run.users.deleted, run.users.created),
        (Some(Outcome::Held), 3, 1)
    );
    assert_eq!(run.error, None);
    assert_eq!(
        house
            .store
            .directory(&house.tenant, "acme")
            .await
            .unwrap()
            .held_since,
        Some(since)
    );
    let rows = house
        .store
        .planned_rows(&house.tenant, &held, Entity::User, Operation::Delete, 10)
        .await
        .unwrap();
    let who: Vec<_> = rows
        .iter()
        .map(|row| (row.external_id.as_str(), row.reason.unwrap()))
        .collect();
    let expected = [
        ("ann", DeleteReason::Inactive),
        ("bob", DeleteReason::Absent),
        ("cat", DeleteReason::Absent),
    ];
    assert_eq!(who, expected);

    let file = house.path().join("held").join(format!("{held}.db"));
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = house
        .store
        .planned_rows(&house.tenant, &held, Entity::User, Operation::Delete, 10)
        .await;
    assert!(matches!(damaged, Err(StoreError::Damaged { .. })), "{damaged:?}");
}

#[tokio::test]
async fn runs_5_2_a_newer_plan_supersedes_a_held_one_whether_it_is_held_or_applied() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &acme_org()).await;
    let since = house.clock_now();
    let first = house.hold(&acme, &Org::default()).await;
    house.later(Duration::from_mins(1));
    let second = house.hold(&acme, &Org::default()).await;
    let outcome = async |run| house.store.run(&house.tenant, run).await.unwrap().outcome;

    assert_eq!(outcome(&first).await, Some(Outcome::Superseded));
    assert_eq!(outcome(&second).await, Some(Outcome::Held));
    assert_eq!(
        house.path().join("held").read_dir().unwrap().count(),
        2,
        "who was shown the first may still approve it"
    );
    let held = house.store.directory(&house.tenant, "acme").await.unwrap();
    assert_eq!(held.held_since, Some(since), "the series is unbroken");

    let applied = house.sync(&acme, &acme_org()).await;

    assert_eq!(applied.superseded, Some(second.clone()));
    assert_eq!(outcome(&second).await, Some(Outcome::Superseded));
    assert_eq!(house.path().join("held").read_dir().unwrap().count(), 0);
    assert_eq!(
        house
            .store
            .directory(&house.tenant, "acme")
            .await
            .unwrap()
            .held_since,
        None
    );
}

#[tokio::test]
async fn runs_8_1_changes_are_numbered_across_the_directories_of_a_tenant_and_an_export_ends_with_the_last() {
    let house = house();
    let one = house.directory("one").await;
    let two = house.directory("two").await;
    house.sync(&one, &Org::default().user("ann")).await;
    let applied = house
        .sync(&two, &Org::default().user("bob").group("g", &["bob"]))
        .await;

    assert_eq!(
        (applied.changes, applied.seq, applied.run.applied_seq),
        (3, 6, Some(6))
    );
    let seq = house
        .store
        .export(&house.tenant, &one.id, Box::new(|_| Ok(())))
        .await
        .unwrap();
    assert_eq!(seq, 6);
    let numbers: Vec<_> = house.changes().await.iter().map(|change| change.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn odd_text_is_stored_and_told_as_it_is() {
    let house = house();
    let acme = house.directory("acme").await;
    let mut org = Org::default().user("ann").group("g", &["ann"]);
    let user = org.users.get_mut("ann").unwrap();
    user.display_name = Some("\"Zoë\"\u{0} \u{1f600}\\\n\u{7f}".to_owned());
    user.given_name = Some(String::new());
    org.groups.get_mut("g").unwrap().description = Some("'; DROP TABLE change; --".to_owned());
    house.sync(&acme, &org).await;

    assert_eq!(house.seen(&acme).await, org.seen());
    let mut replayed = Seen::default();
    for change in house.changes().await {
        replayed.follow(&change);
    }
    assert_eq!(replayed, org.seen());
    assert_eq!(house.sync(&acme, &org).await.changes, 0);
}

#[tokio::test]
async fn a_group_without_a_version_is_read_and_compared_like_any_other() {
    let house = house();
    let acme = house.directory("acme").await;
    let mut org = acme_org();
    org.groups.get_mut("g").unwrap().members_version = None;
    house.sync(&acme, &org).await;
    house.later(Duration::from_mins(1));
    assert_eq!(house.sync(&acme, &org).await.changes, 0);
    let read = house
        .store
        .group_reads(&house.tenant, &acme.id, vec![id("g")])
        .await
        .unwrap();
    let read = read[0].clone().unwrap();
    assert_eq!((read.version, read.read_at), (None, None));
}

/// How many steps SQLite's machine takes for a question about the first plan of an org of so many users.
async fn steps_of_first_plan(users: usize, question: &str) -> i32 {
    let house = house_with_files();
    let acme = house.directory("acme").await;
    let mut org = Org::default();
    for n in 0..users {
        org = org.user(&format!("user-{n}"));
    }
    let plan = house.plan(&acme, &org, Mode::Full).await.unwrap();
    let run_file = house.path().join("staging").join(format!("{}.db", plan.run()));
    let file = connection::open_run_file(&run_file).unwrap();
    connection::attach(&file, &house.path().join("idsync.db"), 1_024).unwrap();
    let mut statement = file.prepare(question).unwrap();
    statement.query_row([], |_| Ok(())).unwrap();
    statement.get_status(StatementStatus::VmStep)
}

#[tokio::test]
async fn asking_about_moved_addresses_takes_time_as_the_users_do_and_not_as_their_square() {
    let question = include_str!("../sql/plan/moved.sql");
    let few = steps_of_first_plan(200, question).await;
    let many = steps_of_first_plan(800, question).await;
    assert!(few > 200, "each user is looked at: {few}");
    assert!(many < 6 * few, "{few} steps for 200 users, {many} for 800");
}
