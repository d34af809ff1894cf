//! What people read of directories.

use std::fmt::Write as _;
use std::path::Path;

use idsync_model::{Check, CheckOutcome, DisabledReason};

use crate::cli::output::{printable, table};
use crate::operation::directory::Added;
use crate::operation::verify::VerifyResult;
use crate::operation::view::{DirectoryView, WhyThen};

pub fn added(added: &Added) -> String {
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

pub fn list(directories: &[DirectoryView], data_dir: &Path) -> String {
    if directories.is_empty() {
        return format!(
            "No directories yet in {}. Add one: idsync directory add --provider okta --name NAME",
            data_dir.display()
        );
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
            "next run",
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
                next_run(view),
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
    if let Some(failing) = &view.failing {
        let _ = write!(text, ", failing since {} ({})", failing.since, failing.error.kind);
    }
    text
}

fn next_run(view: &DirectoryView) -> String {
    if view.running.is_some() {
        return "running now".to_owned();
    }
    let Some(next) = &view.next_run else {
        return "none".to_owned();
    };
    let why = match next.why {
        WhyThen::AtOnce => "at once".to_owned(),
        WhyThen::Retry => "tried again".to_owned(),
        WhyThen::Provider => format!(
            "asked for by the provider: {}",
            next.detail.as_deref().unwrap_or_default()
        ),
        WhyThen::Schedule => "scheduled".to_owned(),
    };
    format!("{} ({why})", next.at)
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

pub fn show(view: &DirectoryView) -> String {
    let mut text = format!("{} ({})\n", printable(&view.name), view.id);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(
            text,
            "  {name:<12} {}",
            printable(value).replace('\n', "\n               ")
        );
    };
    line("provider", &view.provider);
    line("state", &state(view));
    if let Some(DisabledReason::Host { kind }) = &view.disabled_reason {
        line(
            "disabled",
            &format!("by the host, because its runs ended as `{kind}` for too long"),
        );
    }
    line("verified", view.verified_at.as_deref().unwrap_or("never"));
    line("key", view.kid.as_deref().unwrap_or("none"));
    if let Some(kid) = &view.next_kid {
        line("next key", &format!("{kid}, which waits for `directory verify`"));
    }
    line("schedule", &format!("every {}", view.every));
    line("next run", &next_run(view));
    if let Some(run) = &view.running {
        line("in progress", run.as_str());
    }
    line("last run", &last_run(view));
    if let Some(failing) = &view.failing {
        let error = &failing.error;
        line(
            "failing",
            &format!(
                "since {}, {} in a row; the last one ({}): {}\n{}",
                failing.since, failing.in_a_row, error.kind, error.summary, error.hint
            ),
        );
    }
    line(
        "holds",
        &format!(
            "{} users, {} groups, {} memberships",
            view.users, view.groups, view.memberships
        ),
    );
    line(
        "limits",
        &format!(
            "held when it deletes of users {}, of groups {}, of memberships {}",
            view.limits.users, view.limits.groups, view.limits.memberships
        ),
    );
    text.push_str("  settings\n");
    for (name, value) in &view.settings.0 {
        let _ = writeln!(text, "    {name} = {}", printable(value));
    }
    for name in &view.secret_settings {
        let waits = if view.waiting_secrets.contains(name) {
            ", and waits for `directory verify`"
        } else {
            ""
        };
        let _ = writeln!(text, "    {name} is kept sealed{waits}");
    }
    for name in &view.missing_settings {
        let _ = writeln!(text, "    {name} is missing");
    }
    for setting in &view.unfitting_settings {
        let _ = writeln!(
            text,
            "    {} no longer fits the plugin: {}",
            setting.name,
            printable(&setting.problem)
        );
    }
    for note in &view.notes {
        let _ = writeln!(text, "Note: {}", printable(note));
    }
    text
}

pub fn checks(checks: &[Check]) -> String {
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

pub fn verified(result: &VerifyResult, directory: &str) -> String {
    let mut text = checks(&result.checks);
    let directory = printable(directory);
    if result.verified {
        match (&result.kid, &result.erased_kid) {
            (Some(kid), Some(erased)) => {
                let _ = write!(
                    text,
                    "\nVerified. From now on runs use the key {kid}; the old key {erased} is erased. Remove it at the \
                     provider too."
                );
            }
            _ if result.goes_on => text.push_str("\nVerified. From now on runs use these settings."),
            _ => {
                let _ = write!(
                    text,
                    "\nVerified. Next: idsync directory enable {directory}, then idsync sync {directory}"
                );
            }
        }
        return text;
    }
    text.push_str("\nNot verified: mend what failed, then verify again.");
    if let Some(kept) = &result.kept_kid {
        let _ = write!(text, " Until then runs go on with the old key {kept}.");
    } else if result.goes_on {
        text.push_str(" Until then runs go on with the settings that were verified before.");
    }
    text
}

pub fn scheduled(view: &DirectoryView) -> String {
    let mut text = format!(
        "Directory {} is synced every {}.",
        printable(&view.name),
        view.every
    );
    if view.next_run.is_some() {
        let _ = write!(text, " Next run: {}.", next_run(view));
    }
    for note in &view.notes {
        let _ = write!(text, "\nNote: {}", printable(note));
    }
    text
}

pub fn rotation(view: &DirectoryView) -> String {
    let name = printable(&view.name);
    let (kid, next) = (
        view.kid.as_deref().unwrap_or_default(),
        view.next_kid.as_deref().unwrap_or_default(),
    );
    let jwk = view
        .next_public_jwk
        .as_ref()
        .map_or_else(String::new, |jwk| format!("{jwk:#}"));
    format!(
        "Made a second key {next} for directory {name}. Runs use {kid} until the new one is verified.\n\n\
         1. Register the new public key at the provider, beside the old one:\n\n{jwk}\n\n\
         2. idsync directory verify {name}\n   When it passes, the old key is erased here.\n\
         3. Remove the old key {kid} at the provider.\n\n\
         To give it up: idsync directory rotate-key {name} --abort"
    )
}

pub fn rotation_aborted(view: &DirectoryView) -> String {
    format!(
        "Dropped the second key of directory {}. Remove it at the provider too, if it was registered there.",
        printable(&view.name)
    )
}
