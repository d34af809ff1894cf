//! Runs, verifications and explanations against a small org in simulated time.

mod apps;
mod ending;
mod hours;
mod properties;
mod reads;
mod requests;
mod resume;
mod verify;
mod waits;

use std::cell::Cell;
use std::time::Duration;

use serde_json::json;

use crate::failure::{ErrorKind, Failure};
use crate::fake::{FakeHost, Org, Reply, START, full, group_row, settings, user_row};
use crate::report::{SyncRequest, SyncSummary};
use crate::sync::sync;

/// The second app.
pub(crate) const OTHER: &str = "0oaapp2";

pub(crate) fn run(host: &FakeHost) -> Result<SyncSummary, Failure> {
    host.run(sync(host, settings(), full()))
}

pub(crate) fn failed(host: &FakeHost) -> Failure {
    run(host).expect_err("the run must fail")
}

/// A run of an org to which this was done.
pub(crate) fn run_with(change: impl FnOnce(&mut Org)) -> (FakeHost, Result<SyncSummary, Failure>) {
    let mut org = Org::new(5, 3);
    change(&mut org);
    let host = FakeHost::new(org);
    let result = run(&host);
    (host, result)
}

/// Every answer of the groups' bucket tells of ten requests in a minute.
pub(crate) fn allows_ten_lists_a_minute(org: &mut Org) {
    let sent = Cell::new(0_u32);
    org.fault("/groups/00g", 1000, move || {
        let (window, used) = (sent.get() / 5, sent.get() % 5 + 1);
        sent.set(sent.get() + 1);
        Reply::json(200, &json!([]))
            .header("x-rate-limit-limit", 10)
            .header("x-rate-limit-remaining", 10 - used)
            .header("x-rate-limit-reset", START + 60 * u64::from(window + 1))
    });
}

pub(crate) fn assert_complete(host: &FakeHost) {
    let staged = host.staged();
    assert_eq!(staged.users.len(), 5);
    assert_eq!(staged.closed(), ["00g0", "00g1", "00g2"]);
    assert!(staged.groups.values().all(|group| group.members.len() == 5));
}

/// A run that a fault does no harm.
pub(crate) fn rides_out(
    on: &str,
    times: u32,
    reply: impl Fn() -> Reply + 'static,
) -> (FakeHost, SyncSummary) {
    let (host, result) = run_with(|org| org.fault(on, times, reply));
    let summary = result.unwrap();
    assert_complete(&host);
    (host, summary)
}

/// A run that a fault ends.
pub(crate) fn fails_on(on: &str, times: u32, reply: impl Fn() -> Reply + 'static) -> (FakeHost, Failure) {
    let (host, result) = run_with(|org| org.fault(on, times, reply));
    (host, result.expect_err("the run must fail"))
}

pub(crate) fn request(cursor: Option<Vec<u8>>) -> SyncRequest {
    SyncRequest {
        resume: cursor,
        ..full()
    }
}

/// The next run, which goes on from the last checkpoint.
pub(crate) fn go_on(host: &FakeHost) -> Result<SyncSummary, Failure> {
    host.cancel_after_requests.set(None);
    let cursor = host.roll_back();
    host.run(sync(host, settings(), request(cursor)))
}

/// The same, killed when so many more answers have come.
pub(crate) fn go_on_and_die(host: &FakeHost, answers: usize) -> Option<Result<SyncSummary, Failure>> {
    let cursor = host.roll_back();
    let last = host.answered.get() + answers;
    host.run_until(sync(host, settings(), request(cursor)), || {
        host.answered.get() >= last
    })
}

pub(crate) fn cancelled_after(host: &FakeHost, requests: usize) {
    host.cancel_after_requests.set(Some(requests));
    assert_eq!(run(host).unwrap_err().kind, ErrorKind::Cancelled);
}

pub(crate) fn targets(host: &FakeHost, since: usize) -> Vec<String> {
    let org = host.org.borrow();
    let asked = org.asked[since..].iter();
    asked.map(|request| request.target.clone()).collect()
}

/// Two apps that share some users and groups.
pub(crate) fn two_apps(users: usize, groups: usize) -> Org {
    let mut org = Org::new(users, groups);
    org.apps.insert(OTHER.to_owned(), "ACTIVE".to_owned());
    let half = |rows: usize| rows / 2..rows + rows / 2;
    org.app_users
        .insert(OTHER.to_owned(), half(users).map(user_row).collect());
    org.app_groups
        .insert(OTHER.to_owned(), half(groups).map(group_row).collect());
    for number in half(groups) {
        org.members
            .entry(format!("00g{number}"))
            .or_insert_with(|| vec!["00u0".to_owned(), "00u1".to_owned()]);
    }
    org
}

/// A host whose org takes its time, so that there are checkpoints between pages.
pub(crate) fn slow(org: Org) -> FakeHost {
    let host = FakeHost::new(org);
    host.answer_time.set(Duration::from_secs(7));
    host
}
