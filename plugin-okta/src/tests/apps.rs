//! Several apps: what they share, and what becomes of one that is inactive, gone or refused.

use std::time::Duration;

use serde_json::json;

use super::{OTHER, fails_on, run};
use crate::failure::ErrorKind;
use crate::fake::{APP, FakeHost, Org, Reply, group_row, user_row};

/// Users 0 to 3 and groups 0 and 1 in the first app, users 2 to 5 and groups 1 and 2 in the other.
fn overlapping() -> Org {
    let mut org = Org::new(4, 2);
    org.apps.insert(OTHER.to_owned(), "ACTIVE".to_owned());
    org.app_users
        .insert(OTHER.to_owned(), (2..6).map(user_row).collect());
    org.app_groups
        .insert(OTHER.to_owned(), (1..3).map(group_row).collect());
    org.members
        .insert("00g2".to_owned(), vec!["00u5".to_owned(), "00u9".to_owned()]);
    org
}

fn users(host: &FakeHost) -> Vec<String> {
    host.staged().users.keys().cloned().collect()
}

#[test]
fn runs_1_6_the_users_and_groups_of_two_apps_are_one_directory() {
    let host = FakeHost::new(overlapping());
    run(&host).unwrap();
    assert_eq!(users(&host), ["00u0", "00u1", "00u2", "00u3", "00u4", "00u5"]);
    let staged = host.staged();
    assert_eq!(staged.closed(), ["00g0", "00g1", "00g2"]);
    assert_eq!(
        host.org.borrow().asked_for("/groups/00g1/users?limit"),
        1,
        "what both name is read once"
    );
    assert!(
        staged.groups["00g2"].members.contains("00u9"),
        "whoever is listed, synced or not"
    );
}

#[test]
fn runs_1_6_the_later_answer_about_a_user_wins() {
    let mut org = overlapping();
    org.app_users.get_mut(OTHER).unwrap()[0]["_embedded"]["user"]["profile"]["email"] =
        json!("new@acme.test");
    org.fault("0oaapp2/users?limit", 1, {
        let rows = org.app_users[OTHER].clone();
        move || Reply::json(200, &json!(rows)).after(Duration::from_secs(5))
    });
    let host = FakeHost::new(org);
    run(&host).unwrap();
    assert_eq!(host.staged().users["00u2"].email, "new@acme.test");
}

#[test]
fn runs_1_6_of_two_versions_of_a_group_the_one_before_its_members_stands() {
    let mut org = overlapping();
    let newer = "2026-03-03T03:03:03.000Z";
    org.app_groups.get_mut(OTHER).unwrap()[0]["_embedded"]["group"]["lastMembershipUpdated"] = json!(newer);
    let rows = org.app_groups[OTHER].clone();
    org.fault("0oaapp2/groups?limit", 1, move || {
        Reply::json(200, &json!(rows)).after(Duration::from_secs(5))
    });
    let host = FakeHost::new(org);
    run(&host).unwrap();
    let version = host.staged().groups["00g1"].group.members_changed_at;
    assert_eq!(
        version,
        crate::clock::parse_timestamp_ms("2026-01-02T03:04:05.000Z")
    );
}

#[test]
fn runs_1_5_who_is_only_in_an_inactive_app_is_not_read() {
    let mut org = overlapping();
    org.apps.insert(OTHER.to_owned(), "INACTIVE".to_owned());
    let host = FakeHost::new(org);
    run(&host).unwrap();
    assert_eq!(users(&host), ["00u0", "00u1", "00u2", "00u3"]);
    assert_eq!(host.staged().closed(), ["00g0", "00g1"]);
    assert_eq!(host.org.borrow().asked_for(&format!("{OTHER}/")), 0);
}

#[test]
fn runs_1_5_an_app_that_is_gone_takes_along_who_was_only_there_and_is_told() {
    let host = FakeHost::new(overlapping());
    run(&host).unwrap();
    host.org.borrow_mut().apps.remove(OTHER);
    host.roll_back();
    let summary = run(&host).unwrap();
    assert_eq!(users(&host), ["00u0", "00u1", "00u2", "00u3"]);
    assert!(
        summary.notes.iter().any(|note| note.contains(OTHER)),
        "{:?}",
        summary.notes
    );
}

#[test]
fn runs_1_5_an_app_that_goes_while_it_is_read_ends_the_run() {
    let (host, failure) = fails_on("0oaapp1/groups", 9, || Reply::error(404, "E0000007"));
    assert_eq!(failure.kind, ErrorKind::NotFound);
    assert!(failure.hint.contains(APP), "{}", failure.hint);
    assert!(host.memory.borrow().is_empty());
}

#[test]
fn runs_1_5_a_group_that_was_left_out_and_is_named_after_all_is_asked_for_again() {
    let mut org = overlapping();
    // The first app's group is gone for a moment; the other app's listing comes later and names it.
    org.fault("GET /api/v1/groups/00g1/users", 1, || {
        Reply::error(404, "E0000007")
    });
    org.fault("GET /api/v1/apps/0oaapp1/groups/00g1", 1, || {
        Reply::error(404, "E0000007")
    });
    let rows = org.app_groups[OTHER].clone();
    org.fault("0oaapp2/groups?limit", 1, move || {
        Reply::json(200, &json!(rows)).after(Duration::from_secs(5))
    });
    let host = FakeHost::new(org);
    run(&host).unwrap();
    assert_eq!(*host.dropped.borrow(), ["00g1"]);
    assert_eq!(host.staged().closed(), ["00g0", "00g1", "00g2"]);
}

#[test]
fn runs_1_5_an_app_that_names_a_group_while_another_is_asked_for_it_counts() {
    let mut org = overlapping();
    org.members.remove("00g1");
    org.fault("GET /api/v1/apps/0oaapp1/groups/00g1", 1, || {
        Reply::error(404, "E0000007").after(Duration::from_secs(9))
    });
    let rows = org.app_groups[OTHER].clone();
    org.fault("0oaapp2/groups?limit", 1, move || {
        Reply::json(200, &json!(rows)).after(Duration::from_secs(5))
    });
    let host = FakeHost::new(org);
    assert_eq!(run(&host).unwrap_err().kind, ErrorKind::Forbidden);
    assert!(host.dropped.borrow().is_empty());
}

#[test]
fn runs_1_4_an_empty_app_beside_a_full_one_is_probed_and_believed() {
    let mut org = overlapping();
    org.app_users.insert(OTHER.to_owned(), Vec::new());
    org.app_groups.insert(OTHER.to_owned(), Vec::new());
    let host = FakeHost::new(org);
    run(&host).unwrap();
    assert_eq!(host.org.borrow().asked_for("/api/v1/users?limit=1"), 1);
    assert_eq!(host.org.borrow().asked_for("/api/v1/groups?limit=1"), 1);
    assert_eq!(users(&host).len(), 4);
}

#[test]
fn runs_1_7_who_moves_between_pages_is_one_when_seen_twice_and_no_failure_when_missed() {
    let mut org = Org::new(6, 1);
    // A row has moved back by one page: its own page shows another in its place.
    org.fault("0oaapp1/users?after=2", 1, || {
        Reply::json(200, &json!([user_row(1), user_row(2)])).header(
            "link",
            "<https://acme.okta.com/api/v1/apps/0oaapp1/users?after=4&limit=2>; rel=\"next\"",
        )
    });
    let host = FakeHost::new(org);
    run(&host).unwrap();
    assert_eq!(users(&host), ["00u0", "00u1", "00u2", "00u4", "00u5"]);
}

#[test]
fn runs_1_1_a_listing_that_is_not_read_to_its_last_page_is_no_success() {
    for target in [
        "0oaapp1/users?after=4",
        "0oaapp1/groups?after=2",
        "/groups/00g2/users?after=4",
        "/api/v1/apps?",
    ] {
        for status in [403, 503] {
            let (host, _) = fails_on(target, 99, move || Reply::error(status, "E0000009"));
            assert!(host.memory.borrow().is_empty(), "{target}");
        }
    }
}
