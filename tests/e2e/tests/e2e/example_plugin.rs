//! The example of docs/plugin-authors.md: a provider that the host has never heard of, synced by the same binary.

use crate::harness::{Directory, Host, WebServer};

const PEOPLE: &str = r#"{
    "users": [
        {"id": "1", "email": " Ada@Example.com ", "name": "Ada Lovelace"},
        {"id": "2", "email": "grace@example.com", "name": "Grace Hopper"},
        {"id": "3", "email": "gone@example.com", "name": "Gone", "active": false},
        {"id": "4", "name": "No Address"}
    ],
    "groups": [
        {"id": "g1", "name": "Everyone", "members": ["1", "2", "3", "4"]},
        {"id": "g2", "name": "Nobody", "members": []}
    ]
}"#;

fn host_beside(server: &WebServer) -> Host {
    Host::new()
        .with_test_plugins()
        .trusting(&server.ca())
        .reaching(server.authority())
}

fn people<'a>(host: &'a Host, server: &WebServer) -> Directory<'a> {
    host.added("people", "static", &[&format!("host={}", server.authority())])
}

#[test]
fn the_example_is_synced() {
    let server = WebServer::named("people.localhost");
    server.put("/directory.json", PEOPLE);
    let host = host_beside(&server);
    let people = people(&host, &server);
    assert!(people.verify().is_verified());

    let report = people.sync();

    let export = people.export();
    assert_eq!(
        (
            export.count("user"),
            export.count("group"),
            export.count("membership")
        ),
        (2, 2, 2)
    );
    assert!(export.mentions("ada@example.com"));
    assert_eq!(report.count("users", "skipped"), 1);
}

#[test]
fn runs_2_3_in_the_example_a_user_who_becomes_active_has_the_memberships() {
    let server = WebServer::named("people.localhost");
    server.put("/directory.json", PEOPLE);
    let host = host_beside(&server);
    let people = people(&host, &server);
    people.verify();
    people.sync();
    server.put("/directory.json", &PEOPLE.replace(r#", "active": false"#, ""));

    let report = people.sync();

    assert_eq!(
        (
            report.count("users", "created"),
            report.count("memberships", "created")
        ),
        (1, 1)
    );
}

#[test]
fn runs_1_3_in_the_example_a_broken_document_changes_nothing() {
    let server = WebServer::named("people.localhost");
    server.put("/directory.json", PEOPLE);
    let host = host_beside(&server);
    let people = people(&host, &server);
    people.verify();
    people.sync();
    for broken in ["<html>down for maintenance</html>", r#"{"users": []}"#, ""] {
        server.put("/directory.json", broken);
        people.sync_fails_and_changes_nothing("protocol");
    }
}

#[test]
fn the_example_says_why_somebody_is_not_here() {
    let server = WebServer::named("people.localhost");
    server.put("/directory.json", PEOPLE);
    let host = host_beside(&server);
    let people = people(&host, &server);
    people.verify();
    let failed = |who: &str| {
        let checks = people.explain(who);
        let failed = checks.iter().find(|check| check["outcome"] == "failed");
        failed.map(|check| check["id"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(failed("ada@example.com"), None);
    assert_eq!(failed("gone@example.com").as_deref(), Some("active"));
    assert_eq!(failed("nobody@example.com").as_deref(), Some("listed"));
}

#[test]
fn a_directory_of_a_provider_without_keys_has_none_to_show() {
    let server = WebServer::named("people.localhost");
    let host = host_beside(&server);
    let people = people(&host, &server);
    assert!(people.public_jwk().is_null());
    host.failure(&["directory", "key", "people"]);
}
