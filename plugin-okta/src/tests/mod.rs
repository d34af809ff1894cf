//! Runs, verifications and explanations against a small org in simulated time.

mod apps;
mod hours;
mod properties;
mod reads;
mod requests;
mod resume;
mod verify;

use crate::failure::Failure;
use crate::fake::{FakeHost, Org, Reply, full, settings};
use crate::report::SyncSummary;
use crate::sync::sync;

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
