//! Crashes: whenever a sync is killed, readers see the old state or the new one, and the next sync is right.

use crate::harness::{Directory, Host, Org};

/// An org that was synced once and then changed, and the host's data directory as it is then.
fn changed_org() -> (Org, Host, String) {
    let org = Org::of(400, 20, 25).start();
    let host = Host::beside(&org);
    let id = {
        let acme = host.connected("acme", &org);
        acme.sync();
        acme.id().to_owned()
    };
    for nth in 0..4 {
        org.add_user(&format!("hire{nth}@acme.example"));
        org.add_member(&org.group(nth), &org.outsider_of(nth));
    }
    (org, host, id)
}

fn directory<'a>(host: &'a Host, id: &str) -> Directory<'a> {
    Directory::new(host, id.to_owned(), serde_json::Value::Null)
}

#[test]
fn a_sync_that_is_killed_at_any_request_leaves_the_old_state_or_the_new_one() {
    let (org, host, id) = changed_org();
    let old = directory(&host, &id).export();
    let requests = {
        let copy = host.copy();
        org.forget_requests();
        directory(&copy, &id).sync();
        assert_eq!(directory(&copy, &id).export().rows(), org.expected());
        org.requests().len()
    };
    let new = org.expected();

    for moment in (1..=requests).step_by((requests / 6).max(1)).chain([requests]) {
        let copy = host.copy();
        let acme = directory(&copy, &id);
        org.forget_requests();
        let running = acme.start_sync(&[]);
        org.wait_for_requests(moment);
        running.kill();

        let rows = acme.export().rows().to_vec();
        assert!(
            rows == old.rows() || rows == new,
            "killed at request {moment} of {requests}: a mixed state"
        );
        acme.sync();
        assert_eq!(
            acme.export().rows(),
            new,
            "killed at request {moment} of {requests}"
        );
    }
}

#[test]
fn a_sync_that_is_killed_while_the_plan_is_applied_leaves_the_old_state_or_the_new_one() {
    let org = Org::of(3_000, 20, 100).start();
    let host = Host::beside(&org);
    let id = host.connected("acme", &org).id().to_owned();
    let new = org.expected();
    // From the last answer on, the plan is made and applied: kill a little later each time, until a sync gets through.
    let requests = {
        let copy = host.copy();
        org.forget_requests();
        directory(&copy, &id).sync();
        org.requests().len()
    };
    for step in 0.. {
        let copy = host.copy();
        let acme = directory(&copy, &id);
        org.forget_requests();
        let running = acme.start_sync(&[]);
        org.wait_for_requests(requests);
        let was_killed = running.kill_once_grown(&copy.data_dir(), step * 256 * 1024);

        let rows = acme.export().rows().to_vec();
        assert!(
            rows.is_empty() || rows == new,
            "killed in step {step}: {} of {} rows",
            rows.len(),
            new.len()
        );
        acme.sync();
        assert_eq!(acme.export().rows(), new, "killed in step {step}");
        if !was_killed {
            break;
        }
    }
}

#[test]
fn a_second_sync_of_a_directory_is_told_that_it_is_busy() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    org.forget_requests();
    org.fault(r#"{"fault": "stall", "path": "/api/v1/apps/*/users", "count": null}"#);
    let first = acme.start_sync(&[]);
    org.wait_for_requests(3);

    let failure = host.failure(&["sync", acme.id()]);

    assert_eq!(
        (failure.exit_code, failure.kind.as_str()),
        (1, "busy"),
        "{failure:?}"
    );
    assert!(
        failure.text().contains(&format!("process {}", first.id())),
        "it says who: {failure:?}"
    );
    first.kill();
    org.clear_faults();
    acme.sync();
    assert_eq!(
        acme.export().rows(),
        org.expected(),
        "the lock goes with its process"
    );
}

#[test]
fn another_directory_is_synced_while_one_is_busy() {
    let (north, south) = (
        Org::of(30, 4, 6).seed(1).start(),
        Org::of(30, 4, 6).seed(2).start(),
    );
    let host = Host::beside(&north).trusting(south.ca()).reaching(south.domain());
    let (of_north, of_south) = (host.connected("north", &north), host.connected("south", &south));
    north.forget_requests();
    north.fault(r#"{"fault": "stall", "path": "/api/v1/apps/*/users", "count": null}"#);
    let busy = of_north.start_sync(&[]);
    north.wait_for_requests(3);

    of_south.sync();

    assert_eq!(of_south.export().rows(), south.expected());
    busy.kill();
}

#[test]
fn runs_6_6_an_interrupted_sync_ends_as_cancelled_and_changes_nothing() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let before = acme.export();
    org.forget_requests();
    org.fault(r#"{"fault": "stall", "path": "/api/v1/groups/*/users", "count": null}"#);
    let running = acme.start_sync(&[]);
    org.wait_for_requests(5);

    running.interrupt();
    let output = running.output();

    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(acme.export(), before);
    assert_eq!(acme.runs()[0]["outcome"], "cancelled");
    org.clear_faults();
    acme.sync();
    assert_eq!(acme.export().rows(), org.expected());
}

#[test]
fn a_run_that_was_killed_is_shown_as_not_ended_or_failed_never_as_succeeded() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    org.forget_requests();
    org.fault(r#"{"fault": "stall", "path": "/api/v1/apps/*/users", "count": null}"#);
    let running = acme.start_sync(&[]);
    org.wait_for_requests(3);
    running.kill();

    let runs = acme.runs();

    assert_eq!(runs.len(), 1, "{runs:#?}");
    assert_ne!(runs[0]["outcome"], "succeeded");
}

#[test]
fn runs_6_4_twelve_kills_in_a_row_and_one_good_run_ask_for_less_than_a_run_from_nothing() {
    // A whole run has more requests than a plugin may have handles open.
    let org = Org::of(400, 1_200, 2).start();
    org.set(r#"{"limit": 100000}"#);
    let host = Host::beside(&org);
    let id = host.connected("acme", &org).id().to_owned();
    let acme = directory(&host, &id);
    let whole = {
        let copy = host.copy();
        org.forget_requests();
        directory(&copy, &id).sync();
        org.requests().len()
    };
    let lists = org.member_lists_asked().len();

    for _ in 0..12 {
        org.forget_requests();
        let running = acme.start_sync(&[]);
        org.wait_for_requests(whole - lists + 90);
        running.kill();
        assert!(acme.export().rows().is_empty());
    }
    org.forget_requests();
    let report = acme.sync();

    assert_eq!(acme.export().rows(), org.expected());
    assert!(report.document()["resumed_from"].is_string(), "{report:#?}");
    assert!(
        org.requests().len() < whole - 100 && org.member_lists_asked().len() < lists - 100,
        "{} requests where {whole} are a whole run",
        org.requests().len()
    );
}
