//! `idsync run …` and `idsync export`

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _, stdout};

use idsync_model::Entity;

use super::args::RunCommand;
use super::output::{Output, printable, table};
use super::sync::{counts_table, outcome_lines};
use crate::app::App;
use crate::error::CommandError;
use crate::operation::run::{self, Deletion, RunLine, RunView};

pub async fn run(app: &App, command: RunCommand, output: Output) -> Result<u8, CommandError> {
    match command {
        RunCommand::List { directory, limit } => {
            let runs = run::list(app, directory.as_deref(), limit).await?;
            output.answer(&runs, || {
                if runs.is_empty() {
                    "No runs yet.".to_owned()
                } else {
                    list_text(&runs)
                }
            })?;
        }
        RunCommand::Show { run } => {
            let view = run::show(app, &run).await?;
            output.answer(&view, || show_text(&view))?;
        }
    }
    Ok(0)
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
        [
            "run",
            "directory",
            "started",
            "mode",
            "outcome",
            "changes",
            "error",
        ],
        runs.iter().map(|line| {
            [
                line.run.to_string(),
                line.directory.clone(),
                line.started_at.clone(),
                format!("{:?}", line.mode).to_lowercase(),
                outcome(line),
                line.changes.to_string(),
                line.error.clone().unwrap_or_default(),
            ]
        }),
    )
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
    for kind in [Entity::User, Entity::Group, Entity::Membership] {
        let rows: Vec<&Deletion> = view.would_delete.iter().filter(|row| row.kind == kind).collect();
        if !rows.is_empty() {
            let _ = write!(
                text,
                "\nWould delete these {} ({} are shown):\n",
                kind.plural(),
                rows.len()
            );
            text.push_str(&table(
                ["id", "member", "name", "why"],
                rows.iter().map(|row| deletion(row)),
            ));
        }
    }
    if !view.skipped.is_empty() {
        text.push_str("\nSkipped or mended:\n");
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
    }
    text
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
