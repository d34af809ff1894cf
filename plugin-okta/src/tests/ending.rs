//! How runs end early, what they leave, and what the next one believes (RUNS §6.4, §6.6, §1.4).

use std::time::Duration;

use super::{cancelled_after, go_on, request, run, slow, targets, two_apps};
use crate::failure::ErrorKind;
use crate::fake::{APP, FakeHost, Org, Reply, START, full, settings};
use crate::sync::sync;

#[test]
fn runs_6_4_a_run_that_fails_for_now_leaves_a_checkpoint_and_one_that_is_wrong_leaves_none() {
    type Case = (fn() -> Reply, ErrorKind, bool);
    let limited = || {
        Reply::error(429, "E0000047")
            .header("x-rate-limit-limit", 100)
            .header("x-rate-limit-remaining", 0)
            .header("x-rate-limit-reset", START + 3000)
    };
    let cases: [Case; 5] = [
        (|| Reply::error(503, "E0000009"), ErrorKind::Unavailable, true),
        (|| Reply::error(401, "E0000011"), ErrorKind::Unauthorized, true),
        (limited, ErrorKind::RateLimited, true),
        (|| Reply::new(200, "{}"), ErrorKind::Protocol, false),
        (|| Reply::error(403, "E0000006"), ErrorKind::Forbidden, false),
    ];
    for (reply, kind, leaves_one) in cases {
        let mut org = Org::new(20, 3);
        org.fault("0oaapp1/users?after=10", 99, reply);
        let host = FakeHost::new(org);
        host.ends_at.set(Duration::from_mins(10));
        assert_eq!(run(&host).unwrap_err().kind, kind);
        assert_eq!(host.checkpoints.get() > 0, leaves_one, "{kind:?}");
        host.org.borrow_mut().faults.clear();
        let at = host.org.borrow().asked.len();
        go_on(&host).unwrap();
        assert_eq!(host.staged().users.len(), 20);
        let first_page = targets(&host, at)
            .iter()
            .any(|t| t.contains("0oaapp1/users?limit"));
        assert_eq!(first_page, !leaves_one, "{kind:?}");
    }
}

#[test]
fn runs_6_4_a_run_that_came_to_nothing_makes_old_rows_look_no_younger() {
    let host = FakeHost::new(Org::new(20, 1));
    cancelled_after(&host, 8);
    assert_eq!(host.checkpoints.get(), 1);
    for fault in ["okta-organization", "/token", "/api/v1/apps?", "0oaapp1/"] {
        host.org
            .borrow_mut()
            .fault(fault, 99, || Reply::error(503, "E0000009"));
        assert_eq!(go_on(&host).unwrap_err().kind, ErrorKind::Unavailable);
        assert_eq!(host.checkpoints.get(), 1, "{fault}");
        host.org.borrow_mut().faults.clear();
    }
    go_on(&host).unwrap();
    assert_eq!(host.staged().users.len(), 20);
}

#[test]
fn runs_6_6_an_end_that_is_asked_for_sends_nothing_more_and_takes_what_is_under_way() {
    let host = slow(Org::new(50, 20));
    host.answer_time.set(Duration::from_secs(2));
    host.cancel_after_requests.set(Some(20));
    assert_eq!(run(&host).unwrap_err().kind, ErrorKind::Cancelled);
    let asked = host.org.borrow().asked.len();
    assert!(asked <= 32, "{asked}");
    let cancelled_at = host.now.get();
    go_on(&host).unwrap();
    let again = targets(&host, asked);
    let asked_before = targets(&host, 0);
    let twice = again
        .iter()
        .filter(|t| asked_before[..asked].contains(t) && t.contains("/users?"));
    assert_eq!(twice.count(), 0, "what was under way at {cancelled_at:?} was put");
}

#[test]
fn runs_6_6_an_answer_that_does_not_come_holds_the_end_up_for_less_than_five_seconds() {
    let mut org = Org::new(50, 3);
    org.fault("0oaapp1/users?after=4", 1, || {
        Reply::new(200, "[]").after(Duration::from_hours(1))
    });
    let host = FakeHost::new(org);
    host.cancel_after_requests.set(Some(10));
    assert_eq!(run(&host).unwrap_err().kind, ErrorKind::Cancelled);
    assert!(host.now.get() < Duration::from_secs(12), "{:?}", host.now.get());
    assert_eq!(host.checkpoints.get(), 1);
}

#[test]
fn runs_6_4_a_run_that_reaches_its_time_limit_goes_on_in_the_next() {
    let org = || {
        let mut org = two_apps(60, 20);
        org.page = 5;
        slow(org)
    };
    let undisturbed = org();
    run(&undisturbed).unwrap();
    let whole = undisturbed.org.borrow().asked.len();
    let host = org();
    let mut runs = 0;
    loop {
        runs += 1;
        host.ends_at.set(host.now.get() + Duration::from_secs(90));
        match go_on(&host) {
            Ok(_) => break,
            Err(failure) => assert_eq!(failure.kind, ErrorKind::Deadline),
        }
        assert!(runs < 30, "it never comes to its end");
    }
    assert!(runs > 3, "{runs}");
    assert_eq!(host.staged().seen(), undisturbed.staged().seen());
    let asked = host.org.borrow().asked.len();
    // What each run asks first (org, token, apps) and its groups come on top.
    assert!(
        asked < whole + runs * 25,
        "{asked} in {runs} runs, {whole} in one"
    );
}

#[test]
fn runs_1_4_a_listing_that_goes_on_is_empty_only_when_all_of_it_was() {
    // The pages after the first are empty; the probe would be refused.
    let host = FakeHost::new(Org::new(20, 0));
    host.org.borrow_mut().app_groups.get_mut(APP).unwrap().clear();
    cancelled_after(&host, 9);
    host.org
        .borrow_mut()
        .fault("0oaapp1/users?after=", 1, || Reply::new(200, "[]"));
    host.org.borrow_mut().all_users_visible = false;
    go_on(&host).unwrap();

    // All of it was empty, and was not believed yet.
    let mut org = Org::new(0, 3);
    org.fault("/api/v1/users?limit=1", 6, || Reply::error(503, "E0000009"));
    let host = FakeHost::new(org);
    assert_eq!(run(&host).unwrap_err().kind, ErrorKind::Unavailable);
    host.org.borrow_mut().all_users_visible = false;
    assert_eq!(go_on(&host).unwrap_err().kind, ErrorKind::Forbidden);
}

#[test]
fn runs_1_4_an_empty_list_that_is_doubted_is_asked_once_more_also_when_the_run_goes_on() {
    let mut org = Org::new(2, 1);
    org.members.insert("00g0".to_owned(), Vec::new());
    let host = FakeHost::new(org);
    host.doubted_groups.borrow_mut().insert("00g0".to_owned());
    // The second answer does not come.
    let is_second = |host: &FakeHost| host.org.borrow().asked_for("/groups/00g0/users") == 2;
    host.run_until(sync(&host, settings(), full()), || is_second(&host));
    let cursor = host.roll_back();
    host.run(sync(&host, settings(), request(cursor))).unwrap();
    assert_eq!(host.staged().closed(), ["00g0"]);
    assert!(host.org.borrow().asked_for("/groups/00g0/users") >= 4);
}
