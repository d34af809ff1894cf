//! What a run rides out: faults that retries mend, without a trace in what is stored.

use crate::harness::{Host, Org, Report};

/// Syncs an org in which these faults wait for their requests; the sync must succeed and be right.
fn synced_despite(faults: &[&str]) -> (Report, Org) {
    let org = Org::of(700, 9, 12).start();
    let report = {
        let host = Host::beside(&org);
        let acme = host.connected("acme", &org);
        org.forget_requests();
        for fault in faults {
            org.fault(fault);
        }
        let report = acme.sync();
        assert_eq!(acme.export().rows(), org.expected());
        for (fault, struck) in org.faults_struck() {
            assert!(struck > 0, "the fault met no request: {fault}");
        }
        report
    };
    (report, org)
}

#[test]
fn runs_6_1_server_errors_are_tried_again() {
    for status in [500, 502, 503, 504, 408] {
        synced_despite(&[
            &format!(r#"{{"fault": "status", "status": {status}, "path": "/api/v1/apps/*/users"}}"#),
            &format!(
                r#"{{"fault": "status", "status": {status}, "path": "/api/v1/groups/*/users", "nth": 2, "count": 2}}"#
            ),
        ]);
    }
}

#[test]
fn runs_6_1_a_token_request_is_tried_again_with_a_fresh_assertion() {
    // A `jti` that was seen before is refused by the org.
    synced_despite(&[r#"{"fault": "status", "status": 503, "path": "/oauth2/v1/token", "count": 2}"#]);
}

#[test]
fn runs_6_2_a_429_is_waited_out_with_and_without_headers() {
    for rate in ["true", "missing"] {
        let org = Org::of(60, 9, 12).window_secs(1).start();
        let host = Host::beside(&org);
        let acme = host.connected("acme", &org);
        org.fault(&format!(
            r#"{{"fault": "status", "status": 429, "rate": "{rate}", "retry_after": 1, "path": "/api/v1/apps/*/groups"}}"#
        ));
        let report = acme.sync();
        assert_eq!(acme.export().rows(), org.expected(), "{rate}");
        assert!(report.requests() > 0);
    }
}

#[test]
fn runs_9_6_a_429_of_concurrency_is_ridden_out() {
    synced_despite(&[
        r#"{"fault": "status", "status": 429, "rate": "concurrency", "path": "/api/v1/groups/*/users", "count": 3}"#,
    ]);
}

#[test]
fn runs_6_1_broken_connections_and_cut_bodies_are_tried_again() {
    synced_despite(&[
        r#"{"fault": "reset", "path": "/api/v1/apps/*/users"}"#,
        r#"{"fault": "cut", "after_bytes": 100, "path": "/api/v1/apps/*/users", "nth": 2}"#,
        r#"{"fault": "cut", "after_bytes": 10, "connection": false, "path": "/api/v1/groups/*/users"}"#,
        r#"{"fault": "reset", "path": "/oauth2/v1/token"}"#,
    ]);
}

#[test]
fn runs_6_1_a_401_on_a_resource_brings_a_new_token() {
    let (_, org) =
        synced_despite(&[r#"{"fault": "unauthorized", "path": "/api/v1/groups/*/users", "nth": 3}"#]);
    assert!(org.count("/oauth2/v1/token") >= 2);
}

#[test]
fn runs_9_2_a_nonce_that_is_asked_for_late_is_answered() {
    for status in [400, 401] {
        synced_despite(&[&format!(
            r#"{{"fault": "ask-nonce", "status": {status}, "path": "/api/v1/groups/*/users", "nth": 4}}"#
        )]);
    }
}

#[test]
fn runs_9_2_nonces_on_every_resource_are_answered() {
    let org = Org::of(60, 9, 12).start();
    org.set(r#"{"resource_nonce": true}"#);
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn tokens_that_end_in_the_middle_are_renewed() {
    synced_despite(&[r#"{"fault": "expire-tokens", "path": "/api/v1/groups/*/users", "nth": 5}"#]);
}

#[test]
fn short_lived_tokens_are_renewed_before_they_end() {
    let org = Org::of(60, 9, 12).start();
    org.set(r#"{"expires_in": 2, "latency_ms": 200}"#);
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn a_page_that_is_refused_as_too_large_is_asked_for_in_halves() {
    synced_despite(&[
        r#"{"fault": "too-large", "over": 250, "status": 504, "path": "/api/v1/apps/*/users", "count": null}"#,
    ]);
}

#[test]
fn runs_1_2_an_empty_page_with_a_next_link_is_followed() {
    let org = Org::of(700, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let right = org.expected();
    org.fault(r#"{"fault": "empty-page", "path": "/api/v1/apps/*/users"}"#);

    acme.sync();

    let stored = acme.export();
    let last = |rows: &[String]| rows.iter().rfind(|row| row.contains(r#""type":"user""#)).cloned();
    assert_eq!(
        last(stored.rows()),
        last(&right),
        "what follows the empty page was read"
    );
}

#[test]
fn runs_1_6_rows_that_come_twice_because_a_listing_moved_are_one() {
    synced_despite(&[r#"{"fault": "repeat-row", "path": "/api/v1/apps/*/users?*after=*"}"#]);
}

#[test]
fn runs_1_3_unknown_fields_are_normal() {
    synced_despite(&[r#"{"fault": "extra-fields", "fields": 20, "count": null, "path": "/api/v1/*"}"#]);
}

#[test]
fn runs_9_1_no_proof_is_used_twice() {
    let (_, org) = synced_despite(&[
        r#"{"fault": "status", "status": 503, "path": "/api/v1/groups/*/users", "count": 3}"#,
    ]);
    let mut proofs: Vec<_> = org
        .requests()
        .into_iter()
        .filter_map(|request| request.dpop_jti)
        .collect();
    let all = proofs.len();
    proofs.sort();
    proofs.dedup();
    assert_eq!(proofs.len(), all);
}

#[test]
fn runs_9_5_requests_say_who_they_are_and_carry_no_cookies() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    host.connected("acme", &org).sync();
    for request in org
        .requests()
        .iter()
        .filter(|request| request.path.starts_with("/api/v1/"))
    {
        assert_eq!(
            request.headers.get("accept").map(String::as_str),
            Some("application/json"),
            "{request:?}"
        );
        let agent = request
            .headers
            .get("user-agent")
            .map(String::as_str)
            .unwrap_or_default();
        assert!(agent.starts_with("idsync/"), "{request:?}");
        for absent in ["cookie", "referer"] {
            assert!(!request.headers.contains_key(absent), "{request:?}");
        }
    }
}
