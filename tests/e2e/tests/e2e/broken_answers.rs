//! Answers that no run survives: it fails with the right kind, and nothing that readers see has changed.

use crate::harness::{Host, Org, Report};

/// Syncs once, then again while these faults are set: the second run must fail and change nothing. Once they are gone,
/// the next run is right again.
fn fails_with(kind: &str, faults: &[&str]) -> Report {
    let org = Org::of(700, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    // Something that a good run would apply.
    org.add_user("new.hire@acme.example");
    for fault in faults {
        org.fault(fault);
    }

    let report = acme.sync_fails_and_changes_nothing(kind);

    for (fault, struck) in org.faults_struck() {
        assert!(struck > 0, "the fault met no request: {fault}");
    }
    org.clear_faults();
    acme.sync();
    assert_eq!(acme.export().rows(), org.expected());
    report
}

#[test]
fn runs_1_2_a_next_link_that_leads_astray_is_a_protocol_failure() {
    for to in ["other-host", "other-port", "other-scheme", "nonsense"] {
        fails_with(
            "protocol",
            &[&format!(
                r#"{{"fault": "next", "to": "{to}", "path": "/api/v1/apps/*/users", "count": null}}"#
            )],
        );
    }
}

#[test]
fn runs_1_2_a_next_link_that_repeats_is_a_protocol_failure() {
    for to in ["itself", "first"] {
        fails_with(
            "protocol",
            &[&format!(
                r#"{{"fault": "next", "to": "{to}", "path": "/api/v1/apps/*/users", "count": null}}"#
            )],
        );
    }
}

#[test]
fn runs_9_5_a_redirect_is_not_followed() {
    fails_with(
        "protocol",
        &[r#"{"fault": "redirect", "path": "/api/v1/apps/*/groups", "count": null}"#],
    );
}

#[test]
fn runs_1_3_html_in_place_of_json_is_a_protocol_failure() {
    fails_with(
        "protocol",
        &[r#"{"fault": "html", "path": "/api/v1/apps/*/users", "count": null}"#],
    );
}

#[test]
fn runs_1_3_an_answer_of_another_shape_is_a_protocol_failure() {
    for body in [
        r#"{\"users\": []}"#,
        "null",
        "[1, 2]",
        r#"[{\"status\": \"ACTIVE\"}]"#,
        "",
    ] {
        fails_with(
            "protocol",
            &[&format!(
                r#"{{"fault": "answer", "body": "{body}", "path": "/api/v1/apps/*/users", "count": null}}"#
            )],
        );
    }
}

#[test]
fn runs_1_3_rows_without_id_or_embedded_are_a_protocol_failure() {
    for fault in ["without-id", "without-embedded"] {
        fails_with(
            "protocol",
            &[&format!(
                r#"{{"fault": "{fault}", "row": 3, "path": "/api/v1/apps/*/users", "count": null}}"#
            )],
        );
    }
}

#[test]
fn a_body_of_600_mib_is_refused_and_not_asked_for_again_and_again() {
    for gzip in [false, true] {
        fails_with(
            "protocol",
            &[&format!(
                r#"{{"fault": "big-body", "mib": 600, "gzip": {gzip}, "path": "/api/v1/apps/*/groups", "count": null}}"#
            )],
        );
    }
}

#[test]
fn a_header_that_is_too_large_is_refused() {
    fails_with(
        "protocol",
        &[r#"{"fault": "huge-header", "bytes": 200000, "path": "/api/v1/apps/*/groups", "count": null}"#],
    );
}

#[test]
fn runs_6_1_an_org_that_stays_down_is_unavailable_in_the_end() {
    fails_with(
        "unavailable",
        &[r#"{"fault": "status", "status": 503, "path": "/api/v1/apps/*/users", "count": null}"#],
    );
}

#[test]
fn runs_9_2_a_nonce_challenge_without_end_is_an_error() {
    let report = fails_with(
        "protocol",
        &[r#"{"fault": "ask-nonce", "path": "/api/v1/apps/*/users", "count": null}"#],
    );
    assert!(
        report.error_text().to_lowercase().contains("nonce"),
        "{}",
        report.error_text()
    );
}

#[test]
fn runs_1_4_a_list_that_is_suddenly_empty_and_whose_probe_is_refused_is_forbidden() {
    for (without, path) in [
        ("users", "/api/v1/apps/*/users"),
        ("groups", "/api/v1/apps/*/groups"),
    ] {
        let org = Org::of(60, 9, 12).start();
        let host = Host::beside(&org);
        let acme = host.connected("acme", &org);
        acme.sync();
        org.set(&format!(r#"{{"role": {{"{without}": false}}}}"#));
        org.fault(&format!(
            r#"{{"fault": "empty-list", "path": "{path}", "count": null}}"#
        ));
        acme.sync_fails_and_changes_nothing("forbidden");
    }
}

#[test]
fn runs_1_4_lists_that_are_empty_for_want_of_a_permission_are_forbidden() {
    for without in ["apps", "users", "groups"] {
        let org = Org::of(60, 9, 12).start();
        let host = Host::beside(&org);
        let acme = host.connected("acme", &org);
        acme.sync();
        org.set(&format!(
            r#"{{"role": {{"{without}": false}}, "without_permission": "empty"}}"#
        ));
        let report = acme.sync_fails_and_changes_nothing("forbidden");
        let named = if without == "apps" {
            "app"
        } else {
            without.trim_end_matches('s')
        };
        assert!(
            report.error_text().to_lowercase().contains(named),
            "{}",
            report.error_text()
        );
    }
}

#[test]
fn runs_1_4_an_empty_member_list_is_asked_for_once_more() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let group = org.group(0);
    org.add_member(&group, &org.outsider_of(0));
    org.fault(&format!(
        r#"{{"fault": "empty-list", "path": "/api/v1/groups/{group}/users"}}"#
    ));

    acme.sync();

    assert_eq!(
        acme.export().rows(),
        org.expected(),
        "the second answer is believed"
    );
}

#[test]
fn runs_1_5_a_group_that_vanishes_while_it_is_read_is_left_out() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let group = org.group(2);
    org.fault(&format!(
        r#"{{"fault": "not-found", "path": "/api/v1/groups/{group}/users", "count": null}}"#
    ));
    org.fault(&format!(
        r#"{{"fault": "not-found", "path": "/api/v1/apps/*/groups/{group}", "count": null}}"#
    ));

    let report = acme.sync();

    assert!(!acme.export().mentions(&group));
    assert_eq!(report.count("groups", "created"), 8);
}

#[test]
fn runs_1_5_a_group_that_answers_404_and_is_still_assigned_is_forbidden() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let group = org.group(2);
    org.fault(&format!(
        r#"{{"fault": "not-found", "path": "/api/v1/groups/{group}/users", "count": null}}"#
    ));
    acme.sync_fails_and_changes_nothing("forbidden");
}

#[test]
fn runs_1_5_an_app_that_answers_404_ends_the_run() {
    fails_with(
        "not-found",
        &[r#"{"fault": "not-found", "path": "/api/v1/apps/*/users", "count": null}"#],
    );
}

#[test]
fn runs_9_3_a_scope_that_was_taken_away_is_named() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    org.set(r#"{"granted_scopes": ["okta.apps.read", "okta.users.read"]}"#);
    let report = acme.sync_fails_and_changes_nothing("forbidden");
    assert!(
        report.error_text().contains("okta.groups.read"),
        "{}",
        report.error_text()
    );
}

#[test]
fn runs_6_a_key_that_was_taken_away_is_unauthorized_with_oktas_own_words() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    org.forget_keys();
    let report = acme.sync_fails_and_changes_nothing("unauthorized");
    assert!(
        report.document()["error"]["provider_code"].is_string(),
        "{report:#?}"
    );
}
