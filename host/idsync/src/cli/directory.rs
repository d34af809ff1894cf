//! `idsync directory …`

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, stdin};
use std::sync::Arc;

use idsync_model::{CancellationToken, Check, CheckOutcome};
use serde_json::json;

use super::args::{DirectoryCommand, KeyFormat};
use super::output::{self, Output, printable, table};
use super::progress::Progress;
use super::signal::{INTERRUPTED, until_interrupted};
use crate::app::App;
use crate::error::CommandError;
use crate::operation::directory::{self, Added, DirectoryView};
use crate::operation::verify;

pub async fn run(app: &App, command: DirectoryCommand, output: Output) -> Result<u8, CommandError> {
    match command {
        DirectoryCommand::Add { provider, name, set } => {
            let added = directory::add(app, &provider, &name, set).await?;
            output.answer(&added.directory, || added_text(&added))?;
        }
        DirectoryCommand::List => {
            let directories = directory::list(app).await?;
            output.answer(&directories, || list_text(&directories))?;
        }
        DirectoryCommand::Show(id) => {
            let view = directory::show(app, &id.directory).await?;
            output.answer(&view, || show_text(&view))?;
        }
        DirectoryCommand::Set { directory, settings } => {
            let view = directory::set(app, &directory, settings).await?;
            output.answer(&view, || show_text(&view))?;
        }
        DirectoryCommand::Key { directory, format } => {
            let key = directory::public_key(app, &directory).await?;
            let text = if format == KeyFormat::Pem {
                key.pem
            } else {
                key.jwk_text
            };
            // A script that asks for JSON gets the same either way: the JWK is a document, and PEM goes into one.
            match format {
                KeyFormat::Pem => output.answer(&json!({ "pem": text }), || text.clone())?,
                KeyFormat::Jwk => output.answer(&key.jwk, || text.clone())?,
            }
        }
        DirectoryCommand::Verify(id) => return verify(app, &id.directory, output).await,
        DirectoryCommand::Enable(id) => {
            let view = directory::enable(app, &id.directory).await?;
            output.answer(&view, || {
                format!("Directory {} is active.", printable(&view.name))
            })?;
        }
        DirectoryCommand::Disable(id) => {
            let view = directory::disable(app, &id.directory).await?;
            output.answer(&view, || {
                format!(
                    "Directory {} is disabled. What was synced stays.",
                    printable(&view.name)
                )
            })?;
        }
        DirectoryCommand::Remove { directory, yes } => return remove(app, &directory, yes, output).await,
        DirectoryCommand::Explain { directory, who } => {
            let cancel = CancellationToken::new();
            let work = verify::explain(app, &directory, &who, cancel.clone());
            let Some(checks) = until_interrupted(&cancel, work).await else {
                return Ok(INTERRUPTED);
            };
            if cancel.is_cancelled() {
                return Ok(INTERRUPTED);
            }
            let checks = checks?;
            output.answer(&json!({ "checks": checks }), || checks_text(&checks))?;
        }
    }
    Ok(0)
}

async fn verify(app: &App, directory: &str, output: Output) -> Result<u8, CommandError> {
    let progress = Arc::new(Progress::new(output.is_json()));
    let cancel = CancellationToken::new();
    let work = verify::verify(app, directory, cancel.clone(), progress.clone());
    let ended = until_interrupted(&cancel, work).await;
    progress.finish();
    let Some(result) = ended else {
        return Ok(INTERRUPTED);
    };
    if cancel.is_cancelled() {
        return Ok(INTERRUPTED);
    }
    let result = result?;
    output.answer(&result, || {
        let mut text = checks_text(&result.checks);
        if result.verified {
            let _ = write!(
                text,
                "\nVerified. Next: idsync directory enable {0}, then idsync sync {0}",
                printable(directory)
            );
        } else {
            text.push_str("\nNot verified: mend what failed, then verify again.");
        }
        text
    })?;
    Ok(u8::from(!result.verified))
}

async fn remove(app: &App, directory: &str, yes: bool, output: Output) -> Result<u8, CommandError> {
    if !yes {
        let view = directory::show(app, directory).await?;
        if output.is_json() || !stdin().is_terminal() {
            return Err(CommandError::usage(
                format!("removing directory `{}` needs a yes", view.name),
                "Give --yes: its users, groups and memberships are deleted for all readers, and its key is erased.",
            ));
        }
        output::note(format!(
            "This deletes {} users, {} groups and {} memberships of `{}` for all readers and erases its key.\n\
             Type the directory's name to go on:",
            view.users,
            view.groups,
            view.memberships,
            printable(&view.name)
        ));
        let mut answer = String::new();
        let read = stdin().lock().read_line(&mut answer);
        if read.is_err() || answer.trim() != view.name {
            return Err(CommandError::usage(
                "nothing was removed",
                "The name that was typed is not the directory's.",
            ));
        }
    }
    let removed = directory::remove(app, directory).await?;
    output.answer(&removed, || {
        format!(
            "Removed. {} users, {} groups and {} memberships were deleted; the key is erased.",
            removed.users, removed.groups, removed.memberships
        )
    })?;
    Ok(0)
}

fn added_text(added: &Added) -> String {
    let view = &added.directory;
    let mut text = format!(
        "Added directory {} ({}) as a draft, with a new key pair.\n",
        printable(&view.name),
        view.id
    );
    for note in &view.notes {
        let _ = writeln!(text, "Note: {}", printable(note));
    }
    for (number, step) in added.guide.iter().enumerate() {
        let _ = write!(text, "\n{}. {}\n\n", number + 1, printable(&step.title));
        for line in step.text.lines() {
            let _ = writeln!(text, "   {}", printable(line));
        }
        if step.shows_public_key
            && let Some(jwk) = &view.public_jwk
        {
            let _ = write!(text, "\n   The public key:\n\n{jwk}\n");
        }
        if !step.fills.is_empty() {
            let settings = step
                .fills
                .iter()
                .map(|name| format!("{name}=…"))
                .collect::<Vec<_>>()
                .join(" ");
            let _ = write!(
                text,
                "\n   $ idsync directory set {} {settings}\n",
                printable(&view.name)
            );
        }
    }
    let _ = write!(text, "\nThen: idsync directory verify {}", printable(&view.name));
    text
}

fn list_text(directories: &[DirectoryView]) -> String {
    if directories.is_empty() {
        return "No directories yet. Add one: idsync directory add --provider okta --name NAME".to_owned();
    }
    table(
        [
            "name",
            "id",
            "provider",
            "state",
            "users",
            "groups",
            "memberships",
            "last run",
        ],
        directories.iter().map(|view| {
            [
                view.name.clone(),
                view.id.to_string(),
                view.provider.clone(),
                state(view),
                view.users.to_string(),
                view.groups.to_string(),
                view.memberships.to_string(),
                last_run(view),
            ]
        }),
    )
}

fn state(view: &DirectoryView) -> String {
    let mut text = format!("{:?}", view.state).to_lowercase();
    if !view.verified {
        text.push_str(", not verified");
    }
    if let Some(since) = &view.held_since {
        let _ = write!(text, ", held since {since}");
    }
    text
}

fn last_run(view: &DirectoryView) -> String {
    view.last_run.as_ref().map_or_else(
        || "none".to_owned(),
        |run| {
            format!(
                "{} {}",
                run.outcome.map_or("not ended", idsync_model::Outcome::as_str),
                run.started_at
            )
        },
    )
}

fn show_text(view: &DirectoryView) -> String {
    let mut text = format!(
        "{} ({})\n  provider     {}\n  state        {}\n  verified     {}\n  key          {}\n  holds        {} users, {} groups, {} memberships\n  last run     {}\n  settings\n",
        printable(&view.name),
        view.id,
        printable(&view.provider),
        state(view),
        view.verified_at.as_deref().unwrap_or("never"),
        view.kid.as_deref().unwrap_or("none"),
        view.users,
        view.groups,
        view.memberships,
        last_run(view),
    );
    for (name, value) in &view.settings.0 {
        let _ = writeln!(text, "    {name} = {}", printable(value));
    }
    for name in &view.secret_settings {
        let _ = writeln!(text, "    {name} is kept sealed");
    }
    for name in &view.missing_settings {
        let _ = writeln!(text, "    {name} is missing");
    }
    for note in &view.notes {
        let _ = writeln!(text, "Note: {}", printable(note));
    }
    text
}

fn checks_text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let mark = match check.outcome {
            CheckOutcome::Passed => "ok     ",
            CheckOutcome::Warning => "warning",
            CheckOutcome::Failed => "FAILED ",
            CheckOutcome::Skipped => "skipped",
        };
        let _ = writeln!(text, "{mark}  {}", printable(&check.title));
        for line in [&check.detail, &check.hint]
            .into_iter()
            .filter(|line| !line.is_empty())
        {
            let _ = writeln!(text, "         {}", printable(line).replace('\n', "\n         "));
        }
    }
    text
}
