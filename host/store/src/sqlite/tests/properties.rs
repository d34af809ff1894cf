//! Whatever an org does from run to run, the store ends in what was read, and the changes tell all of it.

use std::collections::BTreeMap;

use idsync_model::{Entity, Mode, Operation};
use proptest::prelude::*;

use super::org::{House, Org, Seen, group, house_where, user};
use crate::sqlite::SMALL_PAGES;
use crate::{ChangeBody, ChangeRow, Directory, RunFacts};

const USERS: usize = 7;
const GROUPS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UserState {
    Gone,
    Inactive,
    Active,
    Renamed,
    Skipped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupState {
    Gone,
    Dropped,
    Listed,
    Renamed,
}

/// One state of an org, and what a run reads of it.
#[derive(Debug, Clone)]
pub(super) struct State {
    users: Vec<UserState>,
    groups: Vec<GroupState>,
    /// Of each group: whether its list is read, and its members as bits; one bit more than there are users.
    lists: Vec<(bool, u8)>,
}

pub(super) fn states() -> impl Strategy<Value = Vec<State>> {
    let users = prop::collection::vec(
        prop_oneof![
            2 => Just(UserState::Gone),
            2 => Just(UserState::Inactive),
            5 => Just(UserState::Active),
            1 => Just(UserState::Renamed),
            1 => Just(UserState::Skipped),
        ],
        USERS,
    );
    let groups = prop::collection::vec(
        prop_oneof![
            2 => Just(GroupState::Gone),
            1 => Just(GroupState::Dropped),
            5 => Just(GroupState::Listed),
            1 => Just(GroupState::Renamed),
        ],
        GROUPS,
    );
    let lists = prop::collection::vec((any::<bool>(), any::<u8>()), GROUPS);
    let state = (users, groups, lists).prop_map(|(users, groups, lists)| State { users, groups, lists });
    prop::collection::vec(state, 1..7)
}

/// The org of a state. A group that is new is always read, as the engine has it; what is not read keeps its last list.
pub(super) fn org(state: &State, known: &mut BTreeMap<String, Vec<String>>) -> (Org, Org) {
    let mut read = Org::default();
    for (number, user_state) in state.users.iter().enumerate() {
        // Not in the order in which they were first seen.
        let name = format!("u{}", (number * 3) % USERS);
        let mut user = user(&name);
        match user_state {
            UserState::Gone => continue,
            UserState::Inactive => user.active = false,
            UserState::Active => {}
            UserState::Renamed => user.display_name = None,
            UserState::Skipped => {
                read.skipped.push((Entity::User, name, "no e-mail".to_owned()));
                continue;
            }
        }
        read.users.insert(name, user);
    }
    let mut whole = read.clone();
    for (number, group_state) in state.groups.iter().enumerate() {
        let name = format!("g{number}");
        let mut group = group(&name);
        match group_state {
            GroupState::Gone => {
                known.remove(&name);
                continue;
            }
            GroupState::Dropped => {
                known.remove(&name);
                read.dropped.insert(name.clone());
                whole.dropped.insert(name.clone());
            }
            GroupState::Listed => {}
            GroupState::Renamed => group.name = "Renamed".to_owned(),
        }
        read.groups.insert(name.clone(), group.clone());
        whole.groups.insert(name.clone(), group);
        if *group_state == GroupState::Dropped {
            continue;
        }
        let (is_read, bits) = state.lists[number];
        if is_read || !known.contains_key(&name) {
            let members: Vec<_> = (0..8)
                .rev()
                .filter(|bit| bits & (1 << bit) != 0)
                .map(|bit| format!("u{bit}"))
                .collect();
            known.insert(name.clone(), members.clone());
            read.lists.insert(name.clone(), members);
        }
        whole.lists.insert(name.clone(), known[&name].clone());
    }
    (read, whole)
}

/// No run is small, all are at first, all are to the end.
fn small_pages() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(1), Just(SMALL_PAGES)]
}

/// The place of a change in the order of RUNS §3.3.
fn place(change: &ChangeRow) -> u8 {
    match change.body {
        ChangeBody::User {
            operation: Operation::Create | Operation::Update,
            ..
        }
        | ChangeBody::Group {
            operation: Operation::Create | Operation::Update,
            ..
        } => 0,
        ChangeBody::Membership {
            operation: Operation::Create,
            ..
        } => 1,
        ChangeBody::Membership { .. } => 2,
        ChangeBody::Group { .. } => 3,
        ChangeBody::User { .. } => 4,
        ChangeBody::Applied { .. } => 5,
    }
}

async fn apply(house: &House, directory: &Directory, read: &Org) -> u64 {
    let plan = house.plan(directory, read, Mode::Incremental).await.unwrap();
    let summary = *plan.summary();
    let applied = house.store.apply(plan, RunFacts::default()).await.unwrap();
    let seen = house.seen(directory).await;
    let now = house
        .store
        .directory(&directory.tenant, directory.id.as_str())
        .await
        .unwrap();
    assert_eq!(now.counts.users, seen.users.len() as u64);
    assert_eq!(now.counts.groups, seen.groups.len() as u64);
    assert_eq!(now.counts.memberships, seen.memberships.len() as u64);
    assert_eq!(
        summary.users.unchanged + summary.users.updated + summary.users.created,
        now.counts.users
    );
    assert_eq!(
        summary.memberships.unchanged + summary.memberships.created,
        now.counts.memberships
    );
    applied.changes
}

async fn check(states: Vec<State>, small_pages: i64) {
    let house = house_where(small_pages);
    let directory = house.directory("acme").await;
    // Another directory of the tenant, whose changes stand between.
    let other = house.directory("other").await;
    let mut known = BTreeMap::new();
    for (number, state) in states.iter().enumerate() {
        let (read, whole) = org(state, &mut known);
        apply(&house, &directory, &read).await;
        assert_eq!(house.seen(&directory).await, whole.seen(), "after state {number}");
        let before = house.changes().await.len();
        assert_eq!(apply(&house, &directory, &read).await, 0, "the same again");
        assert_eq!(house.changes().await.len(), before);
        let crowd = if number % 2 == 0 {
            Org::default().user("u1")
        } else {
            Org::default()
        };
        house.sync(&other, &crowd).await;
    }
    let changes = house.changes().await;
    assert!(
        changes.iter().zip(1..).all(|(change, seq)| change.seq == seq),
        "a gap: {changes:?}"
    );
    let mut replayed = Seen::default();
    for change in changes.iter().filter(|change| change.directory == directory.id) {
        replayed.follow(change);
    }
    assert_eq!(replayed, house.seen(&directory).await);
    for block in changes.chunk_by(|a, b| a.run == b.run) {
        assert!(block.is_sorted_by_key(place), "out of order: {block:?}");
        let closing = &block.last().unwrap().body;
        assert!(
            matches!(closing, ChangeBody::Applied { .. }),
            "no closing record: {block:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn runs_2_5_the_store_ends_in_what_was_read_and_runs_8_5_the_changes_replay_to_it(
        states in states(),
        small_pages in small_pages(),
    ) {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(check(states, small_pages));
    }
}
