//! Bad input: each is refused with the reason and what to do, or mended where it is clear what was meant.

use std::fs;

use crate::harness::{Host, Org, test_plugin};

/// Adds a directory with this domain, and answers the domain that was kept or what is said against it.
fn domain_kept(entered: &str) -> Result<String, String> {
    let host = Host::new();
    let setting = format!("okta_domain={entered}");
    let arguments = [
        "directory",
        "add",
        "--provider",
        "okta",
        "--name",
        "acme",
        "--set",
        &setting,
    ];
    let (exit_code, document) = host.json_any(&arguments);
    if exit_code == 0 {
        Ok(document["settings"]["okta_domain"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    } else {
        Err(format!(
            "{} {}",
            document["error"]["summary"], document["error"]["hint"]
        ))
    }
}

#[test]
fn a_domain_is_mended_where_it_is_clear_what_was_meant() {
    for entered in [
        "acme.okta.com",
        "https://acme.okta.com",
        "http://acme.okta.com",
        "https://acme.okta.com/",
        "https://acme-admin.okta.com/admin/dashboard",
        "acme-admin.okta.com",
        "ACME.Okta.com",
        " acme.okta.com ",
    ] {
        assert_eq!(
            domain_kept(entered).as_deref(),
            Ok("acme.okta.com"),
            "`{entered}`"
        );
    }
}

#[test]
fn what_was_mended_is_said() {
    let host = Host::new();
    let text = host.output(&[
        "directory",
        "add",
        "--provider",
        "okta",
        "--name",
        "acme",
        "--set",
        "okta_domain=https://acme-admin.okta.com/",
    ]);
    let all = [text.stdout, text.stderr].concat();
    let all = String::from_utf8_lossy(&all).into_owned();
    assert!(text.status.success(), "{all}");
    assert!(all.contains("admin"), "{all}");
}

#[test]
fn a_domain_that_can_not_be_one_is_refused_with_the_reason() {
    for entered in [
        "10.0.0.1",
        "[::1]",
        "acme",
        "me@acme.com",
        "acme okta com",
        "acme.okta.com:x",
    ] {
        let kept = domain_kept(entered);
        let reason = kept.expect_err(&format!("`{entered}` is refused"));
        assert!(reason.contains("okta_domain"), "`{entered}`: {reason}");
    }
}

#[test]
fn a_port_is_kept_and_refused_by_the_host_unless_it_was_allowed() {
    assert_eq!(
        domain_kept("acme.okta.com:8443").as_deref(),
        Ok("acme.okta.com:8443")
    );

    let org = Org::of(20, 3, 4).start();
    let host = Host::new().trusting(org.ca());
    let acme = host.draft("acme", &org);
    org.register_key(acme.public_jwk());
    let failure = acme.verify_fails();
    assert_eq!(failure.kind, "invalid-settings");
    assert!(failure.text().contains("port 443"), "{failure:?}");
    assert_eq!(org.requests().len(), 0);
}

#[test]
fn an_unknown_provider_is_refused_and_the_known_ones_are_named() {
    let failure = Host::new().failure(&["directory", "add", "--provider", "entra", "--name", "acme"]);
    assert!(
        failure.text().contains("entra") && failure.text().contains("okta"),
        "{failure:?}"
    );
}

#[test]
fn an_unknown_setting_is_refused_and_the_known_ones_are_named() {
    let failure = Host::new().failure(&[
        "directory",
        "add",
        "--provider",
        "okta",
        "--name",
        "acme",
        "--set",
        "colour=blue",
    ]);
    assert!(
        failure.text().contains("colour") && failure.text().contains("okta_domain"),
        "{failure:?}"
    );
}

#[test]
fn a_refused_directory_leaves_nothing_behind() {
    let host = Host::new();
    host.failure(&[
        "directory",
        "add",
        "--provider",
        "okta",
        "--name",
        "acme",
        "--set",
        "colour=blue",
    ]);
    assert_eq!(
        host.json(&["directory", "list"]).as_array().map(Vec::len),
        Some(0)
    );
}

#[test]
fn a_refused_setting_leaves_the_old_one() {
    let host = Host::new();
    let acme = host.added("acme", "okta", &["okta_domain=acme.okta.com"]);
    let failure = host.failure(&["directory", "set", "acme", "okta_domain=10.0.0.1"]);
    assert!(failure.text().contains("okta_domain"), "{failure:?}");
    assert_eq!(acme.show()["settings"]["okta_domain"], "acme.okta.com");
}

#[test]
fn a_name_is_given_once_in_a_tenant() {
    let host = Host::new();
    host.added("acme", "okta", &[]);
    let failure = host.failure(&["directory", "add", "--provider", "okta", "--name", "acme"]);
    assert!(failure.text().contains("acme"), "{failure:?}");
}

#[test]
fn a_file_that_is_no_component_is_refused() {
    let host = Host::new();
    let plugins = host.scratch().join("plugins");
    fs::create_dir(&plugins).expect("the folder of the test can be written");
    let broken = plugins.join("broken.wasm");
    for bytes in [&b"this is no component"[..], b"", b"\0asm\x01\0\0\0"] {
        fs::write(&broken, bytes).expect("the folder of the test can be written");
        let path = broken.display().to_string();
        let failure = host.failure(&["plugin", "inspect", &path]);
        assert!(failure.text().contains("broken.wasm"), "{failure:?}");
        assert!(failure.text().contains("wasm32-wasip2"), "{failure:?}");
    }
}

#[test]
fn a_broken_file_beside_the_plugins_does_not_take_them_away() {
    let host = Host::new();
    let plugins = host.scratch().join("plugins");
    fs::create_dir(&plugins).expect("the folder of the test can be written");
    fs::copy(crate::harness::plugin("okta"), plugins.join("okta.wasm")).expect("the plugin was built");
    fs::write(plugins.join("broken.wasm"), b"this is no component").expect("the folder can be written");
    let host = host.with_plugins(&plugins);

    host.added("acme", "okta", &[]);

    let list = host.output(&["plugin", "list"]);
    let all = [list.stdout, list.stderr].concat();
    let all = String::from_utf8_lossy(&all).into_owned();
    assert!(all.contains("okta") && all.contains("broken.wasm"), "{all}");
}

#[test]
fn a_component_with_another_world_is_refused() {
    let path = test_plugin("test-plugin-other-world").display().to_string();
    let failure = Host::new().failure(&["plugin", "inspect", &path]);
    assert!(
        failure.text().contains("idsync:plugin/directory-sync@0.1.0"),
        "{failure:?}"
    );
}

#[test]
fn a_component_that_imports_the_file_system_is_refused_by_the_name_of_the_import() {
    let path = test_plugin("test-plugin-filesystem").display().to_string();
    let failure = Host::new().failure(&["plugin", "inspect", &path]);
    assert!(failure.text().contains("wasi:filesystem"), "{failure:?}");
}

#[test]
fn a_plugins_folder_that_is_not_there_is_named() {
    let host = Host::new();
    let nowhere = host.scratch().join("nowhere");
    let host = host.with_plugins(&nowhere);
    let failure = host.failure(&["directory", "add", "--provider", "okta", "--name", "acme"]);
    assert!(failure.text().contains("nowhere"), "{failure:?}");
}

#[test]
fn a_data_directory_of_a_newer_version_is_left_alone() {
    let host = Host::new();
    host.added("acme", "okta", &[]);
    let store = store_file(&host);
    let newer = rewrite_user_version(&store, 9_999);

    let failure = host.failure(&["directory", "list"]);

    assert!(
        failure.text().contains("9999") && failure.text().contains("later one"),
        "{failure:?}"
    );
    assert_eq!(
        fs::read(&store).expect("it is still there"),
        newer,
        "the store was not touched"
    );
}

#[test]
fn a_store_that_is_no_store_is_refused_and_left_alone() {
    let host = Host::new();
    host.added("acme", "okta", &[]);
    let store = store_file(&host);
    for leftover in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{leftover}", store.display()));
    }
    let garbage = b"this is no database ".repeat(1_000);
    fs::write(&store, &garbage).expect("the file can be written");

    let failure = host.failure(&["directory", "list"]);

    assert!(!failure.summary.is_empty());
    assert_eq!(fs::read(&store).expect("it is still there"), garbage);
}

#[test]
fn a_data_directory_that_can_not_be_made_is_told_with_its_path() {
    let host = Host::new();
    // Whoever runs the tests may be root, whom no mode keeps out: a file stands where the directory should be.
    fs::write(host.data_dir(), b"").expect("the folder of the test can be written");
    let failure = host.failure(&["directory", "list"]);
    assert!(
        failure.text().contains(&host.data_dir().display().to_string()),
        "{failure:?}"
    );
}

#[test]
fn a_ca_certificate_that_is_none_is_told_with_its_path_before_anything_is_begun() {
    let host = Host::new();
    let file = host.scratch().join("no-certificate.pem");
    fs::write(&file, b"hello").expect("the folder of the test can be written");
    let missing = host.scratch().join("missing.pem");
    for (host, name) in [
        (Host::new().trusting(&file), "no-certificate.pem"),
        (Host::new().trusting(&missing), "missing.pem"),
    ] {
        for command in [
            &["sync", "acme"][..],
            &["directory", "verify", "acme"],
            &["directory", "explain", "acme", "ada"],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            let failure = host.failure(command);
            assert_eq!(
                (failure.exit_code, failure.kind.as_str()),
                (2, "usage"),
                "{failure:?}"
            );
            assert!(failure.text().contains(name), "{failure:?}");
            assert!(failure.hint.contains("--ca-cert"), "{failure:?}");
        }
        assert!(!host.data_dir().exists(), "nothing was begun");
    }
}

#[test]
fn a_ca_certificate_that_is_gone_holds_up_no_command_that_asks_nobody() {
    let host = Host::new();
    let missing = host.scratch().join("missing.pem");
    let host = host.trusting(&missing);
    let acme = host.added("acme", "okta", &[]);
    acme.show();
    for command in [
        &["tenant", "list"][..],
        &["directory", "list"],
        &["directory", "key", "acme"],
        &["plugin", "list"],
        &["run", "list"],
    ] {
        host.json(command);
    }
}

/// The store's file in a data directory: the one that SQLite wrote.
fn store_file(host: &Host) -> std::path::PathBuf {
    let files = fs::read_dir(host.data_dir()).expect("the host made it");
    files
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.is_file() && fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"))
        })
        .expect("the data directory has a store")
}

/// Sets `user_version`, which says what version of idsync wrote the store: bytes 60 to 63 of the file (SQLite's file
/// format, section 1.3). Answers the file's bytes.
fn rewrite_user_version(store: &std::path::Path, version: u32) -> Vec<u8> {
    for leftover in ["-wal", "-shm"] {
        let path = format!("{}{leftover}", store.display());
        assert!(
            !fs::metadata(&path).is_ok_and(|log| log.len() > 0),
            "the store is whole in its file once no command runs"
        );
    }
    let mut bytes = fs::read(store).expect("the store can be read");
    bytes[60..64].copy_from_slice(&version.to_be_bytes());
    fs::write(store, &bytes).expect("the store can be written");
    bytes
}

#[test]
fn a_disk_that_takes_no_more_fails_the_run_as_the_hosts_own_fault_and_loses_nothing() {
    let org = Org::of(2_000, 40, 50).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let before = acme.export();

    let output = host.output_within(512, &["--json", "sync", acme.id()]);

    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("it prints one JSON document");
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["error"]["kind"], "host", "{report:#}");
    assert!(report["error"]["hint"].to_string().contains("disk"), "{report:#}");
    assert_eq!(acme.export(), before);
    acme.sync();
    assert_eq!(acme.export().rows(), org.expected());
}
