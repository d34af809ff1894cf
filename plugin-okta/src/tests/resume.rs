//! What a run that goes on asks for again, and what it makes of an org that changed meanwhile (RUNS §6.4).

use std::collections::HashSet;

use serde_json::json;

use super::{
    OTHER, assert_complete, cancelled_after, go_on, go_on_and_die, request, run, slow, targets, two_apps,
};
use crate::failure::ErrorKind;
use crate::fake::{APP, FakeHost, Org, Reply, settings, user_row};
use crate::host::Entity;
use crate::sync::sync;

const ALL_KINDS: [Entity; 3] = [Entity::User, Entity::Group, Entity::Membership];

#[test]
fn runs_6_4_no_page_is_asked_for_again_that_was_put_before_the_checkpoint() {
    for requests in [5, 8, 20, 40, 60] {
        let host = FakeHost::new(two_apps(20, 6));
        cancelled_after(&host, requests);
        let before = targets(&host, 0);
        go_on(&host).unwrap();
        let after: HashSet<String> = targets(&host, before.len()).into_iter().collect();
        let again: Vec<&String> = before
            .iter()
            .filter(|target| after.contains(*target))
            .filter(|target| target.contains("/users?") && !target.contains("groups?"))
            .collect();
        assert!(again.is_empty(), "{requests}: {again:?}");
        let undisturbed = FakeHost::new(two_apps(20, 6));
        run(&undisturbed).unwrap();
        assert_eq!(host.staged().seen(), undisturbed.staged().seen());
    }
}

#[test]
fn runs_6_4_a_good_run_after_twelve_killed_ones_asks_for_less_than_one_from_nothing() {
    let org = || {
        let mut org = two_apps(100, 60);
        org.page = 5;
        slow(org)
    };
    let undisturbed = org();
    run(&undisturbed).unwrap();
    let whole = undisturbed.org.borrow().asked.len();

    let host = org();
    for _ in 0..12 {
        assert!(
            go_on_and_die(&host, whole / 14).is_none(),
            "it is killed before its end"
        );
    }
    let before = host.org.borrow().asked.len();
    go_on(&host).unwrap();
    let last = host.org.borrow().asked.len() - before;
    assert!(last < whole * 3 / 4, "{last} instead of {whole}");
    assert_eq!(host.staged().seen(), undisturbed.staged().seen());

    let late = org();
    assert!(go_on_and_die(&late, whole * 9 / 10).is_none());
    go_on(&late).unwrap();
    let both = late.org.borrow().asked.len();
    assert!(both < whole * 5 / 4, "{both} instead of {whole}");
    assert_eq!(late.staged().seen(), undisturbed.staged().seen());
}

#[test]
fn runs_6_4_groups_by_the_thousand_leave_a_small_cursor_and_are_not_read_twice() {
    let mut org = Org::new(2, 1500);
    org.page = 200;
    let host = FakeHost::new(org);
    cancelled_after(&host, 1300);
    let cursor = host.roll_back().unwrap();
    assert!(cursor.len() < 4 << 10, "{}", cursor.len());
    let (before, closed) = (host.org.borrow().asked.len(), host.staged().closed().len());
    assert!(closed > 1200, "{closed}");
    go_on(&host).unwrap();
    assert_eq!(host.staged().closed().len(), 1500);
    let asked = host.org.borrow().asked.len() - before;
    assert!(asked < 1500 - closed + 25, "{asked}");
}

#[test]
fn runs_6_4_a_place_that_okta_refuses_begins_the_users_of_all_apps_again() {
    for status in [400, 404] {
        let host = FakeHost::new(two_apps(20, 2));
        cancelled_after(&host, 20);
        let at = host.org.borrow().asked.len();
        for app in [APP, OTHER] {
            host.org
                .borrow_mut()
                .fault(&format!("{app}/users?after="), 1, move || {
                    Reply::error(status, "E0000031")
                });
        }
        // Who left since then is not kept from what was read before.
        host.org.borrow_mut().app_users.get_mut(APP).unwrap().remove(0);
        go_on(&host).unwrap();
        assert_eq!(*host.restarts.borrow(), [Entity::Group, Entity::User], "{status}");
        assert!(!host.staged().users.contains_key("00u0"));
        assert_eq!(host.staged().users.len(), 29);
        let first_pages = targets(&host, at);
        let first_pages = first_pages.iter().filter(|t| t.contains("users?limit=500"));
        assert_eq!(first_pages.count(), 2, "each app's listing begins once");
    }
}

#[test]
fn runs_6_4_who_was_skipped_before_the_users_begin_again_is_still_told() {
    let mut org = Org::new(20, 1);
    org.app_users.get_mut(APP).unwrap()[0]["_embedded"]["user"]["profile"]["email"] = json!(null);
    org.fault("0oaapp1/users?after=8", 1, || Reply::error(400, "E0000031"));
    let host = FakeHost::new(org);
    run(&host).unwrap();
    assert_eq!(*host.restarts.borrow(), [Entity::User]);
    assert_eq!(host.staged().skips.len(), 1);
    assert_eq!(host.staged().users.len(), 19);
}

#[test]
fn runs_6_4_when_users_begin_again_no_listing_is_read_twice_side_by_side() {
    let mut org = Org::new(20, 0);
    for number in 2..30 {
        let app = format!("0oaapp{number}");
        org.apps.insert(app.clone(), "ACTIVE".to_owned());
        org.app_users.insert(app.clone(), (0..20).map(user_row).collect());
        org.app_groups.insert(app, Vec::new());
    }
    let refused = || Reply::error(400, "E0000031");
    org.fault("0oaapp1/users?after=2", 1, refused);
    let host = slow(org);
    run(&host).unwrap();
    assert_eq!(*host.restarts.borrow(), [Entity::User]);
    let last_pages = targets(&host, 0);
    let last_pages = last_pages.iter().filter(|t| t.contains("users?after=18"));
    assert_eq!(last_pages.count(), 29, "one of each app");
}

#[test]
fn runs_6_4_a_place_that_is_refused_in_every_run_ends_the_run() {
    let mut org = Org::new(20, 1);
    org.fault("0oaapp1/users?after=4", 9, || Reply::error(400, "E0000031"));
    let host = FakeHost::new(org);
    assert_eq!(run(&host).unwrap_err().kind, ErrorKind::Protocol);
    assert_eq!(host.org.borrow().asked_for("0oaapp1/users?after=4"), 2);
}

#[test]
fn runs_6_4_a_listing_of_groups_whose_place_is_refused_begins_again_and_no_list_is_read_twice() {
    let mut org = Org::new(3, 9);
    org.fault("0oaapp1/groups?after=4", 1, || Reply::error(404, "E0000007"));
    let host = FakeHost::new(org);
    run(&host).unwrap();
    assert_eq!(*host.restarts.borrow(), [Entity::Group]);
    assert_eq!(host.staged().closed().len(), 9);
    assert_eq!(host.org.borrow().asked_for("/groups/00g1/users?limit"), 1);
}

#[test]
fn runs_6_4_a_member_list_whose_place_is_refused_begins_again_alone() {
    for status in [400, 404] {
        let mut org = Org::new(5, 1);
        org.members
            .insert("00g0".to_owned(), (0..40).map(|n| format!("00u{n}")).collect());
        let host = FakeHost::new(org);
        cancelled_after(&host, 18);
        host.org
            .borrow_mut()
            .fault("/groups/00g0/users?after=", 1, move || {
                Reply::error(status, "E0000031")
            });
        host.org.borrow_mut().members.get_mut("00g0").unwrap().remove(0);
        let at = host.org.borrow().asked.len();
        go_on(&host).unwrap();
        assert_eq!(*host.restarts.borrow(), [Entity::Group]);
        let staged = host.staged();
        assert_eq!(
            staged.groups["00g0"].members.len(),
            39,
            "what was staged of it was dropped"
        );
        let users_again = targets(&host, at);
        assert!(
            !users_again
                .iter()
                .any(|target| target.contains("0oaapp1/users?limit"))
        );
    }
}

#[test]
fn runs_6_4_a_group_that_is_gone_when_its_list_goes_on_is_left_out() {
    let mut org = Org::new(5, 1);
    org.members
        .insert("00g0".to_owned(), (0..40).map(|n| format!("00u{n}")).collect());
    let host = FakeHost::new(org);
    cancelled_after(&host, 18);
    host.org.borrow_mut().members.remove("00g0");
    host.org
        .borrow_mut()
        .fault("GET /api/v1/apps/0oaapp1/groups/00g0", 9, || {
            Reply::error(404, "E0000007")
        });
    let summary = go_on(&host).unwrap();
    assert_eq!(*host.dropped.borrow(), ["00g0"]);
    assert!(
        summary.notes.iter().any(|note| note.ends_with("read: 1.")),
        "{:?}",
        summary.notes
    );
}

#[test]
fn runs_6_4_a_refusal_or_an_old_token_in_the_middle_is_no_reason_to_begin_again() {
    let host = FakeHost::new(Org::new(20, 1));
    cancelled_after(&host, 8);
    let mut org = host.org.borrow_mut();
    org.fault("0oaapp1/users?after=", 1, || Reply::error(401, "E0000011"));
    drop(org);
    go_on(&host).unwrap();
    assert_eq!(*host.restarts.borrow(), [Entity::Group]);
    assert_eq!(host.staged().users.len(), 20);

    let host = FakeHost::new(Org::new(20, 1));
    cancelled_after(&host, 8);
    host.org
        .borrow_mut()
        .fault("0oaapp1/users?after=", 1, || Reply::error(403, "E0000006"));
    assert_eq!(go_on(&host).unwrap_err().kind, ErrorKind::Forbidden);
}

#[test]
fn runs_6_4_a_cursor_that_can_not_be_read_begins_everything_again() {
    for cursor in [
        &b"{\"okta_ms\":1,\"pages\":9}"[..],
        b"",
        b"\xff",
        b"{\"version\":1}",
    ] {
        let host = FakeHost::new(Org::new(5, 3));
        cancelled_after(&host, 9);
        host.roll_back();
        host.cancel_after_requests.set(None);
        host.run(sync(&host, settings(), request(Some(cursor.to_vec()))))
            .unwrap();
        assert_eq!(*host.restarts.borrow(), ALL_KINDS);
        assert_complete(&host);
    }
}

#[test]
fn runs_6_4_an_app_that_went_or_came_meanwhile_begins_everything_again() {
    let host = FakeHost::new(two_apps(6, 2));
    cancelled_after(&host, 16);
    assert!(host.staged().users.contains_key("00u8"));
    host.org
        .borrow_mut()
        .apps
        .insert(OTHER.to_owned(), "INACTIVE".to_owned());
    go_on(&host).unwrap();
    assert_eq!(*host.restarts.borrow(), ALL_KINDS);
    assert_eq!(
        host.staged().users.len(),
        6,
        "nobody stays who was there only through the other app"
    );

    let host = FakeHost::new(two_apps(6, 2));
    host.org
        .borrow_mut()
        .apps
        .insert(OTHER.to_owned(), "INACTIVE".to_owned());
    cancelled_after(&host, 9);
    host.org
        .borrow_mut()
        .apps
        .insert(OTHER.to_owned(), "ACTIVE".to_owned());
    go_on(&host).unwrap();
    assert_eq!(*host.restarts.borrow(), ALL_KINDS);
    assert_eq!(host.staged().users.len(), 9);
}

#[test]
fn runs_2_2_a_run_that_goes_on_keeps_the_version_that_was_read_before_the_members() {
    let host = FakeHost::new(Org::new(20, 1));
    cancelled_after(&host, 9);
    assert_eq!(host.staged().groups.len(), 1);
    let mut org = host.org.borrow_mut();
    let group = &mut org.app_groups.get_mut(APP).unwrap()[0];
    group["_embedded"]["group"]["lastMembershipUpdated"] = json!("2026-02-02T03:04:05.000Z");
    group["_embedded"]["group"]["profile"]["name"] = json!("Renamed");
    drop(org);
    go_on(&host).unwrap();
    let staged = &host.staged().groups["00g0"].group;
    let before = crate::clock::parse_timestamp_ms("2026-01-02T03:04:05.000Z");
    assert_eq!(
        (staged.members_changed_at, staged.name.as_str()),
        (before, "Renamed")
    );
}

#[test]
fn runs_6_4_a_group_that_is_no_longer_assigned_when_the_run_goes_on_is_not_kept() {
    let host = FakeHost::new(Org::new(20, 3));
    cancelled_after(&host, 14);
    assert!(host.staged().groups.contains_key("00g1"));
    host.org.borrow_mut().app_groups.get_mut(APP).unwrap().remove(1);
    go_on(&host).unwrap();
    assert_eq!(host.staged().closed(), ["00g0", "00g2"]);
}
