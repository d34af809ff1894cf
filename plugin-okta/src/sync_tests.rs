//! What a run reads, believes, rides out and refuses.

use std::cell::Cell;
use std::time::Duration;

use serde_json::json;

use crate::failure::{ErrorKind, Failure};
use crate::fake::{APP, FakeHost, ORG, Org, Reply, START, full, group_row, settings, user_row};
use crate::host::TransportError;
use crate::report::{SyncRequest, SyncSummary};
use crate::settings::Settings;
use crate::sync::sync;

fn run(host: &FakeHost) -> Result<SyncSummary, Failure> {
    host.run(sync(host, settings(), full()))
}

fn failed(host: &FakeHost) -> Failure {
    run(host).expect_err("the run must fail")
}

/// A run of an org to which this was done.
fn run_with(change: impl FnOnce(&mut Org)) -> (FakeHost, Result<SyncSummary, Failure>) {
    let mut org = Org::new(5, 3);
    change(&mut org);
    let host = FakeHost::new(org);
    let result = run(&host);
    (host, result)
}

fn assert_complete(host: &FakeHost) {
    assert_eq!(host.users.borrow().len(), 5);
    assert_eq!(host.groups.borrow().len(), 3);
    assert!(host.members.borrow().values().all(|members| members.len() == 5));
    assert_eq!(host.closed.borrow().len(), 3);
}

/// A run that a fault does no harm.
fn rides_out(on: &str, times: u32, reply: impl Fn() -> Reply + 'static) -> (FakeHost, SyncSummary) {
    let (host, result) = run_with(|org| org.fault(on, times, reply));
    let summary = result.unwrap();
    assert_complete(&host);
    (host, summary)
}

/// A run that a fault ends.
fn fails_on(on: &str, times: u32, reply: impl Fn() -> Reply + 'static) -> (FakeHost, Failure) {
    let (host, result) = run_with(|org| org.fault(on, times, reply));
    (host, result.expect_err("the run must fail"))
}

#[test]
fn everything_that_is_assigned_is_read_over_all_pages() {
    let (host, result) = run_with(|_| {});
    let summary = result.unwrap();
    assert_complete(&host);
    assert_eq!(host.users.borrow()["00u1"].email, "user1@acme.test");
    assert_eq!(summary.requests, host.org.borrow().asked.len() as u64);
    assert_eq!(summary.retries, 0);
}

#[test]
fn runs_1_2_a_next_link_without_expand_gets_it_back() {
    let (host, result) = run_with(|org| org.drop_expand = true);
    result.unwrap();
    assert_complete(&host);
}

#[test]
fn runs_1_2_a_next_link_that_leads_elsewhere_or_in_a_circle_ends_the_run() {
    for (url, words) in [
        (
            "https://evil.example/api/v1/apps/0oaapp1/users?after=2",
            "another host",
        ),
        ("http://acme.okta.com/api/v1/apps/0oaapp1/users?after=2", "scheme"),
        (
            "https://acme.okta.com:8443/api/v1/apps/0oaapp1/users?after=2",
            "another host",
        ),
        (
            "https://acme.okta.com/api/v1/apps/0oaapp1/users?limit=500&expand=user",
            "followed before",
        ),
        ("::::", "no absolute URL"),
    ] {
        let (host, failure) = fails_on("0oaapp1/users", 9, move || {
            Reply::json(200, &json!([user_row(1)])).header("link", format!("<{url}>; rel=\"next\""))
        });
        assert_eq!(failure.kind, ErrorKind::Protocol, "{url}");
        assert!(failure.summary.contains(words), "{url}: {}", failure.summary);
        assert!(
            host.org
                .borrow()
                .asked
                .iter()
                .all(|request| request.authority == "acme.okta.com")
        );
    }
}

#[test]
fn runs_1_2_a_short_or_empty_page_with_a_next_link_is_followed() {
    let (_, summary) = rides_out("0oaapp1/users?limit=500&expand=user", 1, || {
        Reply::json(200, &json!([])).header(
            "link",
            "<https://acme.okta.com/api/v1/apps/0oaapp1/users?after=0>; rel=\"next\"",
        )
    });
    assert_eq!(summary.retries, 0);
}

#[test]
fn runs_1_3_answers_of_another_shape_are_never_no_rows() {
    for (body, words) in [
        ("{}", "another shape"),
        ("null", "another shape"),
        ("[{\"id\":\"00u1\"}]", "_embedded"),
        ("[{\"id\":\"00u1\",\"_embedded\":{}}]", "user"),
        ("[17]", "another shape"),
        ("", "empty body"),
        ("<html>Sign in</html>", "HTML"),
    ] {
        let (host, failure) = fails_on("0oaapp1/users", 9, move || Reply::new(200, body));
        assert_eq!(failure.kind, ErrorKind::Protocol, "{body}");
        assert!(failure.summary.contains(words), "{body}: {}", failure.summary);
        assert!(host.memory.borrow().is_empty());
    }
}

#[test]
fn redirects_are_not_followed() {
    let (host, failure) = fails_on("/api/v1/apps?", 9, || {
        Reply::new(302, "").header("location", "https://evil.example/login?secret=1")
    });
    assert_eq!(failure.kind, ErrorKind::Protocol);
    assert!(failure.summary.contains("redirect"), "{}", failure.summary);
    assert!(failure.summary.contains("evil.example/login") && !failure.summary.contains("secret"));
    assert_eq!(host.org.borrow().asked_for("/api/v1/apps"), 1);
}

#[test]
fn runs_1_4_an_empty_list_is_believed_only_when_the_probe_answers() {
    let (host, result) = run_with(|org| {
        org.app_users.insert(APP.to_owned(), Vec::new());
        org.app_groups.insert(APP.to_owned(), Vec::new());
    });
    result.unwrap();
    assert_eq!(host.org.borrow().asked_for("/api/v1/users?limit=1"), 1);
    assert_eq!(host.org.borrow().asked_for("/api/v1/groups?limit=1"), 1);
}

#[test]
fn runs_1_4_an_empty_list_whose_probe_is_empty_or_refused_is_forbidden() {
    let empty_users = |org: &mut Org| {
        org.app_users.insert(APP.to_owned(), Vec::new());
    };
    let (_, result) = run_with(|org| {
        empty_users(org);
        org.all_users_visible = false;
    });
    let failure = result.unwrap_err();
    assert_eq!((failure.kind, failure.stage), (ErrorKind::Forbidden, "users"));
    assert!(failure.hint.contains("All users"), "{}", failure.hint);

    let (_, result) = run_with(|org| {
        empty_users(org);
        org.fault("/api/v1/users?limit=1", 9, || Reply::error(403, "E0000006"));
    });
    let failure = result.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Forbidden);
    assert!(failure.hint.contains("View users"), "{}", failure.hint);
    assert_eq!(failure.provider_code.as_deref(), Some("E0000006"));
    assert_eq!(failure.request_id.as_deref(), Some("req-1"));

    let (_, result) = run_with(|org| {
        org.app_groups.insert(APP.to_owned(), Vec::new());
        org.all_groups_visible = false;
    });
    assert!(result.unwrap_err().hint.contains("All groups"));
}

#[test]
fn runs_1_4_a_probe_is_made_once_for_all_apps() {
    let (host, result) = run_with(|org| {
        for number in 2..9 {
            let app = format!("0oaapp{number}");
            org.apps.insert(app.clone(), "ACTIVE".to_owned());
            org.app_users.insert(app.clone(), Vec::new());
            org.app_groups.insert(app, Vec::new());
        }
    });
    result.unwrap();
    assert_eq!(host.org.borrow().asked_for("/api/v1/users?limit=1"), 1);
}

#[test]
fn runs_1_4_no_app_at_all_is_forbidden_on_a_first_run() {
    let (_, result) = run_with(|org| org.apps.clear());
    let failure = result.unwrap_err();
    assert_eq!((failure.kind, failure.stage), (ErrorKind::Forbidden, "apps"));
    assert!(failure.hint.contains("sign-in app"));
}

#[test]
fn runs_1_4_a_list_that_the_host_doubts_is_read_once_more() {
    let mut org = Org::new(5, 3);
    org.members.insert("00g1".to_owned(), Vec::new());
    let host = FakeHost::new(org);
    host.doubted_groups.borrow_mut().insert("00g1".to_owned());
    run(&host).unwrap();
    assert_eq!(host.org.borrow().asked_for("/groups/00g1/users"), 2);
    assert_eq!(host.org.borrow().asked_for("/groups/00g2/users"), 3);
}

#[test]
fn runs_1_5_an_app_that_is_no_longer_listed_is_asked_for() {
    let mut org = Org::new(5, 3);
    org.apps.insert("0oaapp2".to_owned(), "ACTIVE".to_owned());
    org.app_users.insert("0oaapp2".to_owned(), vec![user_row(9)]);
    org.app_groups.insert("0oaapp2".to_owned(), vec![group_row(0)]);
    let host = FakeHost::new(org);
    run(&host).unwrap();

    // Refused: the role lost sight of it.
    host.org.borrow_mut().apps.remove("0oaapp2");
    host.org
        .borrow_mut()
        .fault("GET /api/v1/apps/0oaapp2", 1, || Reply::error(403, "E0000006"));
    let failure = failed(&host);
    assert_eq!((failure.kind, failure.stage), (ErrorKind::Forbidden, "apps"));
    assert!(failure.hint.contains("0oaapp2"));

    // Gone is true, and is asked again: whether the run was applied is not known here.
    for _ in 0..2 {
        run(&host).unwrap();
    }
    assert_eq!(host.org.borrow().asked_for("/api/v1/apps/0oaapp2"), 2 + 2 + 1);

    // Until it has been gone for as long as rows are kept.
    host.now.set(host.now.get() + Duration::from_hours(31 * 24));
    host.ends_at.set(host.now.get() + Duration::from_hours(1));
    run(&host).unwrap();
    run(&host).unwrap();
    assert_eq!(host.org.borrow().asked_for("/api/v1/apps/0oaapp2"), 2 + 2 + 1 + 1);
}

#[test]
fn runs_1_5_all_apps_gone_for_true_is_an_empty_read_and_not_a_failure() {
    let host = FakeHost::new(Org::new(5, 3));
    run(&host).unwrap();
    host.org.borrow_mut().apps.clear();
    let summary = run(&host).unwrap();
    assert!(
        summary.notes.iter().any(|note| note.contains(APP)),
        "{:?}",
        summary.notes
    );
}

#[test]
fn runs_1_5_an_app_that_answers_404_ends_the_run() {
    let (_, failure) = fails_on("0oaapp1/users", 9, || Reply::error(404, "E0000007"));
    assert_eq!(failure.kind, ErrorKind::NotFound);
}

#[test]
fn runs_1_5_a_group_is_gone_only_when_its_app_no_longer_names_it() {
    let (host, result) = run_with(|org| {
        org.members.remove("00g1");
        org.fault("GET /api/v1/apps/0oaapp1/groups/00g1", 9, || {
            Reply::error(404, "E0000007")
        });
    });
    let summary = result.unwrap();
    assert_eq!(*host.dropped.borrow(), ["00g1"]);
    assert!(
        summary.notes.iter().any(|note| note.ends_with("read: 1.")),
        "{:?}",
        summary.notes
    );

    let (host, result) = run_with(|org| {
        org.members.remove("00g1");
    });
    let failure = result.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Forbidden);
    assert!(host.dropped.borrow().is_empty());
}

#[test]
fn runs_1_5_a_group_that_a_second_app_still_names_is_not_gone() {
    let (_, result) = run_with(|org| {
        org.apps.insert("0oaapp2".to_owned(), "ACTIVE".to_owned());
        org.app_users.insert("0oaapp2".to_owned(), vec![user_row(1)]);
        org.app_groups.insert("0oaapp2".to_owned(), vec![group_row(1)]);
        org.members.remove("00g1");
        org.fault("GET /api/v1/apps/0oaapp1/groups/00g1", 9, || {
            Reply::error(404, "E0000007")
        });
        // The second app's groups are known before the members are missed.
        org.fault("GET /api/v1/groups/00g1/users", 1, || {
            Reply::error(404, "E0000007").after(Duration::from_secs(5))
        });
    });
    assert_eq!(result.unwrap_err().kind, ErrorKind::Forbidden);
}

#[test]
fn runs_1_6_what_two_apps_show_is_one_and_is_read_once() {
    let (host, result) = run_with(|org| {
        org.apps.insert("0oaapp2".to_owned(), "ACTIVE".to_owned());
        org.apps.insert("0oaapp3".to_owned(), "INACTIVE".to_owned());
        org.app_users
            .insert("0oaapp2".to_owned(), (0..5).map(user_row).collect());
        org.app_groups
            .insert("0oaapp2".to_owned(), (0..3).map(group_row).collect());
    });
    result.unwrap();
    assert_complete(&host);
    assert_eq!(host.org.borrow().asked_for("/groups/00g0/users?limit"), 1);
    assert_eq!(
        host.org.borrow().asked_for("0oaapp3"),
        0,
        "an inactive app is not read"
    );
}

#[test]
fn runs_1_8_a_user_without_email_is_skipped_once_with_the_reason() {
    let (host, result) = run_with(|org| {
        let mut row = user_row(7);
        row["_embedded"]["user"]["profile"]["email"] = json!(null);
        let rows = org.app_users.get_mut(APP).unwrap();
        rows.push(row.clone());
        rows.push(row);
    });
    result.unwrap();
    assert_complete(&host);
    let skips = host.skips.borrow();
    assert_eq!(skips.len(), 1);
    assert_eq!(skips[0].0, "00u7");
    assert!(skips[0].1.contains("no e-mail"));
}

#[test]
fn users_who_are_not_active_are_put_as_such() {
    let (host, result) = run_with(|org| {
        org.app_users.get_mut(APP).unwrap()[0]["_embedded"]["user"]["status"] = json!("SUSPENDED");
    });
    result.unwrap();
    let users = host.users.borrow();
    assert!(!users["00u0"].active && users["00u1"].active);
    assert_eq!(users["00u0"].provider_status, "SUSPENDED");
}

#[test]
fn runs_2_1_only_the_groups_that_the_host_asks_for_are_fetched_with_their_time() {
    let host = FakeHost::new(Org::new(5, 3));
    host.unchanged_groups
        .borrow_mut()
        .extend(["00g0".to_owned(), "00g2".to_owned()]);
    run(&host).unwrap();
    assert_eq!(host.closed.borrow().iter().collect::<Vec<_>>(), ["00g1"]);
    let version = host.groups.borrow()["00g1"].members_changed_at;
    assert_eq!(
        version,
        crate::clock::parse_timestamp_ms("2026-01-02T03:04:05.000Z")
    );
    let read_at = host.read_at.borrow()["00g1"] / 1000;
    assert!(read_at.abs_diff(host.okta_seconds()) < 5, "by Okta's clock");
}

#[test]
fn runs_4_5_another_org_or_none_that_can_be_read_is_refused_before_the_first_listing() {
    let replies: [fn() -> Reply; 3] = [
        || Reply::json(200, &json!({"id": "00oother"})),
        || Reply::error(404, "E0000007"),
        || Reply::new(200, "<html>"),
    ];
    for (reply, kind) in replies.into_iter().zip([
        ErrorKind::InvalidSettings,
        ErrorKind::InvalidSettings,
        ErrorKind::Protocol,
    ]) {
        let (host, failure) = fails_on("okta-organization", 9, reply);
        assert_eq!(failure.kind, kind, "{}", failure.summary);
        assert_eq!(host.org.borrow().asked_for("/api/"), 0);
    }
}

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
fn runs_6_1_all_retries_of_a_run_have_one_budget() {
    let mut org = Org::new(2, 60);
    org.fault("/users?limit=1000", 500, || Reply::error(502, "E0000009"));
    let host = FakeHost::new(org);
    assert_eq!(failed(&host).kind, ErrorKind::Unavailable);
    let asked = host.org.borrow().asked.len();
    assert!(asked < 110, "{asked}");
}

#[test]
fn a_429_is_waited_out_by_okta_s_clock() {
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
fn a_429_without_headers_is_ridden_out_too() {
    let (host, summary) = rides_out("0oaapp1/users", 3, || Reply::error(429, "E0000047"));
    assert_eq!(summary.retries, 3);
    assert!(host.now.get() < Duration::from_mins(1));
}

#[test]
fn a_429_that_outlasts_the_run_says_when_to_come_back() {
    let mut org = Org::new(5, 3);
    org.fault("0oaapp1/users", 9, move || {
        Reply::error(429, "E0000047")
            .header("x-rate-limit-limit", 100)
            .header("x-rate-limit-remaining", 0)
            .header("x-rate-limit-reset", START + 600)
    });
    let host = FakeHost::new(org);
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
fn a_token_that_ends_in_the_middle_is_renewed_before() {
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
fn a_403_says_what_to_check() {
    let (_, failure) = fails_on("0oaapp1/groups?", 99, || Reply::error(403, "E0000006"));
    assert_eq!(failure.kind, ErrorKind::Forbidden);
    assert!(failure.hint.contains("View groups"));
    assert!(failure.summary.contains("So it is.") && failure.summary.contains("E0000006"));
}

#[test]
fn a_cursor_that_okta_refuses_begins_the_member_list_again() {
    let (host, _) = rides_out("/groups/00g1/users?after=2", 1, || Reply::error(400, "E0000031"));
    assert_eq!(host.org.borrow().asked_for("/groups/00g1/users?limit"), 2);
}

#[test]
fn requests_run_side_by_side_but_never_more_than_sixteen() {
    let host = FakeHost::new(Org::new(20, 200));
    run(&host).unwrap();
    assert_eq!(host.closed.borrow().len(), 200);
    assert_eq!(host.most_in_flight.get(), 16);
}

#[test]
fn cancelling_ends_the_run_with_a_checkpoint_and_no_further_request() {
    let host = FakeHost::new(Org::new(50, 3));
    host.cancel_after_requests.set(Some(6));
    let failure = failed(&host);
    assert_eq!(failure.kind, ErrorKind::Cancelled);
    assert!(host.org.borrow().asked.len() <= 7);
    assert_eq!(host.checkpoints.borrow().len(), 1);
}

#[test]
fn the_end_of_the_time_is_a_deadline_with_a_checkpoint() {
    let mut org = Org::new(50, 3);
    org.fault("0oaapp1/users?after=4", 1, || {
        Reply::new(200, "[]").after(Duration::from_hours(1))
    });
    let host = FakeHost::new(org);
    host.ends_at.set(Duration::from_mins(1));
    let failure = failed(&host);
    assert_eq!(failure.kind, ErrorKind::Deadline);
    assert!(!host.checkpoints.borrow().is_empty());
    assert!(host.now.get() <= Duration::from_secs(61));
}

#[test]
fn a_checkpoint_is_taken_now_and_then_and_a_resumed_run_begins_afresh() {
    let mut org = Org::new(50, 3);
    for after in (2..40).step_by(2) {
        org.fault(&format!("0oaapp1/users?after={after}&"), 1, || {
            Reply::error(503, "E0000009").after(Duration::from_secs(10))
        });
    }
    let host = FakeHost::new(org);
    run(&host).unwrap();
    let checkpoints = host.checkpoints.borrow().clone();
    assert!((3..12).contains(&checkpoints.len()), "{}", checkpoints.len());
    let request = SyncRequest {
        resume: checkpoints.last().cloned(),
        ..full()
    };
    host.run(sync(&host, settings(), request)).unwrap();
    assert_eq!(host.restarts.get(), 3);
}

#[test]
fn the_app_that_the_settings_name_is_the_only_one_read() {
    let named = |app: &str| {
        Settings::read([
            ("okta_domain", "acme.okta.com"),
            ("client_id", "0oaclient"),
            ("app_id", app),
        ])
        .unwrap()
    };
    let mut org = Org::new(5, 3);
    org.apps.insert("0oaapp2".to_owned(), "ACTIVE".to_owned());
    let host = FakeHost::new(org);
    host.run(sync(&host, named(APP), full())).unwrap();
    assert_complete(&host);
    assert_eq!(host.org.borrow().asked_for("/api/v1/apps?"), 0);
    let failure = host.run(sync(&host, named("0oanone"), full())).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::NotFound);
}

#[test]
fn runs_9_6_a_small_limit_is_kept_to_by_half() {
    let mut org = Org::new(2, 30);
    // Every answer of the groups' bucket tells of ten requests in a minute.
    let sent = Cell::new(0_u32);
    org.fault("/groups/00g", 1000, move || {
        let (window, used) = (sent.get() / 5, sent.get() % 5 + 1);
        sent.set(sent.get() + 1);
        Reply::json(200, &json!([]))
            .header("x-rate-limit-limit", 10)
            .header("x-rate-limit-remaining", 10 - used)
            .header("x-rate-limit-reset", START + 60 * u64::from(window + 1))
    });
    let host = FakeHost::new(org);
    run(&host).unwrap();
    let minutes = host.now.get().as_secs() / 60;
    assert!(
        (5..7).contains(&minutes),
        "30 groups at 5 a minute took {minutes} minutes"
    );
}
