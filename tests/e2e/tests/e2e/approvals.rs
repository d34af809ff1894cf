//! Held plans: a person looks at one, and approves or discards it.

use crate::harness::{Directory, Host, Org, Report};

/// A directory of an org that has lost a third of its users since it was synced, the run that is held for it, and those
/// users.
fn held(host: &Host, org: &Org) -> (String, Report, Vec<String>) {
    let acme = host.connected("acme", org);
    acme.sync();
    let suspended = org.suspend_share_of_users(30);
    let report = acme.sync_is_held();
    (acme.id().to_owned(), report, suspended)
}

fn directory<'a>(host: &'a Host, id: &str) -> Directory<'a> {
    Directory::new(host, id.to_owned(), serde_json::Value::Null)
}

#[test]
fn runs_5_3_an_approved_plan_is_applied_and_approving_twice_is_once() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let (id, report, _) = held(&host, &org);
    let acme = directory(&host, &id);
    assert!(acme.show()["held_since"].is_string());

    let approved = host.json(&["run", "approve", report.run()]);

    assert_eq!(approved["outcome"], "succeeded", "{approved:#}");
    assert_eq!(acme.export().rows(), org.expected());
    assert!(acme.show()["held_since"].is_null());
    let seq = acme.export().seq();
    let again = host.json(&["run", "approve", report.run()]);
    assert_eq!(again["outcome"], "succeeded", "{again:#}");
    assert_eq!(acme.export().seq(), seq, "nothing was applied a second time");
    let next = acme.sync();
    assert_eq!((next.mode(), next.changes()), ("full", 0));
}

#[test]
fn runs_5_3_a_plan_is_stale_once_something_else_was_applied() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let (id, report, suspended) = held(&host, &org);
    let acme = directory(&host, &id);
    for user in &suspended {
        org.unsuspend(user);
    }
    org.add_user("new.hire@acme.example");
    acme.sync();

    let failure = host.failure(&["run", "approve", report.run()]);

    assert_eq!(failure.exit_code, 1, "{failure:?}");
    assert!(failure.text().contains("sync"), "{failure:?}");
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn runs_5_3_the_newer_plan_of_the_same_deletions_is_applied_for_the_shown_one() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let (id, shown, _) = held(&host, &org);
    let acme = directory(&host, &id);
    let newer = acme.sync_is_held();

    let approved = host.json(&["run", "approve", shown.run()]);

    assert_eq!(approved["run"], newer.run(), "{approved:#}");
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn runs_5_3_a_newer_plan_that_deletes_more_is_not_applied_for_the_shown_one() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let (id, shown, _) = held(&host, &org);
    let acme = directory(&host, &id);
    org.suspend_users(5);
    let newer = acme.sync_is_held();
    let before = acme.export();

    let failure = host.failure(&["run", "approve", shown.run()]);

    assert_eq!(failure.exit_code, 1, "{failure:?}");
    assert!(failure.text().contains(newer.run()), "{failure:?}");
    assert_eq!(acme.export(), before);
    host.json(&["run", "approve", newer.run()]);
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn runs_5_4_a_discarded_plan_is_over_and_the_same_deletions_are_held_again() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let (id, report, _) = held(&host, &org);
    let acme = directory(&host, &id);

    let discarded = host.json(&["run", "discard", report.run()]);

    assert_eq!(discarded["outcome"], "discarded", "{discarded:#}");
    let failure = host.failure(&["run", "approve", report.run()]);
    assert_eq!(failure.exit_code, 1, "{failure:?}");
    acme.sync_is_held();
}

#[test]
fn another_tenants_run_is_unknown() {
    let org = Org::of(60, 9, 12).start();
    let mut host = Host::beside(&org);
    let (id, report, _) = held(&host, &org);
    let run = report.run().to_owned();
    host.json(&["tenant", "add", "other"]);
    host.as_tenant("other");
    for command in ["approve", "discard", "cancel", "show"] {
        let failure = host.failure(&["run", command, &run]);
        assert_eq!(failure.kind, "unknown-id", "{command}: {failure:?}");
    }
    host.as_tenant("default");
    assert_eq!(directory(&host, &id).run(&run)["outcome"], "held");
}

#[test]
fn a_run_that_is_not_held_can_not_be_approved_discarded_or_cancelled() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let report = acme.sync();
    let before = acme.export();
    for command in ["discard", "cancel"] {
        let failure = host.failure(&["run", command, report.run()]);
        assert_eq!(failure.exit_code, 1, "{command}: {failure:?}");
        assert!(
            !failure.hint.is_empty() || failure.summary.contains("succeeded"),
            "{failure:?}"
        );
    }
    assert_eq!(acme.export(), before);
}

#[test]
fn runs_4_1_the_limits_of_a_directory_are_its_own() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    acme.set(&["--max-delete", "users=5"]);
    org.suspend_users(6);
    let report = acme.sync_is_held();
    assert_eq!(report.held_kinds(), ["user"], "{report:#?}");
    acme.set(&["--max-delete", "users=off"]);
    let report = acme.sync();
    assert_eq!(report.count("users", "deleted"), 6);
    for limit in ["users=101%", "people=5", "users", "users=-1", "users=5%%"] {
        let output = host.output(&["directory", "set", acme.id(), "--max-delete", limit]);
        assert_eq!(output.status.code(), Some(2), "{limit}");
    }
}
