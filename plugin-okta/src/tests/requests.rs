//! What a run rides out, how its requests are signed and paced, and how it ends early.

use std::time::Duration;

use serde_json::json;

use super::{allows_ten_lists_a_minute, assert_complete, failed, fails_on, rides_out, run, run_with};
use crate::failure::{ErrorKind, Failure};
use crate::fake::{FakeHost, ORG, Org, Reply, START};
use crate::host::TransportError;

#[test]
fn runs_6_1_failing_answers_and_connections_are_ridden_out() {
    for status in [500, 502, 503, 504, 408] {
        let (_, summary) = rides_out("/groups/00g1/users", 4, move || Reply::error(status, "E0000009"));
        assert_eq!(summary.retries, 4, "{status}");
    }
    rides_out("/api/v1/apps?", 5, || {
        Reply::broken(TransportError::Broken("connection reset".into()))
    });
    rides_out("/oauth2/v1/token", 5, || Reply::error(503, "E0000009"));
    rides_out("okta-organization", 3, || {
        Reply::broken(TransportError::Broken("dns".into()))
    });
    // A body that breaks off, one that ends in the middle, and an answer that never comes.
    rides_out("0oaapp1/users", 2, || Reply {
        body_error: Some(TransportError::Broken("incomplete".into())),
        ..Reply::new(200, "[{\"id\":")
    });
    rides_out("0oaapp1/users", 2, || {
        Reply::new(200, "[{\"id\":\"00u1\",\"_embe")
    });
    rides_out("0oaapp1/users", 1, || {
        Reply::new(200, "[]").after(Duration::from_hours(24))
    });
}

#[test]
fn runs_6_1_after_five_retries_a_request_is_given_up() {
    let (host, failure) = fails_on("/groups/00g1/users", 99, || Reply::error(502, "E0000009"));
    assert_eq!(failure.kind, ErrorKind::Unavailable);
    assert_eq!(failure.provider_code.as_deref(), Some("E0000009"));
    assert_eq!(failure.request_id.as_deref(), Some("req-1"));
    assert_eq!(host.org.borrow().asked_for("/groups/00g1/users"), 6);
}

#[test]
fn runs_6_1_an_answer_that_ends_in_the_middle_is_unavailable_wherever_that_is() {
    let page = r#"[{"id":"00u1","scope":"x]","_embedded":{"user":{"id":"00u1","list":[1],"profile":{}}}}]"#;
    for end in 1..page.len() {
        let (_, failure) = fails_on("0oaapp1/users", 99, move || Reply::new(200, &page[..end]));
        let cut = &page[..end];
        assert_eq!(failure.kind, ErrorKind::Unavailable, "{cut}: {}", failure.summary);
        assert!(failure.summary.contains("ended in the middle"), "{cut}");
    }
}

#[test]
fn what_was_asked_for_is_told_whatever_became_of_it() {
    let replies: [fn() -> Reply; 4] = [
        || Reply::error(502, "E0000009"),
        || Reply::broken(TransportError::Broken("the connection broke".into())),
        || Reply::new(200, "[{\"id\":\"00u1\",\"_embe"),
        || Reply::new(302, ""),
    ];
    for (on, what) in [
        ("/api/v1/apps?", "the list of apps"),
        ("0oaapp1/users", "the users of the app 0oaapp1"),
        ("0oaapp1/groups", "the groups of the app 0oaapp1"),
        ("/groups/00g1/users", "the members of the group 00g1"),
        ("/oauth2/v1/token", "a token"),
        ("okta-organization", "the org's id"),
    ] {
        for reply in replies {
            let (_, failure) = fails_on(on, 99, reply);
            assert!(failure.summary.contains(what), "{}", failure.summary);
        }
    }
}

#[test]
fn runs_6_1_all_retries_of_a_run_have_one_budget() {
    let mut org = Org::new(2, 60);
    org.fault("/users?limit=1000", 500, || Reply::error(502, "E0000009"));
    let host = FakeHost::new(org);
    assert_eq!(failed(&host).kind, ErrorKind::Unavailable);
    let asked = host.org.borrow().asked.len();
    assert!(asked < 110, "{asked}");
}

#[test]
fn runs_6_2_a_429_is_waited_out_by_oktas_clock() {
    let mut org = Org::new(5, 3);
    let reset = START + 47;
    org.fault("0oaapp1/users", 1, move || {
        Reply::error(429, "E0000047")
            .header("x-rate-limit-limit", 100)
            .header("x-rate-limit-remaining", 0)
            .header("x-rate-limit-reset", reset)
    });
    let mut host = FakeHost::new(org);
    host.ahead_seconds = -7200;
    let summary = run(&host).unwrap();
    assert_complete(&host);
    assert!(
        (47..52).contains(&host.now.get().as_secs()),
        "{:?}",
        host.now.get()
    );
    assert!(summary.waited_ms > 30_000);
}

#[test]
fn runs_6_1_a_429_without_headers_is_ridden_out_too() {
    let (host, summary) = rides_out("0oaapp1/users", 3, || Reply::error(429, "E0000047"));
    assert_eq!(summary.retries, 3);
    assert!(host.now.get() < Duration::from_mins(1));
}

#[test]
fn runs_6_2_a_429_that_outlasts_the_run_says_when_to_come_back() {
    let mut org = Org::new(5, 3);
    org.fault("0oaapp1/users", 9, move || {
        Reply::error(429, "E0000047")
            .header("x-rate-limit-limit", 100)
            .header("x-rate-limit-remaining", 0)
            .header("x-rate-limit-reset", START + 600)
    });
    let mut host = FakeHost::new(org);
    host.ahead_seconds = 7200;
    host.ends_at.set(Duration::from_secs(100));
    let failure = failed(&host);
    assert_eq!(failure.kind, ErrorKind::RateLimited);
    let retry_at = failure.retry_at.unwrap();
    assert!((START + 600..START + 604).contains(&retry_at));
    assert_eq!(*host.wakes.borrow(), [retry_at]);
}

#[test]
fn runs_6_1_an_odd_401_gets_a_new_token_and_a_second_one_ends_the_run() {
    let (host, _) = rides_out("/groups/00g1/users", 1, || Reply::error(401, "E0000011"));
    assert_eq!(host.org.borrow().asked_for("/token"), 2);
    let (host, failure) = fails_on("/groups/00g1/users", 2, || Reply::error(401, "E0000011"));
    assert_eq!(failure.kind, ErrorKind::Unauthorized);
    assert_eq!(host.org.borrow().asked_for("/token"), 2);
}

#[test]
fn runs_9_1_a_token_that_ends_in_the_middle_is_renewed_before() {
    let mut org = Org::new(5, 3);
    org.token_seconds = 40;
    for group in 0..3 {
        org.fault(&format!("/groups/00g{group}/users"), 1, move || {
            Reply::error(502, "E0000009").after(Duration::from_secs(35 * (group + 1)))
        });
    }
    let host = FakeHost::new(org);
    run(&host).unwrap();
    assert_complete(&host);
    assert!(host.org.borrow().asked_for("/token") >= 3);
    assert_eq!(
        host.org
            .borrow()
            .asked
            .iter()
            .filter(|r| r.target.contains("00g0"))
            .count(),
        4
    );
}

#[test]
fn runs_9_2_nonces_are_answered_and_used_from_then_on() {
    let mut org = Org::new(5, 3);
    org.nonce = Some("n1".to_owned());
    org.fault("/api/v1/apps?", 1, || {
        Reply::new(401, "")
            .header(
                "www-authenticate",
                "DPoP error=\"use_dpop_nonce\", error_description=\"x\"",
            )
            .header("dpop-nonce", "late")
    });
    let host = FakeHost::new(org);
    run(&host).unwrap();
    assert_complete(&host);
    let org = host.org.borrow();
    let token_proofs: Vec<_> = org.proofs.iter().filter(|p| p["htm"] == "POST").collect();
    assert_eq!(token_proofs.len(), 2);
    assert_eq!(token_proofs[1]["nonce"], "n1");
    let api: Vec<_> = org.proofs.iter().filter(|p| p["htm"] == "GET").collect();
    assert!(api[0]["nonce"].is_null());
    assert!(api[1..].iter().all(|proof| proof["nonce"] == "late"));
    assert_eq!(org.asked_for("/token"), 2, "the token is not renewed for a nonce");
}

#[test]
fn runs_9_2_the_next_run_begins_with_the_nonce_of_the_one_before() {
    let mut org = Org::new(5, 3);
    org.nonce = Some("n1".to_owned());
    let host = FakeHost::new(org);
    let token_requests = || {
        let before = host.org.borrow().asked_for("/token");
        run(&host).unwrap();
        host.org.borrow().asked_for("/token") - before
    };
    assert_eq!(token_requests(), 2, "the first is told a nonce");
    assert_eq!(token_requests(), 1);
    host.org.borrow_mut().nonce = Some("n2".to_owned());
    assert_eq!(token_requests(), 2, "the kept one is too old");
    assert_eq!(token_requests(), 1);
}

#[test]
fn a_kept_nonce_that_an_org_refuses_without_a_word_of_it_is_forgotten() {
    let mut org = Org::new(5, 3);
    org.nonce = Some("n1".to_owned());
    let host = FakeHost::new(org);
    run(&host).unwrap();
    let tokens = host.org.borrow().asked_for("/token");
    host.org.borrow_mut().nonce = None;
    host.org.borrow_mut().fault("/token", 3, || {
        Reply::oauth_error(400, "invalid_dpop_proof", "The proof is not valid.")
    });

    run(&host).unwrap();

    let org = host.org.borrow();
    let proofs: Vec<_> = org.proofs.iter().filter(|proof| proof["htm"] == "POST").collect();
    assert_eq!(proofs.len(), tokens + 4);
    assert!(
        proofs[tokens..tokens + 3]
            .iter()
            .all(|proof| proof["nonce"] == "n1")
    );
    assert!(proofs[tokens + 3]["nonce"].is_null());
    assert_eq!(host.memory.borrow()["token-nonce"], b"");
}

#[test]
fn a_token_that_is_over_at_once_is_not_asked_for_again() {
    let mut org = Org::new(5, 3);
    org.token_seconds = 0;
    let host = FakeHost::new(org);
    let failure = run(&host).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Protocol);
    assert!(failure.summary.contains("0 s"), "{}", failure.summary);
    assert_eq!(host.org.borrow().asked_for("/token"), 1);
}

#[test]
fn a_nonce_of_another_org_is_not_used() {
    let mut org = Org::new(5, 3);
    org.nonce = Some("n1".to_owned());
    let host = FakeHost::new(org);
    let kept = b"other.okta.com n1".to_vec();
    host.memory.borrow_mut().insert("token-nonce".to_owned(), kept);
    run(&host).unwrap();
    assert_eq!(host.org.borrow().asked_for("/token"), 2);
}

#[test]
fn a_nonce_without_measure_is_used_and_not_kept() {
    let mut org = Org::new(5, 3);
    org.nonce = Some("n".repeat(2_000));
    let host = FakeHost::new(org);
    run(&host).unwrap();
    assert_complete(&host);
    assert!(!host.memory.borrow().contains_key("token-nonce"));
}

#[test]
fn runs_9_2_a_challenge_that_never_ends_is_an_error() {
    let (host, failure) = fails_on("/token", 99, || {
        Reply::oauth_error(400, "use_dpop_nonce", "Again.").header("dpop-nonce", "n")
    });
    assert_eq!(failure.kind, ErrorKind::Protocol);
    assert_eq!(host.org.borrow().asked_for("/token"), 4);
}

#[test]
fn a_proof_that_was_seen_before_is_made_anew() {
    let challenge = "DPoP error=\"invalid_dpop_proof\", error_description=\"The proof was used.\"";
    rides_out("/groups/00g1/users", 2, move || {
        Reply::new(400, "").header("www-authenticate", challenge)
    });
    let (_, failure) = fails_on("/groups/00g1/users", 3, move || {
        Reply::new(400, "").header("www-authenticate", challenge)
    });
    assert_eq!(failure.kind, ErrorKind::Unauthorized);
    assert!(failure.summary.contains("The proof was used."));
}

#[test]
fn runs_9_3_a_missing_scope_ends_the_run_before_the_first_listing() {
    for scope in crate::describe::SCOPES {
        let (host, result) = run_with(|org| org.scopes = org.scopes.replace(scope, ""));
        let failure = result.unwrap_err();
        assert_eq!(failure.kind, ErrorKind::Forbidden);
        assert!(failure.summary.contains(scope) && failure.hint.contains(scope));
        assert_eq!(host.org.borrow().asked_for("/api/"), 0);
    }
}

#[test]
fn runs_6_2_assertions_and_proofs_are_signed_in_oktas_time() {
    let mut host = FakeHost::new(Org::new(5, 3));
    host.ahead_seconds = 86_400;
    run(&host).unwrap();
    let org = host.org.borrow();
    for claims in org.assertions.iter().chain(&org.proofs) {
        let issued = claims["iat"].as_u64().unwrap();
        assert!(issued.abs_diff(host.okta_seconds()) < 10);
    }
    let assertion = &org.assertions[0];
    assert_eq!(
        assertion["exp"].as_u64(),
        assertion["iat"].as_u64().map(|iat| iat + 300)
    );
    assert_eq!(assertion["aud"], "https://acme.okta.com/oauth2/v1/token");
    assert_eq!(
        (&assertion["iss"], &assertion["sub"]),
        (&json!("0oaclient"), &json!("0oaclient"))
    );
}

#[test]
fn an_assertion_refused_for_its_time_is_signed_once_more_in_the_time_the_answer_told() {
    let mut org = Org::new(5, 3);
    // The first answer has no date, so that the host's clock is all there is to go by.
    org.fault("okta-organization", 1, || {
        Reply::json(200, &json!({"id": ORG})).header("date", "never")
    });
    org.fault("/token", 1, || {
        Reply::oauth_error(401, "invalid_client", "The client_assertion token is expired.")
    });
    let mut host = FakeHost::new(org);
    host.ahead_seconds = -4000;
    run(&host).unwrap();
    let org = host.org.borrow();
    assert_eq!(org.assertions.len(), 2);
    assert!(org.assertions[1]["iat"].as_u64() > org.assertions[0]["iat"].as_u64());
}

#[test]
fn a_bearer_token_is_used_as_one() {
    let (host, result) = run_with(|org| org.token_type = "Bearer");
    result.unwrap();
    assert_complete(&host);
    let org = host.org.borrow();
    assert_eq!(org.proofs.len(), 1);
    let api = org
        .asked
        .iter()
        .find(|request| request.target.contains("/api/"))
        .unwrap();
    assert!(
        crate::fake::header(api, "authorization")
            .unwrap()
            .starts_with("Bearer ")
    );
}

#[test]
fn a_page_that_is_too_much_is_asked_for_in_smaller_pieces() {
    let too_large = || Reply::broken(TransportError::TooLarge("HTTP-response-body-size".into()));
    let (host, summary) = rides_out("limit=500", 1, too_large);
    assert_eq!(host.org.borrow().asked_for("limit=250"), 1);
    assert!(summary.notes.iter().any(|note| note.contains("smaller pieces")));
    let (host, _) = rides_out("limit=1000", 2, || Reply::error(504, "E0000009"));
    assert!(host.org.borrow().asked_for("limit=500") >= 1);
}

#[test]
fn a_body_that_stays_too_large_ends_the_run() {
    let (host, failure) = fails_on("0oaapp1/users", 99, || {
        Reply::broken(TransportError::TooLarge("HTTP-response-body-size".into()))
    });
    assert_eq!(failure.kind, ErrorKind::Protocol);
    assert!(host.org.borrow().asked_for("0oaapp1/users") <= 6);
}

#[test]
fn a_limit_of_idsync_is_told_as_its_own_and_nobody_is_sent_to_okta_for_it() {
    let replies: [fn() -> Reply; 3] = [
        || {
            Reply::broken(TransportError::TooLarge(
                "the body of the answer is too large: 9 bytes".into(),
            ))
        },
        || {
            Reply::broken(TransportError::OverLimit(
                "the headers of the answer are too large: 9 bytes".into(),
            ))
        },
        || Reply::new(200, vec![b' '; crate::bodies::ONE_BODY_BYTES + 1]),
    ];
    for reply in replies {
        let (_, failure) = fails_on("/api/v1/apps?", 99, reply);
        assert_eq!(failure.kind, ErrorKind::Protocol);
        let Failure { summary, hint, .. } = failure;
        assert!(
            summary.contains("the list of apps, a limit of idsync"),
            "{summary}"
        );
        assert!(summary.contains(" bytes"), "{summary}");
        assert!(hint.contains("one of idsync, not of Okta, and fixed"), "{hint}");
        assert!(
            !hint.contains("support") && !hint.contains("okta_domain"),
            "{hint}"
        );
    }
}

#[test]
fn what_the_host_refuses_is_not_tried_again() {
    let (host, failure) = fails_on("okta-organization", 99, || {
        Reply::broken(TransportError::AddressRefused("DestinationIpProhibited".into()))
    });
    assert_eq!(failure.kind, ErrorKind::InvalidSettings);
    assert_eq!(host.org.borrow().asked.len(), 1);
    let (_, failure) = fails_on("/api/v1/apps?", 99, || {
        Reply::broken(TransportError::Refused("header size".into()))
    });
    assert_eq!(failure.kind, ErrorKind::Protocol);
}

#[test]
fn runs_6_4_a_cursor_that_okta_refuses_begins_the_member_list_again() {
    let (host, _) = rides_out("/groups/00g1/users?after=2", 1, || Reply::error(400, "E0000031"));
    assert_eq!(host.org.borrow().asked_for("/groups/00g1/users?limit"), 2);
}

#[test]
fn runs_9_6_requests_run_side_by_side_but_never_more_than_sixteen() {
    let host = FakeHost::new(Org::new(20, 200));
    run(&host).unwrap();
    assert_eq!(host.staged().closed().len(), 200);
    assert_eq!(host.most_in_flight.get(), 16);
}

#[test]
fn runs_6_6_cancelling_ends_the_run_with_a_checkpoint_and_no_further_request() {
    let host = FakeHost::new(Org::new(50, 3));
    host.cancel_after_requests.set(Some(6));
    let failure = failed(&host);
    assert_eq!(failure.kind, ErrorKind::Cancelled);
    assert!(host.org.borrow().asked.len() <= 7);
    assert_eq!(host.checkpoints.get(), 1);
}

#[test]
fn runs_6_4_the_end_of_the_time_is_a_deadline_with_a_checkpoint() {
    let mut org = Org::new(50, 3);
    org.fault("0oaapp1/users?after=4", 1, || {
        Reply::new(200, "[]").after(Duration::from_hours(1))
    });
    let host = FakeHost::new(org);
    host.ends_at.set(Duration::from_mins(1));
    let failure = failed(&host);
    assert_eq!(failure.kind, ErrorKind::Deadline);
    assert!(host.checkpoints.get() >= 1);
    assert!(host.now.get() <= Duration::from_secs(61));
}

#[test]
fn runs_9_6_a_small_limit_is_kept_to_by_half() {
    let mut org = Org::new(2, 30);
    allows_ten_lists_a_minute(&mut org);
    let host = FakeHost::new(org);
    run(&host).unwrap();
    let minutes = host.now.get().as_secs() / 60;
    assert!(
        (5..7).contains(&minutes),
        "30 groups at 5 a minute took {minutes} minutes"
    );
}
