//! What `/metrics` says after runs, and of directories.

use idsync_model::{ErrorKind, Failure, Mode, RunId};

use super::*;

fn report(outcome: Outcome, error: Option<ErrorKind>) -> RunReport {
    let users = EntityCounts {
        created: 3,
        updated: 2,
        deleted: 1,
        ..EntityCounts::default()
    };
    RunReport {
        run: RunId::generate(),
        outcome,
        mode: Mode::Full,
        dry_run: false,
        users,
        groups: EntityCounts::default(),
        memberships: EntityCounts::default(),
        requests: 7,
        duration_ms: 1500,
        waited_ms: 250,
        peak_memory_bytes: if error.is_some() { 0 } else { 5_000_000 },
        resumed_from: None,
        oldest_read_at: None,
        held: None,
        error: error.map(|kind| Failure::new(kind, "token", "refused", "")),
        notes: Vec::new(),
    }
}

fn directory(name: &str, state: DirectoryState) -> DirectoryGauge {
    DirectoryGauge {
        tenant: TenantName::default_tenant(),
        id: DirectoryId::generate(),
        name: name.to_owned(),
        state,
        is_held: false,
        is_failing: false,
        is_running: false,
        last_success: None,
    }
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "{line}\nis not in\n{text}");
}

#[test]
fn runs_are_counted_by_outcome_and_kind_of_failure() {
    let metrics = Metrics::new("9.8.7");
    metrics.run_ended("okta", &report(Outcome::Succeeded, None));
    metrics.run_ended("okta", &report(Outcome::Succeeded, None));
    let failed = report(Outcome::Failed, Some(ErrorKind::Unauthorized));
    metrics.run_ended("okta", &failed);
    let text = metrics.text(&[], Form::OpenMetrics);
    has(&text, r#"idsync_build_info{version="9.8.7"} 1"#);
    has(
        &text,
        r#"idsync_runs_total{provider="okta",outcome="succeeded",error=""} 2"#,
    );
    has(
        &text,
        r#"idsync_runs_total{provider="okta",outcome="failed",error="unauthorized"} 1"#,
    );
    has(&text, r#"idsync_requests_total{provider="okta"} 21"#);
    has(&text, r#"idsync_limit_wait_seconds_total{provider="okta"} 0.75"#);
    // The failed run changed nothing.
    has(
        &text,
        r#"idsync_rows_total{provider="okta",kind="user",operation="created"} 6"#,
    );
    has(
        &text,
        r#"idsync_run_duration_seconds_bucket{le="2.0",provider="okta",outcome="succeeded"} 2"#,
    );
    // A run that never came to its plugin is not counted as one that took no memory.
    has(
        &text,
        r#"idsync_plugin_peak_memory_bytes_count{provider="okta"} 2"#,
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn directories_are_shown_as_they_stand_now() {
    let metrics = Metrics::new("9.8.7");
    let mut acme = directory("Acme \"1\"", DirectoryState::Active);
    acme.is_held = true;
    acme.last_success = Some(UnixMillis(1_500));
    let gone = directory("gone", DirectoryState::Draft);
    let text = metrics.text(&[acme.clone(), gone], Form::Prometheus);
    has(&text, r#"idsync_directories{state="draft"} 1"#);
    has(&text, "idsync_directories_held 1");
    let labels = format!(r#"tenant="default",directory="{}",name="Acme \"1\"""#, acme.id);
    has(
        &text,
        &format!(r#"idsync_directory_state{{{labels},state="active"}} 1"#),
    );
    has(
        &text,
        &format!(r#"idsync_directory_state{{{labels},state="disabled"}} 0"#),
    );
    has(
        &text,
        &format!("idsync_directory_last_success_timestamp_seconds{{{labels}}} 1.5"),
    );
    acme.state = DirectoryState::Disabled;
    acme.is_held = false;
    let text = metrics.text(std::slice::from_ref(&acme), Form::Prometheus);
    assert!(!text.contains("gone"), "{text}");
    has(&text, r#"idsync_directories{state="draft"} 0"#);
    has(&text, "idsync_directories_held 0");
    has(
        &text,
        &format!(r#"idsync_directory_state{{{labels},state="disabled"}} 1"#),
    );
    assert!(!text.contains("# EOF"), "{text}");
}

#[test]
fn open_metrics_is_for_those_who_ask_for_it() {
    let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
    assert_eq!(Form::accepted(Some(of_prometheus)), Form::OpenMetrics);
    assert_eq!(Form::accepted(Some("*/*")), Form::Prometheus);
    assert_eq!(Form::accepted(None), Form::Prometheus);
}
