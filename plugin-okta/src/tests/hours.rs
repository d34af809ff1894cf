//! Runs that take hours: tokens that end, limits over many windows, an org that answers slowly.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use super::{assert_complete, failed, rides_out, run};
use crate::failure::ErrorKind;
use crate::fake::{FakeHost, ORG, Org, Reply, START, full, header, settings};
use crate::sync::sync;

/// An org of so many groups, whose answers take half a minute.
fn long(groups: usize) -> FakeHost {
    let mut org = Org::new(2, groups);
    org.page = 200;
    let host = FakeHost::new(org);
    host.answer_time.set(Duration::from_secs(30));
    host
}

fn too_many(limit: u32, remaining: u32, reset: u64) -> Reply {
    Reply::error(429, "E0000047")
        .header("x-rate-limit-limit", limit)
        .header("x-rate-limit-remaining", remaining)
        .header("x-rate-limit-reset", reset)
}

#[test]
fn runs_9_1_tokens_are_renewed_in_the_middle_and_every_request_has_its_own_proof() {
    let host = long(1000);
    host.org.borrow_mut().token_seconds = 600;
    run(&host).unwrap();
    // Two minutes before its end a token is not used any more.
    let tokens = host.now.get().as_secs().div_ceil(480);
    assert!(tokens >= 4, "{tokens}");
    let org = host.org.borrow();
    assert_eq!(org.asked_for("/token") as u64, tokens);
    assert_eq!(org.assertions.len(), org.asked_for("/token"));
    // The org itself refuses a proof or an assertion that it has seen.
    let signed = org.asked.len() - org.asked_for("okta-organization");
    assert_eq!(org.proofs.len(), signed);
    for proof in &org.proofs {
        let keys: Vec<&String> = proof.as_object().unwrap().keys().collect();
        assert!(keys.iter().any(|key| *key == "jti") && keys.iter().any(|key| *key == "iat"));
    }
}

#[test]
fn runs_9_1_a_request_that_is_sent_again_has_another_proof() {
    let (host, _) = rides_out("/groups/00g1/users", 3, || Reply::error(503, "E0000009"));
    let org = host.org.borrow();
    let path = "https://acme.okta.com/api/v1/groups/00g1/users";
    let jtis: HashSet<String> = org
        .proofs
        .iter()
        .filter(|proof| proof["htu"] == path)
        .map(|proof| proof["jti"].to_string())
        .collect();
    assert_eq!(jtis.len(), 3 + 3);
    let (host, _) = rides_out("/token", 2, || Reply::error(503, "E0000009"));
    let org = host.org.borrow();
    let jtis: HashSet<String> = org
        .assertions
        .iter()
        .map(|claims| claims["jti"].to_string())
        .collect();
    assert_eq!(jtis.len(), 3);
}

#[test]
fn runs_6_1_a_401_now_and_then_is_ridden_out_and_two_within_five_minutes_are_not() {
    let odd_401s = |every: usize| {
        let host = long(600);
        for group in (every..600).step_by(every) {
            host.org
                .borrow_mut()
                .fault(&format!("/groups/00g{group}/"), 1, || {
                    Reply::error(401, "E0000011")
                });
        }
        host
    };
    // Sixteen lists take half a minute: 200 of them more than six.
    let host = odd_401s(200);
    run(&host).unwrap();
    assert_eq!(host.org.borrow().asked_for("/token"), 3);
    let host = odd_401s(100);
    let failure = failed(&host);
    assert_eq!(failure.kind, ErrorKind::Unauthorized);
    assert!(host.checkpoints.get() > 1);
}

#[test]
fn runs_6_1_an_org_that_refuses_every_token_is_asked_for_one_more_only() {
    let mut org = Org::new(5, 3);
    org.fault("/api/", 999, || Reply::error(401, "E0000011"));
    let host = FakeHost::new(org);
    assert_eq!(failed(&host).kind, ErrorKind::Unauthorized);
    assert_eq!(host.org.borrow().asked_for("/token"), 2);
    assert_eq!(host.org.borrow().asked_for("/api/"), 2);
}

#[test]
fn runs_6_2_a_limit_that_others_use_up_is_waited_out_window_after_window() {
    let mut org = Org::new(5, 3);
    // In each of the first three windows all was used up by others before.
    let windows = Rc::new(Cell::new(1));
    let used = Rc::clone(&windows);
    org.fault("/groups/00g", 3, move || {
        let window = used.replace(used.get() + 1);
        too_many(100, 0, START + 60 * window)
    });
    let host = FakeHost::new(org);
    let summary = run(&host).unwrap();
    assert_complete(&host);
    let seconds = host.now.get().as_secs();
    assert!((180..190).contains(&seconds), "{seconds}");
    assert!(summary.waited_ms > 150_000, "{}", summary.waited_ms);
}

#[test]
fn runs_6_2_a_reset_in_the_past_or_hours_ahead_holds_a_run_for_a_minute() {
    for reset in [START - 1000, START + 9 * 3600] {
        let (host, _) = rides_out("0oaapp1/users", 1, move || too_many(100, 0, reset));
        let seconds = host.now.get().as_secs();
        assert!((60..72).contains(&seconds), "{seconds}");
    }
}

#[test]
fn runs_6_2_a_host_clock_that_is_hours_off_changes_no_wait() {
    for ahead in [-7200, 7200] {
        let mut org = Org::new(5, 3);
        org.fault("0oaapp1/users", 1, || too_many(100, 0, START + 40));
        let mut host = FakeHost::new(org);
        host.ahead_seconds = ahead;
        run(&host).unwrap();
        assert!(
            (40..45).contains(&host.now.get().as_secs()),
            "{:?}",
            host.now.get()
        );
    }
}

#[test]
fn runs_9_6_a_429_about_concurrency_halves_how_many_run_at_once() {
    let host = long(100);
    host.org
        .borrow_mut()
        .fault("/groups/00g40/", 1, || too_many(0, 0, START));
    let is_later = || host.org.borrow().asked_for("/groups/00g60/") > 0;
    assert!(
        host.run_until(sync(&host, settings(), full()), is_later)
            .is_none()
    );
    assert_eq!(host.most_in_flight.get(), 16);
    // Eight, and one more for every four answers since.
    assert!(host.in_flight.get() <= 12, "{}", host.in_flight.get());
}

#[test]
fn runs_9_5_no_cookie_comes_back_and_every_request_says_who_asks_for_what() {
    let (host, _) = rides_out("okta-organization", 1, || {
        Reply::json(200, &json!({"id": ORG}))
            .header("set-cookie", "DT=abc; Secure")
            .header("set-cookie", "sid=1")
    });
    let org = host.org.borrow();
    let agent = format!("idsync/{}", crate::describe::VERSION);
    for request in &org.asked {
        assert_eq!(header(request, "cookie"), None);
        assert_eq!(header(request, "accept"), Some("application/json"));
        assert_eq!(header(request, "user-agent"), Some(agent.as_str()));
    }
}

#[test]
fn runs_6_1_the_budget_of_retries_grows_with_the_run() {
    let mut org = Org::new(2, 600);
    org.page = 200;
    for group in (0..600).step_by(10) {
        org.fault(&format!("/groups/00g{group}/"), 1, || {
            Reply::error(503, "E0000009")
        });
    }
    let host = FakeHost::new(org);
    let summary = run(&host).unwrap();
    assert_eq!(summary.retries, 60, "a tenth of them, each once");
    assert_eq!(host.staged().closed().len(), 600);
}
