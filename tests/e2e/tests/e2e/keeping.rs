//! What is kept over years: a backup that is restored, a key that is replaced.

use std::fs;

use crate::harness::{Host, Org, copy_folder};

#[test]
fn runs_8_4_a_restored_backup_starts_a_new_feed_and_syncs_on() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let cursor = host.cursor(acme.id());
    let backup = host.scratch().join("backup");
    host.json(&["backup", backup.to_str().expect("the path is UTF-8")]);
    org.add_user("after.the.backup@acme.example");
    acme.sync();

    fs::remove_dir_all(host.data_dir()).expect("the data directory is the test's");
    copy_folder(&backup, &host.data_dir());

    assert!(!acme.export().mentions("after.the.backup"));
    let failure = host.failure(&["changes", "--since", &cursor]);
    assert_eq!(failure.kind, "feed-position", "{failure:?}");
    acme.sync();
    assert_eq!(acme.export().rows(), org.expected());
    assert!(
        host.output(&["backup", backup.to_str().expect("the path is UTF-8")])
            .status
            .code()
            == Some(1),
        "a backup never overwrites another"
    );
}

#[test]
fn runs_8_4_a_store_that_moved_or_was_replaced_by_an_older_copy_starts_a_new_feed() {
    let org = Org::of(30, 3, 5).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let cursor = host.cursor(acme.id());
    let copy = host.copy();
    let failure = copy.failure(&["changes", "--since", &cursor]);
    assert_eq!(failure.kind, "feed-position", "{failure:?}");
    assert_eq!(
        host.text(&["changes", "--since", &cursor]),
        "",
        "the original goes on"
    );
}

#[test]
fn runs_7_2_a_key_is_replaced_without_a_gap() {
    let org = Org::of(30, 3, 5).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let first = acme.show()["kid"].clone();

    let second = host.json(&["directory", "rotate-key", acme.id()]);
    let verification = acme.verify();
    assert!(
        !verification.is_verified(),
        "the org does not know the second key yet"
    );
    acme.sync();
    assert_eq!(acme.show()["kid"], first, "runs use the first key");

    org.register_key(&second["next_public_jwk"]);
    assert!(acme.verify().is_verified());
    assert_ne!(acme.show()["kid"], first);
    org.forget_keys();
    org.register_key(&second["next_public_jwk"]);
    acme.sync();
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn runs_7_2_a_second_key_can_be_given_up() {
    let org = Org::of(30, 3, 5).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let first = acme.show()["kid"].clone();
    host.json(&["directory", "rotate-key", acme.id()]);
    let twice = host.failure(&["directory", "rotate-key", acme.id()]);
    assert_eq!(twice.exit_code, 1, "{twice:?}");
    host.json(&["directory", "rotate-key", acme.id(), "--abort"]);
    assert!(acme.verify().is_verified());
    assert_eq!(acme.show()["kid"], first);
    let nothing = host.failure(&["directory", "rotate-key", acme.id(), "--abort"]);
    assert_eq!(nothing.exit_code, 1, "{nothing:?}");
}

#[test]
fn runs_7_3_a_tenant_has_one_directory_for_one_app_of_one_org() {
    let org = Org::of(30, 3, 5).start();
    let mut host = Host::beside(&org);
    host.connected("acme", &org);
    {
        let twin = host.draft("twin", &org);
        org.register_key(twin.public_jwk());
        let failure = twin.verify_fails();
        assert!(failure.text().contains("acme"), "{failure:?}");
    }
    host.json(&["tenant", "add", "other"]);
    host.as_tenant("other");
    host.connected("acme", &org).sync();
}
