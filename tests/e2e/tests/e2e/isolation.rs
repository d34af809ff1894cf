//! Tenants: what belongs to one is "not found" to another, in the same words as what never was.

use crate::harness::{Host, Org};

#[test]
fn another_tenants_ids_are_not_found_in_the_words_of_ids_that_never_were() {
    let org = Org::of(20, 3, 4).start();
    let mut host = Host::beside(&org);
    let (id, run) = {
        let acme = host.connected("acme", &org);
        (acme.id().to_owned(), acme.sync().run().to_owned())
    };
    host.json(&["tenant", "add", "other"]);
    host.as_tenant("other");

    let never = "dir_00000000000070008000000000000000";
    for command in [
        "directory show ID",
        "directory set ID client_id=0oaabc",
        "directory key ID",
        "directory verify ID",
        "directory enable ID",
        "directory disable ID",
        "directory remove --yes ID",
        "directory explain ID someone",
        "sync ID",
        "export ID",
        "run list --directory ID",
    ] {
        let refused = |id: &str| {
            let arguments: Vec<_> = command
                .split(' ')
                .map(|word| if word == "ID" { id } else { word })
                .collect();
            let failure = host.failure(&arguments);
            assert_eq!(
                (failure.exit_code, failure.kind.as_str()),
                (1, "unknown-id"),
                "{command}: {failure:?}"
            );
            failure.text().replace(id, "ID")
        };
        assert_eq!(refused(&id), refused(never), "{command}");
        assert_eq!(refused("acme"), refused("nothing"), "{command}");
    }
    let failure = host.failure(&["run", "show", &run]);
    assert_eq!(failure.kind, "unknown-id");
    assert_eq!(
        host.json(&["directory", "list"]).as_array().map(Vec::len),
        Some(0)
    );
    assert_eq!(host.json(&["run", "list"]).as_array().map(Vec::len), Some(0));

    host.as_tenant("default");
    assert_eq!(
        host.json(&["directory", "show", &id])["name"],
        "acme",
        "the other tenant changed nothing"
    );
}

#[test]
fn two_tenants_sync_one_org_apart_and_under_one_name() {
    let org = Org::of(30, 4, 6).start();
    let mut host = Host::beside(&org);
    host.json(&["tenant", "add", "other"]);
    let first_key = {
        let acme = host.connected("acme", &org);
        acme.sync();
        acme.public_jwk().clone()
    };
    host.as_tenant("other");
    {
        let acme = host.connected("acme", &org);
        assert_ne!(
            *acme.public_jwk(),
            first_key,
            "each directory has a key of its own"
        );
        acme.sync();
        assert_eq!(acme.export().rows(), org.expected());
        host.json(&["directory", "remove", "--yes", "acme"]);
    }
    host.as_tenant("default");

    let rows = host.text(&["export", "acme"]);

    assert_eq!(rows.lines().count(), org.expected().len() + 1);
}

#[test]
fn a_tenant_that_does_not_exist_is_not_found() {
    let mut host = Host::new();
    host.as_tenant("nobody");
    let failure = host.failure(&["directory", "list"]);
    assert_eq!(failure.kind, "unknown-id");
    assert!(failure.text().contains("nobody"), "{failure:?}");
}

#[test]
fn a_tenant_with_directories_is_not_removed() {
    let mut host = Host::new();
    host.json(&["tenant", "add", "other"]);
    host.as_tenant("other");
    host.added("acme", "okta", &[]);
    host.as_tenant("default");
    host.failure(&["tenant", "remove", "other"]);
    host.as_tenant("other");
    host.json(&["directory", "remove", "--yes", "acme"]);
    host.as_tenant("default");
    host.json(&["tenant", "remove", "other"]);
    let tenants = host.json(&["tenant", "list"]);
    assert_eq!(tenants.as_array().map(Vec::len), Some(1), "{tenants:#}");
}

#[test]
fn runs_3_4_a_removed_directory_is_gone_with_all_that_readers_saw() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let id = acme.id().to_owned();

    host.json(&["directory", "remove", "--yes", "acme"]);

    for arguments in [
        vec!["directory", "show", &id],
        vec!["export", &id],
        vec!["directory", "key", &id],
    ] {
        assert_eq!(host.failure(&arguments).kind, "unknown-id");
    }
    let runs = host.json(&["run", "list"]);
    let removal = &runs[0];
    assert_eq!(
        (&removal["trigger"], &removal["outcome"]),
        (&"removal".into(), &"succeeded".into()),
        "{runs:#}"
    );

    let again = host.draft("acme", &org);
    assert_ne!(again.id(), id, "an id is never used again");
    assert_ne!(again.public_jwk(), acme.public_jwk());
}
