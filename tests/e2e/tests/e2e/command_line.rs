//! The command line itself: exit codes, JSON, help, completions, the manual, and what it says of plugins.

use crate::harness::{Host, Org, plugin};

#[test]
fn a_command_that_can_not_be_meant_exits_with_2() {
    let host = Host::new();
    for arguments in [
        &["frobnicate"][..],
        &["sync"],
        &["directory", "add"],
        &["directory", "set", "acme", "no-equals-sign"],
        &["export", "acme", "--no-such-option"],
    ] {
        let output = host.output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
        let failure = host.failure(arguments);
        assert_eq!(
            (failure.exit_code, failure.kind.as_str()),
            (2, "usage"),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_failure_is_told_to_people_on_standard_error_with_what_to_do() {
    let host = Host::new();
    let output = host.output(&["sync", "nothing"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("nothing"), "{text}");
    assert!(text.contains("directory list"), "{text}");
}

#[test]
fn exit_code_3_is_a_held_run_for_people_too() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    org.suspend_share_of_users(30);
    let output = host.output(&["sync", "acme"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.to_lowercase().contains("held"), "{text}");
    assert!(text.contains("20 %"), "{text}");
}

#[test]
fn people_are_told_in_tables_what_scripts_are_told_in_json() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let sync = host.text(&["sync", "acme"]);
    assert!(
        sync.contains("users") && sync.contains("groups") && sync.contains("memberships"),
        "{sync}"
    );
    let run = acme.runs()[0]["run"]
        .as_str()
        .expect("a run has an id")
        .to_owned();
    let list = host.text(&["run", "list"]);
    assert!(
        list.contains(&run) && list.contains("acme") && list.contains("succeeded"),
        "{list}"
    );
    assert!(host.text(&["run", "show", &run]).contains("created"));
    assert!(host.text(&["directory", "list"]).contains("acme"));
    assert!(host.text(&["directory", "show", "acme"]).contains(org.domain()));
    assert!(
        host.text(&["directory", "verify", "acme"])
            .contains("okta.users.read")
    );
}

#[test]
fn every_option_has_an_environment_variable() {
    let help = Host::new().text(&["--help"]);
    for option in [
        "DATA_DIR",
        "PLUGINS",
        "TENANT",
        "CA_CERT",
        "ALLOW_PRIVATE_EGRESS",
        "JSON",
    ] {
        assert!(help.contains(&format!("IDSYNC_{option}")), "{option}:\n{help}");
    }
    let host = Host::new().with_variable("IDSYNC_JSON", "1");
    let output = host.output(&["tenant", "list"]);
    serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("IDSYNC_JSON is --json");
}

#[test]
fn completions_are_printed_for_each_shell() {
    let host = Host::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = host.text(&["completions", shell]);
        assert!(
            script.contains("idsync") && script.contains("directory"),
            "{shell}"
        );
    }
    assert!(!host.data_dir().exists(), "what needs no data makes none");
}

#[test]
fn the_manual_has_every_command() {
    let page = Host::new().text(&["man"]);
    assert!(page.contains(".TH"), "it is a roff page");
    for command in ["verify", "explain", "export", "inspect", "sync"] {
        assert!(page.contains(command), "{command}");
    }
}

#[test]
fn plugin_list_names_the_provider_and_its_version() {
    let list = Host::new().json(&["plugin", "list"]);
    let okta = &list.as_array().expect("it is a list")[0];
    assert_eq!(okta["id"], "okta", "{list:#}");
    assert!(okta["version"].is_string(), "{list:#}");
}

#[test]
fn plugin_inspect_shows_name_version_settings_hosts_imports_and_size() {
    let host = Host::new();
    let path = plugin("okta").display().to_string();
    let seen = host.json(&["plugin", "inspect", &path]);
    assert_eq!(
        (&seen["id"], &seen["name"]),
        (&"okta".into(), &"Okta".into()),
        "{seen:#}"
    );
    assert!(seen["version"].is_string(), "{seen:#}");
    assert_eq!(seen["hosts"], serde_json::json!(["{okta_domain}"]), "{seen:#}");
    let settings = seen["settings"].to_string();
    assert!(
        ["okta_domain", "client_id", "app_id"]
            .iter()
            .all(|name| settings.contains(name)),
        "{seen:#}"
    );
    let imports = seen["imports"].to_string();
    assert!(
        imports.contains("wasi:http/outgoing-handler") && imports.contains("identity-store"),
        "{seen:#}"
    );
    assert!(
        !imports.contains("filesystem") && !imports.contains("sockets"),
        "{seen:#}"
    );
    let size = std::fs::metadata(&path).expect("it was built").len();
    assert!(seen.to_string().contains(&size.to_string()), "{seen:#}");

    let text = host.text(&["plugin", "inspect", &path]);
    assert!(
        text.contains("Okta") && text.contains("okta_domain") && text.contains("wasi:http"),
        "{text}"
    );
}

#[test]
fn a_new_directory_tells_what_to_do_next() {
    let host = Host::new();
    let text = host.text(&["directory", "add", "--provider", "okta", "--name", "acme"]);
    assert!(text.contains("acme") && text.contains("draft"), "{text}");
    assert!(text.contains("\"kty\""), "the key is shown, to be pasted: {text}");
    assert!(text.contains("directory verify"), "{text}");
}
