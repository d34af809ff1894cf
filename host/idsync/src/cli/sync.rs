//! `idsync sync`

use std::fmt::Write as _;
use std::sync::Arc;

use idsync_model::{CancellationToken, ErrorKind, Failure, HeldReason, HoldRule, Outcome, RunReport};

use super::args::SyncArguments;
use super::output::{Output, printable, table};
use super::progress::Progress;
use super::signal::{INTERRUPTED, until_interrupted};
use crate::app::App;
use crate::error::CommandError;
use crate::operation::sync::{self, SyncOptions};

/// The exit code of a run whose plan is held.
const HELD: u8 = 3;

pub async fn run(app: &App, arguments: SyncArguments, output: Output) -> Result<u8, CommandError> {
    let progress = Arc::new(Progress::new(output.is_json()));
    let cancel = CancellationToken::new();
    let options = SyncOptions {
        dry_run: arguments.dry_run,
        full: arguments.full,
    };
    let work = sync::run(
        app,
        &arguments.directory,
        options,
        cancel.clone(),
        progress.clone(),
    );
    let ended = until_interrupted(&cancel, work).await;
    progress.finish();
    let Some(report) = ended else {
        return Ok(INTERRUPTED);
    };
    let report = report?;
    output.answer(&report, || text(&report))?;
    Ok(exit_code(&report, cancel.is_cancelled()))
}

fn exit_code(report: &RunReport, interrupted: bool) -> u8 {
    match report.outcome {
        Outcome::Succeeded => 0,
        Outcome::Held | Outcome::Superseded | Outcome::Discarded => HELD,
        Outcome::Cancelled if interrupted => INTERRUPTED,
        Outcome::Cancelled | Outcome::Failed => 1,
    }
}

fn text(report: &RunReport) -> String {
    let mut text = match (report.outcome, report.dry_run) {
        (Outcome::Succeeded, true) => {
            "Dry run: this is what a sync would change. Nothing was changed.\n".to_owned()
        }
        (Outcome::Succeeded, false) => format!(
            "Synced in {:.1} s{} with {} requests ({} read).\n",
            report.duration_ms as f64 / 1000.0,
            waited(report),
            report.requests,
            format!("{:?}", report.mode).to_lowercase()
        ),
        _ => String::new(),
    };
    if report.outcome == Outcome::Succeeded || report.held.is_some() {
        text.push_str(&counts_table(report));
        text.push('\n');
    }
    text.push_str(&outcome_lines(report));
    if report.outcome == Outcome::Held {
        let _ = writeln!(
            text,
            "`idsync run show {0}` lists who would go, `idsync run approve {0}` applies it. If it is a mistake, mend \
             it at the provider and sync again.",
            report.run
        );
    }
    text.push_str(&again_text(report));
    let skipped = report.users.skipped + report.groups.skipped + report.memberships.skipped;
    if skipped > 0 {
        let _ = writeln!(
            text,
            "{skipped} records were skipped or mended: `idsync run show {}` lists them.",
            report.run
        );
    }
    text
}

/// How much of a run's time went by because of the provider's limits, where a person would have noticed.
fn waited(report: &RunReport) -> String {
    if report.waited_ms < 1_000 {
        return String::new();
    }
    format!(
        ", {:.1} s of them waiting for the provider's rate limits,",
        report.waited_ms as f64 / 1000.0
    )
}

/// A service lets the next run follow at once on one that went on from another (RUNS §6.4). Where no service runs only the
/// person who reads this can, so it is said with why.
fn again_text(report: &RunReport) -> String {
    if report.resumed_from.is_none() || report.dry_run || report.outcome != Outcome::Succeeded {
        return String::new();
    }
    let since = report
        .oldest_read_at
        .as_deref()
        .unwrap_or("the earlier run began");
    format!(
        "Sync again: what the earlier run had read was not read again, so who left or changed at the provider since \
         {since} may not be seen yet. The next run sees it; where `idsync serve` runs and the directory is enabled, it \
         follows by itself.\n"
    )
}

/// What a run did, or would do, to the rows of each kind.
pub fn counts_table(report: &RunReport) -> String {
    let rows = [
        ("users", report.users),
        ("groups", report.groups),
        ("memberships", report.memberships),
    ];
    table(
        ["", "created", "updated", "deleted", "unchanged", "skipped"],
        rows.map(|(kind, counts)| {
            [
                kind.to_owned(),
                counts.created.to_string(),
                counts.updated.to_string(),
                counts.deleted.to_string(),
                counts.unchanged.to_string(),
                counts.skipped.to_string(),
            ]
        }),
    )
}

/// Why a run did not simply succeed, and the plugin's remarks.
pub fn outcome_lines(report: &RunReport) -> String {
    let mut text = String::new();
    if let Some(held) = &report.held {
        text.push_str(match (report.outcome, report.dry_run) {
            (_, true) => "A sync would be held: the plan is more than the guard lets through.\n",
            (Outcome::Held, _) => {
                "Held: the plan is more than the guard lets through. Nothing was changed.\n"
            }
            (Outcome::Succeeded, _) => "It was held, and then approved by a person:\n",
            (Outcome::Discarded, _) => "It was held, and then discarded by a person. Nothing was changed.\n",
            _ => "It was held, and a newer run took its place. Nothing of it was changed.\n",
        });
        for reason in &held.reasons {
            let _ = writeln!(text, "  {}", reason_text(reason));
        }
    }
    if let Some(failure) = &report.error {
        text.push_str(&failure_text(failure));
    }
    if let Some(from) = &report.resumed_from {
        let oldest = report.oldest_read_at.as_deref().unwrap_or("an earlier time");
        let _ = writeln!(
            text,
            "It went on from {from}: its oldest row was read at {oldest}."
        );
    }
    for note in &report.notes {
        let _ = writeln!(text, "Note: {}", printable(note));
    }
    text
}

fn reason_text(reason: &HeldReason) -> String {
    format!("{} (limit: {})", what_would_go(reason), reason.limit)
}

/// One reason for which a plan is held, without the limit that it is above.
pub fn what_would_go(reason: &HeldReason) -> String {
    let (kind, count, of) = (reason.kind.plural(), reason.count, reason.of);
    let what = match reason.rule {
        HoldRule::Share | HoldRule::Count | HoldRule::All => format!("{count} of {of} would go"),
        HoldRule::Recent => format!("with those of the last 24 hours {count} of {of} would have gone"),
        HoldRule::Moved => {
            format!("{count} of {of} lose an e-mail address that then belongs to another id")
        }
    };
    format!("{kind}: {what}")
}

fn failure_text(failure: &Failure) -> String {
    let verb = if failure.kind == ErrorKind::Cancelled {
        "Cancelled"
    } else {
        "Failed"
    };
    let mut text = format!(
        "{verb} ({}, at {}): {}\n",
        failure.kind,
        printable(&failure.stage),
        printable(&failure.summary)
    );
    if !failure.hint.is_empty() {
        let _ = writeln!(text, "  {}", printable(&failure.hint).replace('\n', "\n  "));
    }
    if let Some(code) = &failure.provider_code {
        let _ = writeln!(text, "  Provider's code: {}", printable(code));
    }
    if let Some(id) = &failure.request_id {
        let _ = writeln!(text, "  Provider's request id: {}", printable(id));
    }
    text.push_str("Nothing was changed.\n");
    text
}

#[cfg(test)]
mod tests {
    use idsync_model::{EntityCounts, Mode, RunId};

    use super::*;

    fn succeeded() -> RunReport {
        RunReport {
            run: RunId::generate(),
            outcome: Outcome::Succeeded,
            mode: Mode::Full,
            dry_run: false,
            users: EntityCounts::default(),
            groups: EntityCounts::default(),
            memberships: EntityCounts::default(),
            requests: 7,
            duration_ms: 1_000,
            waited_ms: 0,
            peak_memory_bytes: 0,
            resumed_from: None,
            oldest_read_at: None,
            held: None,
            error: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_sync_that_waited_for_the_providers_limits_says_for_how_long() {
        let waited = RunReport {
            duration_ms: 65_000,
            waited_ms: 41_500,
            ..succeeded()
        };
        let said = text(&waited);
        assert!(
            said.contains(
                "in 65.0 s, 41.5 s of them waiting for the provider's rate limits, with 7 requests"
            ),
            "{said}"
        );
        assert!(!text(&succeeded()).contains("waiting"));
    }

    #[test]
    fn runs_6_4_a_sync_that_went_on_says_that_another_must_follow_and_why() {
        let whole = succeeded();
        let resumed = RunReport {
            resumed_from: Some(RunId::generate()),
            oldest_read_at: Some("2026-03-01T10:00:00Z".to_owned()),
            ..succeeded()
        };
        let dry = RunReport {
            dry_run: true,
            ..resumed.clone()
        };

        let said = text(&resumed);

        assert!(said.contains("Sync again"), "{said}");
        assert!(said.contains("since 2026-03-01T10:00:00Z"), "{said}");
        assert!(!text(&whole).contains("Sync again"));
        assert!(!text(&dry).contains("Sync again"), "a dry run changed nothing");
    }
}
