//! The reader of recordings, on a folder of its own whose answers have the shapes of real ones.

use std::path::Path;

use plugin_okta::recordings::check;

#[test]
fn answers_of_okta_s_shapes_are_read_and_others_are_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let report = check(&folder).unwrap();
    let users = &report.categories["app-users-list"];
    assert_eq!(
        (users.read, users.rows, users.next_links, users.rate_limits),
        (1, 1, 1, 1)
    );
    assert_eq!(report.categories["error"].read, 1);
    assert_eq!(report.categories["system-log"].never_met, 1);
    let failed = &report.categories["apps-list"].failed;
    assert_eq!(failed.len(), 1);
    assert!(failed[0].1.contains("id"), "{failed:?}");
    assert!(!report.is_clean());
}

#[test]
fn a_folder_without_recordings_is_an_error_that_names_the_file() {
    let error = check(Path::new("no-such-folder")).unwrap_err();
    assert!(error.to_string().contains("index.json"));
}
