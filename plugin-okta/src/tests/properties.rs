//! Arbitrary orgs, and runs that are broken off anywhere and go on: what is staged in the end is what one run stages.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use crate::cursor::Cursor;
use crate::fake::{FakeHost, Org, Reply, full, group_row, settings, user_row};
use crate::report::SyncRequest;
use crate::sync::sync;

/// What an org holds: the users and groups of each app, the members of each group.
#[derive(Debug, Clone)]
struct Shape {
    apps: Vec<(bool, Vec<usize>, Vec<usize>)>,
    members: Vec<Vec<usize>>,
    page: usize,
    doubted: Vec<usize>,
    unchanged: Vec<usize>,
    answer_seconds: u64,
}

/// How a run ends before its time.
#[derive(Debug, Clone)]
enum Break {
    /// Killed after so many answers.
    Killed(usize),
    /// Asked to end after so many requests.
    Cancelled(usize),
    /// At its time limit, in seconds.
    Deadline(u64),
    /// Okta fails for good after so many requests of a kind.
    Down(usize),
    /// Killed after so many answers; then Okta no longer knows the places to go on from.
    Forgotten(usize),
}

const USERS: usize = 9;
const GROUPS: usize = 7;

fn some_of(most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..most, 0..most + 3)
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        prop::collection::vec((prop::bool::weighted(0.8), some_of(USERS), some_of(GROUPS)), 1..4),
        prop::collection::vec(some_of(2 * USERS), GROUPS),
        1..4_usize,
        some_of(GROUPS),
        some_of(GROUPS),
        1..8_u64,
    )
        .prop_map(
            |(apps, members, page, doubted, unchanged, answer_seconds)| Shape {
                apps,
                members,
                page,
                doubted,
                unchanged,
                answer_seconds,
            },
        )
}

fn broken_off() -> impl Strategy<Value = Break> {
    prop_oneof![
        (0..90_usize).prop_map(Break::Killed),
        (4..60_usize).prop_map(Break::Cancelled),
        (20..200_u64).prop_map(Break::Deadline),
        (1..60_usize).prop_map(Break::Down),
        (0..90_usize).prop_map(Break::Forgotten),
    ]
}

fn org(shape: &Shape) -> Org {
    let mut org = Org::new(0, 0);
    org.page = shape.page;
    org.apps.clear();
    for (number, (is_active, users, groups)) in shape.apps.iter().enumerate() {
        let id = format!("0oaapp{number}");
        let status = if *is_active { "ACTIVE" } else { "INACTIVE" };
        org.apps.insert(id.clone(), status.to_owned());
        let row = |user: &usize| {
            let mut row = user_row(*user);
            if *user == USERS - 1 {
                row["_embedded"]["user"]["profile"]["email"] = json!(null);
            }
            row
        };
        org.app_users.insert(id.clone(), users.iter().map(row).collect());
        org.app_groups
            .insert(id, groups.iter().map(|group| group_row(*group)).collect());
    }
    for (group, members) in shape.members.iter().enumerate() {
        let members = members.iter().map(|user| format!("00u{user}")).collect();
        org.members.insert(format!("00g{group}"), members);
    }
    org
}

fn host(shape: &Shape) -> FakeHost {
    let host = FakeHost::new(org(shape));
    host.answer_time.set(Duration::from_secs(shape.answer_seconds));
    let doubted = shape.doubted.iter().map(|group| format!("00g{group}"));
    host.doubted_groups.borrow_mut().extend(doubted);
    let unchanged = shape.unchanged.iter().map(|group| format!("00g{group}"));
    host.unchanged_groups.borrow_mut().extend(unchanged);
    host
}

/// One run that goes on from what is there; says whether it came to its end.
fn attempt(host: &FakeHost, broken_off: Option<&Break>, is_forgotten: bool) -> bool {
    let resume = host.roll_back();
    let (answered, asked) = (host.answered.get(), host.org.borrow().asked.len());
    host.cancel_after_requests.set(None);
    host.ends_at.set(host.now.get() + Duration::from_hours(6));
    host.org.borrow_mut().faults.clear();
    if let Some(cursor) = resume.as_deref().and_then(Cursor::read)
        && is_forgotten
    {
        forget(host, cursor);
    }
    let mut last = usize::MAX;
    match broken_off {
        None => {}
        Some(Break::Killed(answers) | Break::Forgotten(answers)) => last = answered + answers,
        Some(Break::Cancelled(requests)) => host.cancel_after_requests.set(Some(asked + requests)),
        Some(Break::Deadline(seconds)) => host.ends_at.set(host.now.get() + Duration::from_secs(*seconds)),
        Some(Break::Down(requests)) => host.org.borrow_mut().fails_after = Some(asked + requests),
    }
    let request = SyncRequest { resume, ..full() };
    let ended = host.run_until(sync(host, settings(), request), || host.answered.get() >= last);
    host.org.borrow_mut().fails_after = None;
    if let Some(Err(failure)) = &ended {
        assert!(failure.kind.is_resumed() && broken_off.is_some(), "{failure:?}");
    }
    ended.is_some_and(|result| result.is_ok())
}

/// Okta no longer takes the place of one listing of users, and of no member list.
fn forget(host: &FakeHost, cursor: Cursor) {
    let places = cursor.users.into_values().filter_map(|place| place.next);
    let mut org = host.org.borrow_mut();
    for target in places.take(1).chain(cursor.members.into_values()) {
        org.fault(&target, 1, || Reply::error(400, "E0000031"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_6_4_a_run_that_goes_on_stages_what_an_undisturbed_one_does(
        shape in shape(),
        breaks in prop::collection::vec(broken_off(), 0..5),
    ) {
        let undisturbed = host(&shape);
        prop_assert!(attempt(&undisturbed, None, false));
        let broken = host(&shape);
        let mut is_forgotten = false;
        let is_done = breaks.iter().any(|broken_off| {
            let is_done = attempt(&broken, Some(broken_off), is_forgotten);
            is_forgotten = matches!(broken_off, Break::Forgotten(_));
            is_done
        });
        prop_assert!(is_done || attempt(&broken, None, is_forgotten));
        prop_assert_eq!(broken.staged().seen(), undisturbed.staged().seen());
    }
}
