//! `idsync directory …`

mod text;

use std::io::{BufRead, IsTerminal, stdin};
use std::sync::Arc;

use idsync_model::CancellationToken;
use serde_json::json;

use super::args::{DirectoryCommand, KeyFormat};
use super::output::{self, Output, printable};
use super::progress::Progress;
use super::signal::{INTERRUPTED, until_interrupted};
use crate::app::App;
use crate::error::CommandError;
use crate::operation::keys::{self, PublicKeys};
use crate::operation::{directory, verify};

pub async fn run(app: &App, command: DirectoryCommand, output: Output) -> Result<u8, CommandError> {
    match command {
        DirectoryCommand::Add {
            provider,
            name,
            set,
            max_delete,
        } => {
            let added = directory::add(app, &provider, &name, set, max_delete).await?;
            output.answer(&added.directory, || text::added(&added))?;
        }
        DirectoryCommand::List => {
            let directories = directory::list(app).await?;
            output.answer(&directories, || text::list(&directories, &app.options().data_dir))?;
        }
        DirectoryCommand::Show(id) => {
            let view = directory::show(app, &id.directory).await?;
            output.answer(&view, || text::show(&view))?;
        }
        DirectoryCommand::Set {
            directory,
            settings,
            max_delete,
        } => {
            let view = directory::set(app, &directory, settings, max_delete).await?;
            output.answer(&view, || text::show(&view))?;
        }
        DirectoryCommand::Schedule { directory, every } => {
            let view = directory::schedule(app, &directory, every).await?;
            output.answer(&view, || text::scheduled(&view))?;
        }
        DirectoryCommand::RotateKey { directory, abort } => {
            if abort {
                let view = keys::abort_rotation(app, &directory).await?;
                output.answer(&view, || text::rotation_aborted(&view))?;
            } else {
                let view = keys::rotate(app, &directory).await?;
                output.answer(&view, || text::rotation(&view))?;
            }
        }
        DirectoryCommand::Key { directory, format } => {
            let keys = keys::public_keys(app, &directory).await?;
            if let Some(next) = keys.next.as_ref().filter(|_| !output.is_json()) {
                output::note(format!(
                    "Two keys: runs use {}; {} waits for `idsync directory verify`.",
                    keys.current.kid, next.kid
                ));
            }
            print_keys(&keys, format, output)?;
        }
        DirectoryCommand::Verify(id) => return verify(app, &id.directory, output).await,
        DirectoryCommand::Enable(id) => {
            let view = directory::enable(app, &id.directory).await?;
            output.answer(&view, || {
                format!(
                    "Directory {} is active: a running `idsync serve` syncs it at once, then every {}.",
                    printable(&view.name),
                    view.every
                )
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
            output.answer(&json!({ "checks": checks }), || text::checks(&checks))?;
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
    output.answer(&result, || text::verified(&result, directory))?;
    Ok(u8::from(!result.verified))
}

/// One key is a document of its own, in whatever form; two are a set (RFC 7517, section 5), or PEM one after the other.
fn print_keys(keys: &PublicKeys, format: KeyFormat, output: Output) -> Result<(), CommandError> {
    let (current, next) = (&keys.current, keys.next.as_ref());
    match format {
        KeyFormat::Pem => {
            let document = json!({ "pem": current.pem, "next_pem": next.map(|next| &next.pem) });
            output.answer(&document, || {
                format!("{}{}", current.pem, next.map_or("", |next| &next.pem))
            })
        }
        KeyFormat::Jwk => {
            let document = match next {
                None => current.jwk.clone(),
                Some(next) => json!({ "keys": [current.jwk, next.jwk] }),
            };
            output.answer(&document, || format!("{document:#}"))
        }
    }
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
