//! What someone who watches a run is told while Okta's rate limit holds it back.

use std::collections::HashSet;
use std::time::Duration;

use super::{allows_ten_lists_a_minute, assert_complete, run};
use crate::fake::{FakeHost, Org, Reply, START, Sign, settings};
use crate::verify::verify;

/// Okta's time of day is 08:00:00 when a test begins, and 7 seconds later at the first request.
fn used_up_until(seconds: u64) -> impl Fn() -> Reply + 'static {
    move || {
        Reply::error(429, "E0000047")
            .header("x-rate-limit-limit", 100)
            .header("x-rate-limit-remaining", 0)
            .header("x-rate-limit-reset", START + seconds)
    }
}

fn is_wait((_, (stage, ..)): &(Duration, Sign)) -> bool {
    stage.starts_with("waiting for Okta's rate limit until ")
}

#[test]
fn a_wait_for_the_rate_limit_is_told_once_with_its_end_in_oktas_time_and_then_the_work_again() {
    let mut org = Org::new(5, 3);
    org.fault("0oaapp1/users?after=2", 1, used_up_until(47));
    let mut host = FakeHost::new(org);
    host.ahead_seconds = -7200;
    run(&host).unwrap();
    assert_complete(&host);

    let told = host.progress.borrow();
    assert_eq!(told.iter().filter(|sign| is_wait(sign)).count(), 1, "{told:?}");
    let place = told.iter().position(is_wait).unwrap();
    let (before, wait, after) = (&told[place - 1], &told[place], &told[place + 1]);
    let ends = ["until 08:00:47 UTC; ", "until 08:00:48 UTC; "];
    assert!(ends.iter().any(|end| wait.1.0.contains(end)), "{wait:?}");
    assert!(wait.1.0.chars().count() <= 64, "the host cuts what is longer");
    assert!(
        wait.0.saturating_sub(before.0) >= Duration::from_millis(100),
        "the host keeps back what comes sooner: {told:?}"
    );
    assert!(wait.0 < Duration::from_secs(10), "{wait:?}");
    assert!(wait.1.0.ends_with(&before.1.0), "{before:?} {wait:?}");
    assert_eq!(
        (wait.1.1, wait.1.2),
        (before.1.1, before.1.2),
        "what was done stays"
    );
    assert_eq!(after.1, before.1, "the wait is over");
    assert!(after.0 > Duration::from_secs(45), "{after:?}");
    assert_eq!(told.last().unwrap().1, ("users".to_owned(), 5, None));
}

#[test]
fn a_short_wait_is_not_told() {
    let mut org = Org::new(5, 3);
    org.fault("0oaapp1/users", 1, used_up_until(11));
    let host = FakeHost::new(org);
    assert!(run(&host).unwrap().waited_ms > 3000);
    assert!(!host.progress.borrow().iter().any(is_wait));
}

#[test]
fn each_window_that_is_used_up_is_told_once_however_many_requests_wait_for_it() {
    let mut org = Org::new(2, 30);
    allows_ten_lists_a_minute(&mut org);
    let host = FakeHost::new(org);
    run(&host).unwrap();
    let told = host.progress.borrow();
    let waits: Vec<&Sign> = told
        .iter()
        .filter(|sign| is_wait(sign))
        .map(|(_, sign)| sign)
        .collect();
    let ends: HashSet<&str> = waits.iter().map(|(stage, ..)| stage.as_str()).collect();
    assert_eq!(waits.len(), 5, "30 groups at 5 a window: {waits:?}");
    assert_eq!(ends.len(), 5, "{waits:?}");
}

#[test]
fn a_wait_before_anything_was_read_is_told_too() {
    let mut org = Org::new(5, 3);
    org.fault("/api/v1/apps?", 1, used_up_until(47));
    let host = FakeHost::new(org);
    host.run(verify(&host, Ok(settings())));
    let told = host.progress.borrow();
    let (_, (stage, done, total)) = told.iter().find(|sign| is_wait(sign)).unwrap();
    assert!(stage.ends_with(" UTC; apps"), "{stage}");
    assert_eq!((*done, *total), (0, None));
}
