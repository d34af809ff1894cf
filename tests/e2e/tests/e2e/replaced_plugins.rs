//! A plugin that is replaced on disk: the next run uses it, if it fits.

use crate::harness::{Directory, Host};

/// A directory of the test's plugin, which was synced once.
fn synced(host: &Host) -> Directory<'_> {
    let directory = host.added(
        "people",
        "hostile",
        &["behaviour=none", "only_in_sync=yes", "host=elsewhere.localhost"],
    );
    assert!(directory.verify().is_verified());
    directory.sync();
    directory
}

#[test]
fn runs_7_4_a_new_major_version_is_verified_by_the_host_itself_which_says_so() {
    let host = Host::new().with_test_plugins();
    let people = synced(&host);
    host.rewrite_plugin("hostile", "1.0.0", "2.0.0");

    let report = people.sync();

    assert_eq!(
        report.mode(),
        "full",
        "after a change of the plugin everything is read"
    );
    let notes = report.document()["notes"].to_string();
    assert!(notes.contains("2.0.0") && notes.contains("1.0.0"), "{notes}");
    assert!(people.show()["verified"].as_bool().expect("it says so"));
    let again = people.sync();
    assert!(
        !again.document()["notes"].to_string().contains("1.0.0"),
        "{again:#?}"
    );
}

#[test]
fn runs_7_4_settings_that_no_longer_fit_the_plugin_make_the_directory_unverified() {
    let host = Host::new().with_test_plugins();
    let people = synced(&host);
    let before = people.export();
    host.rewrite_plugin("hostile", "only_in_sync", "only_in_sink");

    let show = people.show();
    assert!(!show["verified"].as_bool().expect("it says so"), "{show:#}");
    let (exit_code, document) = host.json_any(&["sync", people.id()]);

    assert_eq!(exit_code, 1, "{document:#}");
    assert!(document.to_string().contains("only_in_sync"), "{document:#}");
    assert_eq!(people.export(), before);
    host.rewrite_plugin("hostile", "only_in_sink", "only_in_sync");
    assert!(people.show()["verified"].as_bool().expect("it says so"));
    people.sync();
}
