//! Setting up a directory: every part of Okta that can be wrong gets its own failed check with its own hint.

use std::collections::BTreeSet;

use crate::harness::{Directory, Host, Org, Verification};

/// Verifies a directory whose key is registered, after the org was set up wrongly.
fn verified_after(change: impl FnOnce(&Org, &Directory<'_>)) -> Verification {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    let acme = host.draft("acme", &org);
    org.register_key(acme.public_jwk());
    change(&org, &acme);
    acme.verify()
}

fn with_settings(settings: &str) -> Verification {
    verified_after(|org, _| org.set(settings))
}

fn assert_fails(verification: &Verification, hint: &str) {
    assert!(!verification.is_verified(), "{verification:#?}");
    assert!(!verification.failed().is_empty(), "{verification:#?}");
    let hints = verification.hints();
    assert!(
        hints.to_lowercase().contains(&hint.to_lowercase()),
        "a hint names `{hint}`: {hints}"
    );
}

#[test]
fn a_right_setup_passes_every_check() {
    let verification = verified_after(|_, _| {});
    assert!(verification.is_verified(), "{verification:#?}");
    assert!(
        verification.failed().is_empty() && verification.warnings().is_empty(),
        "{verification:#?}"
    );
}

#[test]
fn a_key_that_is_not_registered_is_told() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    let verification = host.draft("acme", &org).verify();
    assert_fails(&verification, "key");
}

#[test]
fn another_key_than_the_registered_one_is_told() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    let (acme, other) = (host.draft("acme", &org), host.draft("other", &org));
    org.register_key(other.public_jwk());
    assert_fails(&acme.verify(), "key");
}

#[test]
fn a_wrong_client_id_is_told() {
    let verification = verified_after(|_, acme| {
        acme.set(&["client_id=0oawrongwrongwrong000"]);
    });
    assert_fails(&verification, "client id");
}

#[test]
fn each_scope_that_is_withheld_is_named_and_no_other() {
    let all = ["okta.apps.read", "okta.groups.read", "okta.users.read"];
    for withheld in all {
        let granted: Vec<_> = all
            .iter()
            .filter(|scope| **scope != withheld)
            .map(|s| format!("\"{s}\""))
            .collect();
        let verification = with_settings(&format!(r#"{{"granted_scopes": [{}]}}"#, granted.join(",")));
        assert_fails(&verification, withheld);
        let told = format!("{} {}", verification.details(), verification.hints());
        for other in all.iter().filter(|scope| **scope != withheld) {
            assert!(!told.contains(other), "{other} is granted: {told}");
        }
    }
}

#[test]
fn all_scopes_withheld_are_all_named() {
    let verification = with_settings(r#"{"granted_scopes": []}"#);
    for scope in ["okta.apps.read", "okta.groups.read", "okta.users.read"] {
        assert_fails(&verification, scope);
    }
}

#[test]
fn a_service_app_without_the_role_is_told() {
    assert_fails(&with_settings(r#"{"role": null}"#), "role");
}

#[test]
fn a_role_without_one_permission_is_told_by_that_permission() {
    for (without, named) in [("apps", "application"), ("users", "user"), ("groups", "group")] {
        for refusal in ["forbidden", "empty"] {
            let settings =
                format!(r#"{{"role": {{"{without}": false}}, "without_permission": "{refusal}"}}"#);
            let verification = with_settings(&settings);
            assert_fails(&verification, named);
        }
    }
}

#[test]
fn a_resource_set_without_the_app_is_told() {
    let verification = with_settings(r#"{"resource_set": {"apps": []}}"#);
    assert_fails(&verification, "resource set");
    assert_fails(&verification, "app");
}

#[test]
fn a_resource_set_without_users_or_groups_is_told() {
    // An empty list can only mean the resource set; a refusal may be the role's permission as well.
    for (without, refusal, named) in [
        ("users", "empty", "all users"),
        ("groups", "empty", "all groups"),
        ("users", "forbidden", "users"),
        ("groups", "forbidden", "groups"),
    ] {
        let settings =
            format!(r#"{{"resource_set": {{"{without}": false}}, "outside_resource_set": "{refusal}"}}"#);
        let verification = with_settings(&settings);
        assert_fails(&verification, named);
    }
}

#[test]
fn every_wrong_setup_has_a_hint_of_its_own() {
    let wrong = [
        r#"{"granted_scopes": ["okta.groups.read", "okta.users.read"]}"#,
        r#"{"granted_scopes": ["okta.apps.read", "okta.users.read"]}"#,
        r#"{"granted_scopes": ["okta.apps.read", "okta.groups.read"]}"#,
        r#"{"resource_set": {"apps": []}}"#,
        r#"{"resource_set": {"users": false}}"#,
        r#"{"resource_set": {"groups": false}}"#,
    ];
    let told: BTreeSet<_> = wrong
        .iter()
        .map(|settings| {
            let verification = with_settings(settings);
            format!(
                "{:?} {} {}",
                verification.failed(),
                verification.details(),
                verification.hints()
            )
        })
        .collect();
    assert_eq!(told.len(), wrong.len(), "{told:#?}");
}

#[test]
fn runs_6_2_a_clock_that_is_off_is_a_warning_with_the_seconds() {
    let verification = verified_after(|org, _| org.skew_clock_secs(-600));
    assert!(verification.is_verified(), "{verification:#?}");
    assert_eq!(verification.warnings().len(), 1, "{verification:#?}");
    let detail = verification.texts("warning", "detail");
    assert!(
        ["599", "600", "601"].iter().any(|secs| detail.contains(secs)),
        "{detail}"
    );
}

#[test]
fn runs_6_2_a_sync_works_in_the_orgs_time() {
    for skew in [-7_200, 7_200] {
        let org = Org::of(30, 4, 6).start();
        org.skew_clock_secs(skew);
        let host = Host::beside(&org);
        let acme = host.connected("acme", &org);
        acme.sync();
        assert_eq!(acme.export().rows(), org.expected());
    }
}

#[test]
fn dpop_may_be_required_or_not() {
    for dpop in ["required", "optional"] {
        let verification = with_settings(&format!(r#"{{"dpop": "{dpop}"}}"#));
        assert!(verification.is_verified(), "{verification:#?}");
    }
}

#[test]
fn a_domain_where_nothing_answers_is_told() {
    let verification = verified_after(|_, acme| {
        acme.set(&["okta_domain=nothing-here.invalid"]);
    });
    assert!(!verification.is_verified());
    assert_eq!(verification.failed(), ["domain"]);
    assert!(
        verification.details().contains("nothing-here.invalid"),
        "{verification:#?}"
    );
}

#[test]
fn a_private_address_that_was_not_allowed_is_told() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::new().trusting(org.ca());
    let acme = host.draft("acme", &org);
    org.register_key(acme.public_jwk());
    let failure = acme.verify_fails();
    assert!(failure.text().contains("--allow-private-egress"), "{failure:?}");
    assert_eq!(org.requests().len(), 0, "nothing reached the org");
}

#[test]
fn a_certificate_that_is_not_trusted_is_told() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::new().reaching(org.domain());
    let acme = host.draft("acme", &org);
    org.register_key(acme.public_jwk());
    assert!(!acme.verify().is_verified());
    assert_eq!(org.requests().len(), 0, "nothing reached the org");
}

#[test]
fn a_directory_that_is_not_verified_is_neither_synced_nor_enabled() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    let acme = host.draft("acme", &org);
    assert_eq!(acme.show()["state"], "draft");

    for command in ["sync", "directory enable"] {
        let mut arguments: Vec<_> = command.split(' ').collect();
        arguments.push(acme.id());
        let failure = host.failure(&arguments);
        assert!(
            failure.text().contains("verif"),
            "`{command}`: {}",
            failure.text()
        );
    }
}

#[test]
fn runs_7_1_a_change_of_settings_leaves_the_verified_set_in_use() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);

    acme.set(&["client_id=0oawrongwrongwrong000"]);

    acme.sync();
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn runs_4_5_another_org_behind_the_same_domain_is_refused_until_a_person_confirms_it() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    org.set(r#"{"org_id": "00oanotherorg00000000"}"#);

    acme.sync_fails_and_changes_nothing("invalid-settings");

    assert!(acme.verify().is_verified());
    acme.sync();
}
