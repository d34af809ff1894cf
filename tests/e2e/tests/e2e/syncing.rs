//! Syncing an org: what is stored equals what the org holds, and only what changed is read and written.

use crate::harness::{Host, Org};

#[test]
fn runs_2_4_the_first_sync_is_full_and_equals_what_the_org_holds() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);

    let report = acme.sync();

    assert_eq!(report.mode(), "full");
    let export = acme.export();
    assert_eq!(export.rows(), org.expected());
    for (kind, plural) in [
        ("user", "users"),
        ("group", "groups"),
        ("membership", "memberships"),
    ] {
        assert_eq!(
            report.count(plural, "created"),
            export.count(kind) as u64,
            "{plural}"
        );
        assert_eq!(
            report.count(plural, "updated") + report.count(plural, "deleted"),
            0,
            "{plural}"
        );
    }
    assert!(report.requests() > 0);
    assert!(report.document()["held"].is_null() && report.document()["error"].is_null());
}

#[test]
fn runs_2_1_a_sync_without_changes_writes_nothing_and_fetches_no_group() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let before = acme.export();
    org.forget_requests();

    let report = acme.sync();

    assert_eq!(report.mode(), "incremental");
    assert_eq!(report.changes(), 0);
    assert_eq!(report.count("users", "unchanged"), before.count("user") as u64);
    assert_eq!(org.member_lists_asked(), Vec::<String>::new());
    assert_eq!(
        acme.export(),
        before,
        "not even the number of the last change moved"
    );
}

/// The figure of docs/performance.md: what a sync asks for besides pages is the org's document, a token (the verification
/// was told the nonce for it) and the apps, however large the org.
#[test]
fn a_sync_asks_for_its_pages_once_and_for_three_things_besides() {
    const BESIDES: u64 = 3;
    let (users, groups) = (2_000_u64, 60);
    let org = Org::of(2_000, 60, 5).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let listings = users.div_ceil(500) + 1;

    let first = acme.sync();
    assert_eq!(
        first.requests(),
        listings + groups + BESIDES,
        "one list for each group"
    );
    let per_thousand = (first.requests() - groups) * 1_000 / users;
    assert!(
        per_thousand <= 5,
        "requests for 1,000 users beside the lists: {per_thousand}"
    );

    assert_eq!(acme.sync().requests(), listings + BESIDES, "nothing changed");

    org.add_member(&org.group(0), &org.outsider_of(0));
    assert_eq!(
        acme.sync().requests(),
        listings + 1 + BESIDES,
        "one group changed"
    );
}

#[test]
fn runs_2_1_only_the_groups_whose_version_differs_are_fetched() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let (group, user) = (org.group(0), org.outsider_of(0));
    org.add_member(&group, &user);
    org.forget_requests();

    let report = acme.sync();

    assert_eq!(report.count("memberships", "created"), 1);
    assert_eq!(report.changes(), 1);
    assert_eq!(org.member_lists_asked(), [group]);
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn runs_2_1_a_group_read_soon_after_it_changed_is_read_again_and_later_no_more() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let group = org.group(0);
    org.add_member(&group, &org.outsider_of(0));
    acme.sync();

    // A change in the same second as the last one leaves no trace in the version.
    org.forget_requests();
    acme.sync();
    assert_eq!(org.member_lists_asked(), [group.as_str()]);

    org.advance_clock_secs(16 * 60);
    acme.sync();
    org.forget_requests();
    acme.sync();
    assert_eq!(org.member_lists_asked(), Vec::<String>::new());
}

#[test]
fn runs_2_4_a_full_sync_on_demand_fetches_every_group() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    org.forget_requests();

    let report = acme.sync_with(&["--full"]);

    assert_eq!((report.mode(), report.changes()), ("full", 0));
    assert_eq!(org.member_lists_asked().len(), 9);
}

#[test]
fn runs_2_5_after_every_kind_of_change_the_store_equals_the_org() {
    let org = Org::of(80, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();

    org.add_user("new.hire@acme.example");
    org.suspend(&org.member_of(1));
    org.delete_user(&org.member_of(2));
    org.rename(&org.member_of(3), "Renamed", "Person");
    org.add_member(&org.group(3), &org.outsider_of(3));
    org.remove_member(&org.group(4), &org.member_of(4));
    org.delete_group(&org.group(6));
    org.rename_group(&org.group(7), "A new name");
    let report = acme.sync();

    assert_eq!(report.mode(), "incremental");
    assert_eq!(acme.export().rows(), org.expected());
    assert_eq!(report.count("users", "created"), 1);
    assert_eq!(report.count("users", "updated"), 1);
    assert_eq!(report.count("users", "deleted"), 2);
    assert_eq!(report.count("groups", "updated"), 1);
    assert_eq!(report.count("groups", "deleted"), 1);
}

#[test]
fn runs_2_3_a_suspended_user_returns_with_the_memberships_although_no_group_changed() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let before = acme.export();
    let user = org.member_of(0);
    org.suspend(&user);
    acme.sync();
    assert!(
        !acme.export().mentions(&user),
        "a suspended user is gone from what readers see"
    );

    org.unsuspend(&user);
    org.forget_requests();
    acme.sync();

    assert_eq!(acme.export().rows(), before.rows());
    assert_eq!(org.member_lists_asked(), Vec::<String>::new());
}

#[test]
fn runs_1_8_a_user_without_an_address_is_skipped_and_listed_with_the_reason() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);

    let report = acme.sync();

    assert!(report.count("users", "skipped") > 0);
    let run = acme.run(report.run());
    let skipped = run["skipped"].as_array().expect("a run lists what it skipped");
    assert!(
        skipped
            .iter()
            .any(|skip| skip["kind"] == "user"
                && skip["reason"].as_str().is_some_and(|why| why.contains("mail"))),
        "{run:#}"
    );
}

#[test]
fn runs_1_6_a_user_and_a_group_seen_through_two_apps_are_one() {
    let org = Org::of(60, 9, 12).start();
    org.set(r#"{"resource_set": {"apps": null}}"#);
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);

    acme.sync();

    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn an_app_that_is_named_is_the_only_one_that_is_synced() {
    let org = Org::of(60, 9, 12).start();
    org.set(r#"{"resource_set": {"apps": null}}"#);
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.set(&[&format!("app_id={}", org.app_id())]);
    assert!(acme.verify().is_verified());

    acme.sync();

    org.set(&format!(
        r#"{{"resource_set": {{"apps": ["{}"]}}}}"#,
        org.app_id()
    ));
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn runs_1_2_a_next_link_without_expand_gets_it_back() {
    let org = Org::of(1_200, 9, 12).start();
    org.set(r#"{"drops_expand": "always", "link_headers": "one"}"#);
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);

    acme.sync();

    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn a_large_org_is_synced_and_a_second_sync_finds_nothing_to_do() {
    let org = Org::of(10_000, 200, 50).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);

    acme.sync();

    assert_eq!(acme.export().rows(), org.expected());
    org.forget_requests();
    let report = acme.sync();
    assert_eq!(report.changes(), 0);
    assert_eq!(org.member_lists_asked(), Vec::<String>::new());
}

#[test]
fn a_dry_run_shows_what_would_change_and_changes_nothing() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let before = acme.export();
    org.add_user("new.hire@acme.example");
    org.add_member(&org.group(0), &org.outsider_of(0));

    let planned = acme.sync_with(&["--dry-run"]);

    assert_eq!(planned.count("users", "created"), 1);
    assert_eq!(planned.count("memberships", "created"), 1);
    assert_eq!(acme.export(), before);
    let applied = acme.sync();
    assert_eq!(
        applied.count("users", "created"),
        1,
        "a dry run leaves its work to be done"
    );
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn a_dry_run_of_a_directory_that_was_never_synced_leaves_it_empty() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);

    let planned = acme.sync_with(&["--dry-run"]);

    assert!(planned.count("users", "created") > 0);
    assert_eq!(acme.export().rows(), Vec::<String>::new());
    assert_eq!(acme.export().seq(), 0);
}

#[test]
fn explain_says_why_somebody_is_or_is_not_here() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let (present, suspended) = (org.member_of(0), org.member_of(1));
    org.suspend(&suspended);

    let failed = |who: &str| {
        acme.explain(who)
            .iter()
            .filter(|check| check["outcome"] == "failed")
            .count()
    };

    assert_eq!(failed(&present), 0);
    assert!(failed(&suspended) > 0);
    assert!(failed("nobody@acme.example") > 0);
}

#[test]
fn an_enabled_directory_is_active_and_a_disabled_one_can_still_be_synced_by_hand() {
    let org = Org::of(20, 3, 5).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    host.json(&["directory", "enable", "acme"]);
    assert_eq!(acme.show()["state"], "active");

    host.json(&["directory", "disable", "acme"]);

    assert_eq!(acme.show()["state"], "disabled");
    acme.sync();
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn two_directories_of_a_tenant_are_synced_apart() {
    let (north, south) = (
        Org::of(30, 4, 6).seed(1).start(),
        Org::of(30, 4, 6).seed(2).start(),
    );
    let host = Host::beside(&north).trusting(south.ca()).reaching(south.domain());
    let (of_north, of_south) = (host.connected("north", &north), host.connected("south", &south));

    of_north.sync();
    of_south.sync();

    assert_eq!(of_north.export().rows(), north.expected());
    assert_eq!(of_south.export().rows(), south.expected());
    host.json(&["directory", "remove", "--yes", "north"]);
    assert_eq!(of_south.export().rows(), south.expected());
}
