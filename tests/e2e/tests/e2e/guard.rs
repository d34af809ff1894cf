//! The guard: a plan that deletes too much is held, whole, and a newer plan takes its place.

use crate::harness::{Host, Org};

#[test]
fn runs_4_1_a_plan_that_deletes_more_than_a_fifth_is_held_whole() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    org.add_user("new.hire@acme.example");
    org.suspend_share_of_users(30);

    let report = acme.sync_is_held();

    assert!(report.held_kinds().contains(&"user"), "{report:#?}");
    assert!(
        report.document()["error"].is_null(),
        "a held run is no failed one: {report:#?}"
    );
    let reason = &report.document()["held"]["reasons"][0];
    assert!(
        reason["limit"].is_string() && reason["count"].is_u64() && reason["of"].is_u64(),
        "{reason:#}"
    );
    let run = acme.run(report.run());
    assert_eq!(run["outcome"], "held");
    let would_go = run["would_delete"]
        .as_array()
        .expect("a held run lists who would go");
    assert!(would_go.len() >= 10, "{run:#}");
}

#[test]
fn a_held_run_says_how_many_would_go_where_fewer_are_listed() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    org.suspend_share_of_users(30);
    let report = acme.sync_is_held();
    let (run, users) = (report.run(), report.count("users", "deleted"));

    let some = host.json(&["run", "show", run, "--limit", "2"]);
    let all = host.json(&["run", "show", run, "--all"]);
    let text = host.text(&["run", "show", run, "--limit", "2"]);
    let whole = host.text(&["run", "show", run, "--all"]);

    let listed = |document: &serde_json::Value| {
        let rows = document["would_delete"].as_array().expect("it is a list");
        rows.iter().filter(|row| row["kind"] == "user").count() as u64
    };
    assert_eq!((listed(&some), listed(&all)), (2, users));
    for document in [&some, &all] {
        assert_eq!(document["would_delete_total"]["users"], users, "{document:#}");
    }
    let more = format!("and {} more", users - 2);
    assert!(text.contains(&format!("delete {users} users")), "{text}");
    assert!(text.contains(&more) && text.contains("--all"), "{text}");
    assert!(!whole.contains("… and"), "{whole}");
}

#[test]
fn people_see_why_a_run_is_held_and_no_columns_that_say_nothing() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let before = host.text(&["run", "list"]);
    org.suspend_share_of_users(30);
    let report = acme.sync_is_held();

    let list = host.text(&["run", "list"]);
    let show = host.text(&["run", "show", report.run()]);

    assert!(!before.contains("why"), "{before}");
    assert!(list.contains("would go"), "{list}");
    let headings = |of: &str| {
        let table = show.split_once(of).expect("there is such a table").1;
        table.lines().nth(1).expect("it has headings").to_owned()
    };
    let users = headings(" users:\n");
    assert!(users.contains("e-mail") && users.contains("why"), "{show}");
    assert!(!users.contains("member"), "{show}");
    let memberships = headings(" memberships:\n");
    assert!(
        memberships.contains("group") && memberships.contains("user"),
        "{show}"
    );
    assert!(!memberships.contains("name"), "{show}");
}

#[test]
fn runs_4_1_the_same_share_of_few_rows_is_not_held() {
    let org = Org::of(40, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    org.suspend_users(9);
    let report = acme.sync();
    assert_eq!(report.count("users", "deleted"), 9);
}

#[test]
fn runs_4_1_all_rows_of_a_kind_are_held_however_few() {
    let org = Org::of(40, 3, 5).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    for _ in 0..3 {
        org.delete_group(&org.group(0));
    }
    let report = acme.sync_is_held();
    assert!(report.held_kinds().contains(&"group"), "{report:#?}");
}

#[test]
fn runs_4_1_the_first_applied_run_is_never_held() {
    let org = Org::of(40, 3, 5).start();
    let host = Host::beside(&org);
    host.connected("acme", &org).sync();
}

#[test]
fn runs_5_2_a_newer_held_plan_supersedes_the_held_one() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    org.suspend_share_of_users(30);
    let first = acme.sync_is_held();

    let second = acme.sync_is_held();

    assert_eq!(second.mode(), "full", "after a held run everything is read");
    assert_eq!(acme.run(first.run())["outcome"], "superseded");
    assert_eq!(acme.run(second.run())["outcome"], "held");
}

#[test]
fn runs_5_2_a_mistake_that_was_mended_is_applied_and_supersedes_the_held_plan() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let suspended = org.suspend_share_of_users(30);
    let held = acme.sync_is_held();
    for user in &suspended {
        org.unsuspend(user);
    }
    org.add_user("new.hire@acme.example");

    let report = acme.sync();

    assert_eq!((report.mode(), report.count("users", "created")), ("full", 1));
    assert_eq!(acme.run(held.run())["outcome"], "superseded");
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn runs_1_4_an_empty_list_whose_probe_answers_is_true_and_goes_to_the_guard() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    org.unassign_everyone();
    let report = acme.sync_is_held();
    assert!(report.held_kinds().contains(&"user"), "{report:#?}");
}

#[test]
fn a_dry_run_of_a_plan_over_the_limits_says_that_it_would_be_held() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let before = acme.export();
    org.suspend_share_of_users(30);

    let planned = acme.sync_any(&["--dry-run"]);

    assert!(planned.document()["held"].is_object(), "{planned:#?}");
    assert_eq!(acme.export(), before);
    assert!(
        acme.runs().iter().all(|run| run["outcome"] != "held"),
        "a dry run leaves no plan to be approved"
    );
}
