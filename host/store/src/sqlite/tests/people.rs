//! Who is who in a run's file, whatever the order in which people are put, and however many they are.

use std::sync::Arc;

use idsync_model::{ErrorKind, ExternalIds, Mode, User};

use super::org::{FIRST, House, LAST, Org, Seen, WHOLE, group, house, id, ids, user};
use super::resuming::{begin, ending};
use crate::{Applied, RunBasis, RunFacts, StagingRows};

/// Ids that letters, numbers and UTF-16 put in other orders than their bytes do.
const IDS: [&str; 11] = [
    "ann",
    "Zoë",
    "10",
    "9",
    "é",
    "ann2",
    "an",
    "\u{ffee}",
    "\u{10000}",
    "_",
    "zoë",
];

async fn apply(house: &House, staging: Arc<dyn StagingRows>, basis: RunBasis) -> Applied {
    let plan = house
        .store
        .make_plan(&house.tenant, staging, basis)
        .await
        .unwrap();
    house.store.apply(plan, RunFacts::default()).await.unwrap()
}

#[tokio::test]
async fn runs_1_6_users_are_told_apart_by_the_bytes_of_their_ids_in_whatever_order_they_are_put() {
    let house = house();
    let acme = house.directory("acme").await;
    let members = ["zoë", "é", "10", "nobody", "\u{10000}"];
    let org = IDS.iter().fold(Org::default(), |org, name| org.user(name));
    let org = org.group("g", &members);

    // The list comes first: who is in it has a number before all others.
    let (_, basis, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_groups(vec![(group("g"), true)]).await.unwrap();
    let list = ids(&members);
    staging
        .put_members(id("g"), list, house.clock_now(), WHOLE)
        .await
        .unwrap();
    staging.put_users(IDS.map(user).to_vec()).await.unwrap();
    apply(&house, staging, basis).await;
    assert_eq!(house.seen(&acme).await, org.seen());

    // Some go, some change, some come between those who stay; all are put in the opposite order.
    let mut next = org
        .without("_")
        .without("\u{ffee}")
        .inactive("9")
        .user("nobody")
        .user("Ann");
    next.users.get_mut("an").unwrap().display_name = None;
    next.users.get_mut("\u{10000}").unwrap().display_name = None;
    let (_, basis, staging) = house.begin(&acme, Mode::Incremental).await;
    let backwards: Vec<User> = next.users.values().rev().cloned().collect();
    staging.put_users(backwards).await.unwrap();
    staging.put_groups(vec![(group("g"), false)]).await.unwrap();
    let users = apply(&house, staging, basis).await.run.users;

    assert_eq!(
        (users.created, users.updated, users.deleted, users.unchanged),
        (2, 2, 3, 6)
    );
    assert_eq!(house.seen(&acme).await, next.seen());
    let mut replayed = Seen::default();
    for change in house.changes().await {
        replayed.follow(&change);
    }
    assert_eq!(replayed, next.seen());
}

/// A run that reads as many people and takes a checkpoint, then reads others and ends early. The next one goes on there
/// and meets all of them again.
async fn is_resumed_after(read_before: usize) {
    let house = house();
    let acme = house.directory("acme").await;
    // In no order of their own.
    let people: Vec<String> = (0..12).map(|n| format!("u{}", n * 7 % 12)).collect();
    let (before, after) = people.split_at(read_before);
    let users = |names: &[String]| names.iter().map(|name| user(name)).collect::<Vec<_>>();
    let half = |names: &[String]| -> ExternalIds { names.iter().step_by(2).map(|name| id(name)).collect() };
    let now = house.clock_now();

    let (first, _, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_groups(vec![(group("g"), true)]).await.unwrap();
    let mut as_read_first = users(before);
    for user in &mut as_read_first {
        user.display_name = Some("As read first".to_owned());
    }
    staging.put_users(as_read_first).await.unwrap();
    staging
        .put_members(id("g"), half(before), now, FIRST)
        .await
        .unwrap();
    staging.checkpoint(b"page 2".to_vec()).await.unwrap();
    let mut lost = users(after);
    lost.push(user("lost"));
    lost.reverse();
    staging.put_users(lost).await.unwrap();
    staging.flush().await.unwrap();
    let end = ending(ErrorKind::Unavailable, true);
    house
        .store
        .end_run(&house.tenant, &first, end, RunFacts::default())
        .await
        .unwrap();

    let (run, basis) = begin(&house, &acme).await;
    let (staging, _) = house
        .store
        .resume_staging(&house.tenant, &run, &first)
        .await
        .unwrap()
        .unwrap();
    staging
        .put_members(id("g"), half(&people), now, LAST)
        .await
        .unwrap();
    staging.put_users(users(&people)).await.unwrap();
    assert_eq!(staging.counts().await.unwrap().users, 12, "{read_before}");
    apply(&house, staging, basis).await;

    let mut org = people.iter().fold(Org::default(), |org, name| org.user(name));
    let lists = [half(before), half(&people)];
    let members = lists.iter().flat_map(ExternalIds::iter);
    org.groups.insert("g".to_owned(), group("g"));
    org.lists
        .insert("g".to_owned(), members.map(str::to_owned).collect());
    assert_eq!(house.seen(&acme).await, org.seen(), "{read_before}");
    assert_eq!(house.sync(&acme, &org).await.changes, 0, "{read_before}");
}

#[tokio::test]
async fn runs_6_4_who_was_read_before_a_checkpoint_is_no_second_person_after_it() {
    // Fewer than are kept in memory, as many, and more.
    for read_before in 1..12 {
        is_resumed_after(read_before).await;
    }
}
