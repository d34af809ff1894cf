//! `idsync run …` and `idsync export`

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _, stdout};

use idsync_model::{Entity, Outcome};

use super::args::RunCommand;
use super::output::{Output, printable, table};
use super::sync::{counts_table, outcome_lines, what_would_go};
use crate::app::App;
use crate::error::CommandError;
use crate::operation::held::{self, ApprovedView, CancelView};
use crate::operation::run::{self, Deletion, RunLine, RunView, Totals};

pub async fn run(app: &App, command: RunCommand, output: Output) -> Result<u8, CommandError> {
    match command {
        RunCommand::List { directory, limit } => {
            let runs = run::list(app, directory.as_deref(), limit).await?;
            output.answer(&runs, || {
                if runs.is_empty() {
                    format!("No runs yet in {}.", app.options().data_dir.display())
                } else {
                    list_text(&runs)
                }
            })?;
        }
        RunCommand::Show { run, limit, all } => {
            let view = run::show(app, &run, (!all).then_some(limit)).await?;
            output.answer(&view, || show_text(&view))?;
        }
        RunCommand::Approve { run } => {
            let approved = held::approve(app, &run).await?;
            output.answer(&approved, || approved_text(&approved))?;
        }
        RunCommand::Discard { run } => {
            let report = held::discard(app, &run).await?;
            output.answer(&report, || {
                format!(
                    "Discarded. Nothing of the plan of {} was applied; the next run makes its own, and is held again \
                     while it deletes as much.",
                    report.run
                )
            })?;
        }
        RunCommand::Cancel { run } => {
            let cancelled = held::cancel(app, &run).await?;
            output.answer(&cancelled, || cancelled_text(&cancelled))?;
            return Ok(u8::from(matches!(cancelled, CancelView::NotYet { .. })));
        }
    }
    Ok(0)
}

fn approved_text(approved: &ApprovedView) -> String {
    let report = &approved.report;
    let mut text = match (&approved.instead_of, approved.was_already) {
        (_, true) => format!(
            "The plan of {} had been applied already; nothing was done now.\n",
            report.run
        ),
        (Some(shown), false) => format!(
            "Applied the plan of {}, which took the place of {shown} and deletes nothing that the older one did not.\n",
            report.run
        ),
        (None, false) => format!("Applied the plan of {}.\n", report.run),
    };
    text.push_str(&counts_table(report));
    text
}

fn cancelled_text(cancelled: &CancelView) -> String {
    match cancelled {
        CancelView::Ended(report) if report.outcome == Outcome::Cancelled => {
            format!("{} was cancelled. Nothing was changed.", report.run)
        }
        CancelView::Ended(report) => format!(
            "{} ended by itself before it could be cancelled: {}.",
            report.run,
            report.outcome.as_str()
        ),
        CancelView::NotYet {
            run, is_orphan: true, ..
        } => format!(
            "{run} has not ended, because the process that ran it is gone. The directory's next run records its end."
        ),
        CancelView::NotYet { run, .. } => {
            format!("{run} was asked to end and has not ended yet. Look again: idsync run show {run}")
        }
    }
}

/// Writes a directory's rows to standard output, one JSON object a line.
pub async fn export(app: &App, directory: &str) -> Result<u8, CommandError> {
    let mut lines = BufWriter::with_capacity(1 << 16, stdout());
    let sink = move |row: idsync_store::ExportRow| {
        serde_json::to_writer(&mut lines, &row)?;
        lines.write_all(b"\n")?;
        if matches!(row, idsync_store::ExportRow::End { .. }) {
            lines.flush()
        } else {
            Ok(())
        }
    };
    run::export(app, directory, Box::new(sink)).await?;
    Ok(0)
}

fn outcome(line: &RunLine) -> String {
    match (line.outcome, line.ended_at.is_some()) {
        (Some(outcome), _) if line.dry_run => format!("{} (dry run)", outcome.as_str()),
        (Some(outcome), _) => outcome.as_str().to_owned(),
        (None, _) => "not ended".to_owned(),
    }
}

fn list_text(runs: &[RunLine]) -> String {
    table(
        ["run", "directory", "started", "mode", "outcome", "changes", "why"],
        runs.iter().map(|line| {
            [
                line.run.to_string(),
                line.directory.clone(),
                line.started_at.clone(),
                format!("{:?}", line.mode).to_lowercase(),
                outcome(line),
                line.changes.to_string(),
                why(line),
            ]
        }),
    )
}

/// Why a run failed, or why its plan was not applied. A plan that a person approved needs no more words.
fn why(line: &RunLine) -> String {
    let held = line
        .held
        .as_ref()
        .filter(|_| line.dry_run || line.outcome != Some(Outcome::Succeeded));
    match (&line.error, held) {
        (Some(error), _) => error.clone(),
        (None, Some(held)) => {
            let reasons: Vec<String> = held.reasons.iter().map(what_would_go).collect();
            reasons.join("; ")
        }
        (None, None) => String::new(),
    }
}

fn show_text(view: &RunView) -> String {
    let line = &view.line;
    let mut text = format!(
        "Run {} of directory {}: {}\nStarted {}, {}.\n",
        line.run,
        printable(&line.directory),
        outcome(line),
        line.started_at,
        line.ended_at
            .as_ref()
            .map_or("not ended".to_owned(), |at| format!("ended {at}")),
    );
    if let Some(report) = &view.report {
        text.push_str(&counts_table(report));
        text.push('\n');
        text.push_str(&outcome_lines(report));
    }
    for kind in Entity::ALL {
        text.push_str(&deletions_text(view, kind));
    }
    let is_known = !view.would_delete.is_empty() || view.would_delete_total == Totals::default();
    if line.outcome == Some(Outcome::Held) && is_known {
        let _ = write!(
            text,
            "\nApply exactly this:  idsync run approve {0}\nDrop it:             idsync run discard {0}\n\
             If it is a mistake at the provider, mend it there: the next run makes a new plan, which takes the place \
             of this one.\n",
            line.run
        );
    }
    text.push_str(&skipped_text(view));
    text
}

/// The rows of one kind that a held plan would delete, under the names that people know this kind's columns by.
fn deletions_text(view: &RunView, kind: Entity) -> String {
    let total = view.would_delete_total.of_kind(kind);
    if total == 0 {
        return String::new();
    }
    let mut text = format!("\nWould delete {total} {}:\n", kind.plural());
    let rows: Vec<&Deletion> = view.would_delete.iter().filter(|row| row.kind == kind).collect();
    if rows.is_empty() {
        text.push_str(
            "Which ones is not known any more: an earlier version of idsync made this plan. Sync again.\n",
        );
        return text;
    }
    let headings = match kind {
        Entity::User => ["id", "", "e-mail", "why"],
        Entity::Group => ["id", "", "name", "why"],
        Entity::Membership => ["group", "user", "", "why"],
    };
    text.push_str(&table(headings, rows.iter().map(|row| deletion(row))));
    text.push('\n');
    let more = total.saturating_sub(rows.len() as u64);
    text.push_str(&more_text(view, more));
    text
}

/// Says that a list was cut.
fn more_text(view: &RunView, more: u64) -> String {
    if more == 0 {
        return String::new();
    }
    format!(
        "… and {more} more: `idsync run show {} --all` lists them too.\n",
        view.line.run
    )
}

fn deletion(row: &Deletion) -> [String; 4] {
    [
        row.external_id.clone(),
        row.member.clone().unwrap_or_default(),
        row.label.clone().unwrap_or_default(),
        row.reason
            .map_or_else(String::new, |reason| reason.as_str().to_owned()),
    ]
}

fn skipped_text(view: &RunView) -> String {
    if view.skipped.is_empty() && view.skipped_unkept == 0 {
        return String::new();
    }
    let mut text = "\nSkipped or mended:\n".to_owned();
    if !view.skipped.is_empty() {
        text.push_str(&table(
            ["kind", "id", "why"],
            view.skipped.iter().map(|skip| {
                [
                    skip.kind.to_string(),
                    skip.external_id.clone(),
                    skip.reason.clone(),
                ]
            }),
        ));
        text.push('\n');
    }
    text.push_str(&more_text(view, view.skipped_cut as u64));
    if view.skipped_unkept > 0 {
        let beside = if view.skipped.is_empty() { "" } else { "… and " };
        let _ = writeln!(
            text,
            "{beside}{} of which only the number is kept: a run keeps 1,000 of each kind, and a directory those of its \
             latest runs.",
            view.skipped_unkept
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use idsync_model::{Mode, RunId, Skip, Trigger};

    use super::*;

    fn held() -> RunView {
        RunView {
            line: RunLine {
                run: RunId::generate(),
                directory: "acme".to_owned(),
                trigger: Trigger::Manual,
                mode: Mode::Full,
                dry_run: false,
                started_at: "2026-03-01T10:00:00Z".to_owned(),
                ended_at: Some("2026-03-01T10:01:00Z".to_owned()),
                outcome: Some(Outcome::Held),
                changes: 40,
                held: None,
                error: None,
            },
            report: None,
            skipped: Vec::new(),
            skipped_total: Totals::default(),
            skipped_cut: 0,
            skipped_unkept: 0,
            would_delete: Vec::new(),
            would_delete_total: Totals::default(),
        }
    }

    #[test]
    fn records_of_which_only_the_number_is_kept_are_told_apart_from_those_that_all_lists() {
        let skip = Skip {
            kind: Entity::User,
            external_id: "00u1".to_owned(),
            reason: "it has no e-mail".to_owned(),
        };
        let some_kept = RunView {
            skipped: vec![skip],
            skipped_cut: 999,
            skipped_unkept: 4_200,
            ..held()
        };
        let forgotten = RunView {
            skipped_unkept: 7,
            ..held()
        };

        let text = show_text(&some_kept);
        assert!(
            text.contains("… and 999 more") && text.contains("--all"),
            "{text}"
        );
        assert!(
            text.contains("… and 4200 of which only the number is kept"),
            "{text}"
        );
        let text = show_text(&forgotten);
        assert!(text.contains("7 of which only the number is kept"), "{text}");
        assert!(!text.contains("--all"), "{text}");
    }

    #[test]
    fn a_plan_whose_rows_can_not_be_read_any_more_is_not_shown_as_an_empty_one() {
        let older = RunView {
            would_delete_total: Totals {
                users: 40,
                ..Totals::default()
            },
            ..held()
        };
        let text = show_text(&older);
        assert!(text.contains("Would delete 40 users"), "{text}");
        assert!(text.contains("Sync again"), "{text}");
        assert!(!text.contains("run approve"), "it would be refused: {text}");
    }
}
