//! Plugins that misbehave: each is stopped with a clear error, and the host and other runs go on.

use crate::harness::{Directory, Host, Org, WebServer, test_plugin};

/// A directory of the hostile plugin, which behaves until it was verified and misbehaves in `sync`.
fn hostile<'a>(host: &'a Host, behaviour: &str) -> Directory<'a> {
    let directory = host.added(
        "hostile",
        "hostile",
        &[
            &format!("behaviour={behaviour}"),
            "only_in_sync=yes",
            "host=elsewhere.localhost",
        ],
    );
    assert!(directory.verify().is_verified());
    directory
}

/// Syncs while the plugin misbehaves; the run fails with the kind, and its error names what happened.
fn stopped(behaviour: &str, kind: &str, named: &str) {
    let host = Host::new().with_test_plugins();
    let directory = hostile(&host, behaviour);

    let report = directory.sync_fails_and_changes_nothing(kind);

    let text = report.error_text().to_lowercase();
    assert!(
        text.contains(named),
        "`{behaviour}` is told with `{named}`: {text}"
    );

    directory.set(&["behaviour=none"]);
    assert!(directory.verify().is_verified());
    let report = directory.sync();
    assert_eq!(report.count("users", "created"), 1, "the host goes on");
}

#[test]
fn a_plugin_that_loops_is_stopped() {
    stopped("spin", "plugin", "endless loop");
}

#[test]
fn a_plugin_that_eats_memory_is_stopped() {
    stopped("memory", "plugin", "memory");
}

#[test]
fn a_plugin_that_traps_or_panics_is_stopped_and_its_last_words_are_told() {
    stopped("trap", "plugin", "unreachable");
    stopped("panic", "plugin", "the sky is falling");
}

#[test]
fn a_plugin_that_recurses_without_end_is_stopped() {
    stopped("deep-recursion", "plugin", "stack");
}

#[test]
fn a_plugin_that_floods_the_log_is_stopped() {
    stopped("flood-log", "plugin", "log");
    stopped("flood-stderr", "plugin", "log");
}

#[test]
fn a_plugin_that_hoards_handles_is_stopped() {
    stopped("handles", "plugin", "open at once");
}

#[test]
fn a_plugin_that_sends_too_much_over_the_boundary_is_stopped() {
    stopped("big-call", "plugin", "in one call");
}

#[test]
fn a_plugin_that_ends_the_process_ends_only_itself() {
    stopped("exit", "plugin", "exit");
}

#[test]
fn runs_1_1_a_plugin_that_leaves_a_member_list_open_has_not_read_it() {
    stopped("no-close", "plugin", "last page");
}

#[test]
fn a_plugin_that_asks_for_a_host_it_did_not_name_is_stopped() {
    stopped("other-host", "plugin", "elsewhere.example");
}

#[test]
fn a_plugin_that_asks_for_loopback_reaches_nothing() {
    let server = WebServer::named("inside.localhost");
    let host = Host::new().with_test_plugins().trusting(&server.ca());
    let at_a_port = host.added(
        "at-a-port",
        "hostile",
        &["behaviour=own-host", &format!("host={}", server.authority())],
    );
    assert_eq!(at_a_port.verify_fails().kind, "invalid-settings");
    for inside in [
        "inside.localhost",
        "localhost",
        "127.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        let name = format!("at-{}", inside.replace(['.', ':'], "-"));
        let setting = format!("host={inside}");
        let directory = host.added(
            &name,
            "hostile",
            &["behaviour=own-host", "only_in_sync=yes", &setting],
        );
        assert!(directory.verify().is_verified());
        let report = directory.sync_any(&[]);
        assert_eq!(
            (report.exit_code(), report.outcome()),
            (1, "failed"),
            "{inside}: {report:#?}"
        );
    }
    assert!(server.asked().is_empty());
}

#[test]
fn control_characters_of_a_plugin_do_not_reach_the_terminal() {
    let host = Host::new().with_test_plugins();
    let directory = hostile(&host, "escape-codes");
    let output = host.output(&["sync", directory.id()]);
    let all = [output.stdout, output.stderr].concat();
    assert!(!all.contains(&0x1b), "{}", String::from_utf8_lossy(&all));
}

#[test]
fn a_plugin_that_misbehaves_while_it_verifies_is_stopped_too() {
    let host = Host::new().with_test_plugins();
    let directory = host.added("hostile", "hostile", &["behaviour=trap"]);
    let failure = directory.verify_fails();
    assert_eq!(failure.kind, "plugin", "{failure:?}");
}

#[test]
fn other_directories_go_on_beside_a_plugin_that_loops() {
    let org = Org::of(30, 4, 6).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let plugins = host.scratch().join("both");
    std::fs::create_dir(&plugins).expect("the folder of the test can be written");
    for (name, file) in [
        ("okta", crate::harness::plugin("okta")),
        ("hostile", test_plugin("test-plugin-hostile")),
    ] {
        std::fs::copy(file, plugins.join(format!("{name}.wasm"))).expect("the plugin was built");
    }
    let both = host.copy().with_plugins(&plugins);
    let looping = hostile(&both, "spin").start_sync(&[]);

    let acme = acme.on(&both);
    acme.sync();

    assert_eq!(acme.export().rows(), org.expected());
    looping.kill();
}
