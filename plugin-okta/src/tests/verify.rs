//! Each wrong setup of Okta has its own failed check with its own hint.

use std::collections::HashSet;

use serde_json::json;

use crate::failure::Failure;
use crate::fake::{APP, FakeHost, ORG, Org, Reply, full, settings};
use crate::host::TransportError;
use crate::report::{Check, Outcome, Verification};
use crate::settings::Settings;
use crate::verify::verify;

const ALL: [&str; 11] = [
    "domain",
    "clock",
    "token",
    "scope-okta.apps.read",
    "scope-okta.groups.read",
    "scope-okta.users.read",
    "role",
    "apps",
    "users",
    "groups",
    "count",
];

fn verified_on(host: &FakeHost, settings: Result<Settings, Failure>) -> Verification {
    let verification = host.run(verify(host, settings));
    let ids: HashSet<&str> = verification.checks.iter().map(|check| check.id).collect();
    assert_eq!(ids, HashSet::from(ALL), "every check stands in every list, once");
    assert_eq!(verification.checks.len(), ALL.len());
    for check in &verification.checks {
        let needs_hint = matches!(check.outcome, Outcome::Failed | Outcome::Warning);
        assert!(!needs_hint || !check.hint.is_empty(), "{check:?}");
    }
    verification
}

fn verified(change: impl FnOnce(&mut Org)) -> Verification {
    let mut org = Org::new(5, 3);
    change(&mut org);
    verified_on(&FakeHost::new(org), Ok(settings()))
}

fn with_outcome(verification: &Verification, outcome: Outcome) -> Vec<&Check> {
    verification
        .checks
        .iter()
        .filter(|check| check.outcome == outcome)
        .collect()
}

/// The one check that failed.
fn failed(change: impl FnOnce(&mut Org)) -> Check {
    let verification = verified(change);
    let failed = with_outcome(&verification, Outcome::Failed);
    assert_eq!(failed.len(), 1, "{failed:#?}");
    failed[0].clone()
}

#[test]
fn a_right_setup_passes_every_check_and_tells_the_org_and_the_counts() {
    let verification = verified(|org| org.page = 500);
    assert_eq!(with_outcome(&verification, Outcome::Passed).len(), ALL.len());
    assert_eq!(verification.org_id.as_deref(), Some(ORG));
    assert_eq!(verification.scope, [APP]);
    let count = verification.checks.last().unwrap();
    assert_eq!(count.detail, "A sync would bring 5 users and 3 groups.");
}

#[test]
fn a_count_of_first_pages_says_at_least() {
    let verification = verified(|_| {});
    let count = verification.checks.last().unwrap();
    assert!(count.detail.contains("at least 2 users"), "{}", count.detail);
}

#[test]
fn each_answer_to_a_token_request_has_its_own_hint() {
    let cases = [
        (
            401,
            "invalid_client",
            "The client_assertion JWT kid is invalid.",
            "paste it whole",
        ),
        (
            401,
            "invalid_client",
            "The client_assertion signature is invalid.",
            "paste it whole",
        ),
        (
            401,
            "invalid_client",
            "Invalid value for 'client_id' parameter.",
            "no such client",
        ),
        (
            401,
            "invalid_client",
            "The client_assertion token has already been used.",
            "twice",
        ),
        (
            401,
            "invalid_client",
            "The client_assertion token is expired.",
            "clock",
        ),
        (
            401,
            "invalid_client",
            "Client authentication failed.",
            "Client ID is that of",
        ),
        (
            400,
            "unauthorized_client",
            "Not for this grant type.",
            "API service app",
        ),
    ];
    let mut hints = HashSet::new();
    for (status, code, text, words) in cases {
        let check = failed(move |org| {
            org.fault("/token", 9, move || Reply::oauth_error(status, code, text));
        });
        assert_eq!(check.id, "token");
        assert!(check.hint.contains(words), "{text}: {}", check.hint);
        assert!(
            check.detail.contains(text) && check.detail.contains(code),
            "{}",
            check.detail
        );
        hints.insert(check.hint);
    }
    assert_eq!(hints.len(), cases.len() - 1, "the two about the key are one");
}

#[test]
fn a_withheld_scope_fails_its_own_check_and_skips_what_needs_it() {
    for (scope, skipped) in [
        ("okta.apps.read", "apps"),
        ("okta.groups.read", "groups"),
        ("okta.users.read", "users"),
    ] {
        let verification = verified(|org| org.scopes = org.scopes.replace(scope, ""));
        let failed = with_outcome(&verification, Outcome::Failed);
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].id, format!("scope-{scope}"));
        assert!(failed[0].hint.contains(scope));
        let skips: Vec<&str> = with_outcome(&verification, Outcome::Skipped)
            .iter()
            .map(|c| c.id)
            .collect();
        assert_eq!(skips, [skipped, "count"]);
    }
}

#[test]
fn no_scope_at_all_fails_all_three_checks() {
    for code in ["consent_required", "invalid_scope"] {
        let verification = verified(|org| {
            org.fault("/token", 9, move || {
                Reply::oauth_error(400, code, "You are not allowed any of them.")
            });
        });
        let failed: Vec<&str> = with_outcome(&verification, Outcome::Failed)
            .iter()
            .map(|c| c.id)
            .collect();
        assert_eq!(failed, ["token", ALL[3], ALL[4], ALL[5]]);
    }
}

#[test]
fn no_role_is_told_from_a_missing_permission() {
    let check = failed(|org| org.fault("/api/v1/", 99, || Reply::error(403, "E0000006")));
    assert_eq!(check.id, "role");
    assert!(check.hint.contains("Admin roles"));

    for (path, id, words) in [
        ("/api/v1/apps?", "apps", "View applications"),
        ("/api/v1/users?", "users", "View users"),
        ("/api/v1/groups?", "groups", "View groups"),
    ] {
        let check = failed(|org| org.fault(path, 99, || Reply::error(403, "E0000006")));
        assert_eq!(check.id, id);
        assert!(
            check.hint.contains(words) && check.hint.contains("Roles"),
            "{}",
            check.hint
        );
        assert!(
            check.detail.contains("E0000006") && check.detail.contains("req-1"),
            "{}",
            check.detail
        );
    }
}

#[test]
fn a_resource_set_that_lacks_something_is_named_as_such() {
    let check = failed(|org| org.apps.clear());
    assert_eq!(check.id, "apps");
    assert!(
        check.hint.contains("Resources") && check.hint.contains("sign-in app"),
        "{}",
        check.hint
    );
    let check = failed(|org| org.all_users_visible = false);
    assert_eq!(check.id, "users");
    assert!(check.hint.contains("All users"), "{}", check.hint);
    let check = failed(|org| org.all_groups_visible = false);
    assert_eq!(check.id, "groups");
    assert!(check.hint.contains("All groups"), "{}", check.hint);
}

#[test]
fn runs_7_3_the_apps_that_would_be_synced_are_told_inactive_ones_too() {
    let two_apps = |org: &mut Org| {
        org.apps.insert("0oaapp2".to_owned(), "INACTIVE".to_owned());
    };
    assert_eq!(verified(two_apps).scope, [APP, "0oaapp2"]);
    let mut org = Org::new(5, 3);
    two_apps(&mut org);
    let named = Settings::read([
        ("okta_domain", "acme.okta.com"),
        ("client_id", "0oaclient"),
        ("app_id", APP),
    ]);
    assert_eq!(verified_on(&FakeHost::new(org), named).scope, [APP]);
}

#[test]
fn an_inactive_app_and_one_that_is_not_there_are_told_apart() {
    let check = failed(|org| {
        org.apps.insert(APP.to_owned(), "INACTIVE".to_owned());
    });
    assert!(check.hint.contains("activate it"));
    let named = Settings::read([
        ("okta_domain", "acme.okta.com"),
        ("client_id", "0oaclient"),
        ("app_id", "0oanone"),
    ]);
    let verification = verified_on(&FakeHost::new(Org::new(5, 3)), named);
    let failed = with_outcome(&verification, Outcome::Failed);
    assert_eq!((failed.len(), failed[0].id), (1, "apps"));
    assert!(failed[0].hint.contains("app_id"));
}

#[test]
fn runs_6_2_a_clock_that_is_off_is_a_warning_with_the_seconds() {
    for (ahead, words) in [(90, "90 seconds ahead of"), (-3600, "3600 seconds behind")] {
        let mut host = FakeHost::new(Org::new(5, 3));
        host.ahead_seconds = ahead;
        let verification = verified_on(&host, Ok(settings()));
        let warnings = with_outcome(&verification, Outcome::Warning);
        assert_eq!((warnings.len(), warnings[0].id), (1, "clock"));
        assert!(warnings[0].detail.contains(words), "{}", warnings[0].detail);
        assert!(with_outcome(&verification, Outcome::Failed).is_empty());
    }
}

#[test]
fn a_domain_without_an_org_fails_its_own_check_only() {
    let replies: [fn() -> Reply; 4] = [
        || Reply::error(404, "E0000007"),
        || Reply::new(200, "<html>"),
        || {
            Reply::broken(TransportError::Broken(
                "the host's name could not be resolved".into(),
            ))
        },
        || Reply::broken(TransportError::AddressRefused("DestinationIpProhibited".into())),
    ];
    for reply in replies {
        let check = failed(|org| org.fault("okta-organization", 99, reply));
        assert_eq!(check.id, "domain");
    }
    assert!(
        verified(|org| org.fault("okta-organization", 99, || Reply::error(404, "E0000007")))
            .scope
            .is_empty()
    );
    let missing = Settings::read([("okta_domain", "acme.okta.com")]);
    let verification = verified_on(&FakeHost::new(Org::new(1, 1)), missing);
    assert!(verification.checks[0].detail.contains("client_id"));
}

#[test]
fn nothing_assigned_is_a_warning() {
    let verification = verified(|org| {
        org.app_users.insert(APP.to_owned(), Vec::new());
        org.app_groups.insert(APP.to_owned(), Vec::new());
    });
    let warnings = with_outcome(&verification, Outcome::Warning);
    assert_eq!((warnings.len(), warnings[0].id), (1, "count"));
    assert!(warnings[0].hint.contains("Assignments"));
}

#[test]
fn app_users_that_are_refused_are_seen_by_the_count() {
    let check = failed(|org| org.fault("0oaapp1/users", 99, || Reply::error(403, "E0000006")));
    assert_eq!(check.id, "count");
}

#[test]
fn an_app_taken_from_the_role_is_told_once_and_then_taken_as_meant() {
    let mut org = Org::new(5, 3);
    org.apps.insert("0oaapp2".to_owned(), "ACTIVE".to_owned());
    org.app_users.insert("0oaapp2".to_owned(), Vec::new());
    org.app_groups.insert("0oaapp2".to_owned(), Vec::new());
    let host = FakeHost::new(org);
    host.run(crate::sync::sync(&host, settings(), full())).unwrap();
    host.org.borrow_mut().apps.remove("0oaapp2");
    host.org
        .borrow_mut()
        .fault("GET /api/v1/apps/0oaapp2", 9, || Reply::error(403, "E0000006"));
    assert!(host.run(crate::sync::sync(&host, settings(), full())).is_err());
    let verification = verified_on(&host, Ok(settings()));
    let warnings = with_outcome(&verification, Outcome::Warning);
    assert_eq!((warnings.len(), warnings[0].id), (1, "apps"));
    assert!(warnings[0].detail.contains("0oaapp2"));
    host.run(crate::sync::sync(&host, settings(), full())).unwrap();
}

#[test]
fn explain_tells_the_conditions_in_their_order() {
    let explained = |who: &str, change: fn(&mut Org)| {
        let mut org = Org::new(5, 3);
        change(&mut org);
        let host = FakeHost::new(org);
        let checks = host.run(crate::explain::explain(&host, settings(), who)).unwrap();
        let line: Vec<String> = checks
            .iter()
            .map(|c| format!("{} {:?}", c.id, c.outcome))
            .collect();
        line.join(", ")
    };
    let nothing: fn(&mut Org) = |_| {};
    let all = "exists Passed, status Passed, email Passed, assigned Passed, synced Passed";
    assert_eq!(explained("00u1", nothing), all);
    assert_eq!(explained("User1@acme.test", nothing), all);
    assert_eq!(
        explained("00g1", nothing),
        "exists Passed, assigned Passed, synced Passed"
    );
    assert_eq!(
        explained("nobody", |org| org.all_groups_visible = false),
        "exists Failed"
    );
    assert_eq!(
        explained("00u1", |org| {
            let user = &mut org.app_users.get_mut(APP).unwrap()[1]["_embedded"]["user"];
            user["status"] = json!("SUSPENDED");
            user["profile"]["email"] = json!("");
        }),
        "exists Passed, status Failed, email Failed, assigned Passed, synced Failed"
    );
    assert_eq!(
        explained("00u1", |org| {
            let user =
                r#"{"id":"00u1","status":"ACTIVE","profile":{"email":"a@acme.test","login":"a\ud800"}}"#;
            org.fault("/api/v1/users/00u1", 1, move || Reply::new(200, user));
        }),
        "exists Passed, status Passed, email Failed, assigned Passed, synced Failed",
        "a login that is no text can't be synced"
    );
    assert_eq!(
        explained("00u1", |org| org
            .fault("0oaapp1/users/00u1", 9, || Reply::error(404, "E0000007"))),
        "exists Passed, status Passed, email Passed, assigned Failed, synced Failed"
    );
}
