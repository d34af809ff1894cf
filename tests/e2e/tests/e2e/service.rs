//! `idsync serve`: it syncs what is enabled, stands beside the command line, and ends in order.

use crate::harness::{Host, Org};

#[test]
fn an_enabled_directory_is_synced_at_once_and_again_when_it_is_enabled_anew() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    let service = host.serve(&[]);
    let mut follower = host.follow(&[]);

    host.json(&["directory", "enable", acme.id()]);
    let block = follower.block();

    assert_eq!(acme.export().rows(), org.expected());
    assert_eq!(block.len(), acme.export().rows().len() + 1);
    assert_eq!(acme.runs()[0]["trigger"], "schedule");

    org.add_user("new.hire@acme.example");
    host.json(&["directory", "disable", acme.id()]);
    host.json(&["directory", "enable", acme.id()]);
    follower.block();
    assert_eq!(acme.export().rows(), org.expected());

    assert_eq!(follower.interrupt(), Some(130));
    let (exit_code, log) = service.stop();
    assert_eq!(exit_code, Some(0), "{log:#?}");
}

#[test]
fn runs_6_6_a_service_that_is_stopped_in_a_run_goes_on_where_it_was() {
    let org = Org::of(300, 40, 10).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    host.json(&["directory", "enable", acme.id()]);
    org.forget_requests();
    org.fault(r#"{"fault": "stall", "path": "/api/v1/groups/*/users", "nth": 25, "count": null}"#);
    let service = host.serve(&[]);
    org.wait_for_faults(1);

    let (exit_code, log) = service.stop();

    assert_eq!(exit_code, Some(0), "{log:#?}");
    assert_eq!(acme.runs()[0]["outcome"], "cancelled");
    assert!(acme.export().rows().is_empty());
    let lists_read = org.member_lists_asked().len();

    org.clear_faults();
    org.forget_requests();
    let mut follower = host.follow(&[]);
    let service = host.serve(&[]);
    follower.block();

    assert_eq!(acme.export().rows(), org.expected());
    assert!(
        org.member_lists_asked().len() < lists_read,
        "{} of the lists were read again after {lists_read} had been",
        org.member_lists_asked().len()
    );
    follower.interrupt();
    service.stop();
}

#[test]
fn runs_6_3_the_command_line_works_beside_the_service() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    acme.sync();
    let before = acme.export();
    org.add_user("new.hire@acme.example");
    host.json(&["directory", "enable", acme.id()]);
    org.forget_requests();
    org.fault(r#"{"fault": "stall", "path": "/api/v1/apps/*/users", "count": null}"#);
    let service = host.serve(&[]);
    org.wait_for_faults(1);

    let busy = host.failure(&["sync", acme.id()]);
    assert_eq!((busy.exit_code, busy.kind.as_str()), (1, "busy"), "{busy:?}");
    assert_eq!(acme.export(), before);
    let run = acme.runs()[0].clone();
    assert!(run["outcome"].is_null(), "{run:#}");

    // Another process asks the run to end.
    let cancelled = host.json(&["run", "cancel", run["run"].as_str().expect("a run has an id")]);
    assert_eq!(cancelled["outcome"], "cancelled", "{cancelled:#}");
    org.clear_faults();
    acme.sync();
    assert_eq!(acme.export().rows(), org.expected());
    service.stop();
}

#[test]
fn a_service_that_was_killed_is_replaced_at_once() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    host.json(&["directory", "enable", acme.id()]);
    org.forget_requests();
    org.fault(r#"{"fault": "stall", "path": "/api/v1/apps/*/users", "count": null}"#);
    let service = host.serve(&[]);
    org.wait_for_faults(1);
    service.kill();
    org.clear_faults();

    let mut follower = host.follow(&[]);
    let service = host.serve(&[]);
    follower.block();

    assert_eq!(acme.export().rows(), org.expected());
    follower.interrupt();
    service.stop();
}

#[test]
fn it_tells_how_it_is_and_what_it_did() {
    let org = Org::of(60, 9, 12).start();
    let host = Host::beside(&org);
    let acme = host.connected("acme", &org);
    host.json(&["directory", "enable", acme.id()]);
    let mut follower = host.follow(&[]);
    let service = host.serve(&[]);
    follower.block();

    assert_eq!(service.get("/healthz").0, 200);
    let (status, ready) = service.get("/readyz");
    assert_eq!(status, 200, "{ready}");
    assert_eq!(service.get("/nowhere").0, 404);
    assert_eq!(
        service.get_as("/metrics", "evil.example").0,
        403,
        "a page of another name can't read it through a browser"
    );
    let metrics = service.metrics_with(r#"outcome="succeeded""#);
    assert!(metrics.contains("idsync_runs_total"), "{metrics}");
    assert!(metrics.contains(r#"name="acme""#), "{metrics}");

    follower.interrupt();
    let (exit_code, log) = service.stop();
    assert_eq!(exit_code, Some(0));
    let run = acme.runs()[0]["run"]
        .as_str()
        .expect("a run has an id")
        .to_owned();
    assert!(
        log.iter().any(|line| line.to_string().contains(&run)),
        "a log line of a run carries its id: {log:#?}"
    );
}

#[test]
fn an_address_that_is_taken_is_named() {
    let host = Host::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let failure = host.failure(&["serve", "--listen", &address]);
    assert_eq!(failure.exit_code, 1, "{failure:?}");
    assert!(failure.text().contains(&address), "{failure:?}");
}

#[test]
fn a_schedule_out_of_bounds_is_refused_with_the_bounds() {
    let org = Org::of(10, 2, 2).start();
    let host = Host::beside(&org);
    let acme = host.draft("acme", &org);
    for every in ["soon", "-1h", ""] {
        let output = host.output(&["directory", "schedule", acme.id(), &format!("--every={every}")]);
        assert_eq!(output.status.code(), Some(2), "{every}");
    }
    for every in ["1ms", "9s", "31d"] {
        let output = host.output(&["directory", "schedule", acme.id(), &format!("--every={every}")]);
        assert_eq!(output.status.code(), Some(2), "{every}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            text.contains("10 seconds") || text.contains("10s"),
            "{every}: {text}"
        );
    }
    let set = host.json(&["directory", "schedule", acme.id(), "--every", "10s"]);
    assert_eq!(set["id"], acme.id());
}
