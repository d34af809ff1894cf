//! `idsync plugin …`

use std::fmt::Write as _;

use super::args::PluginCommand;
use super::output::{Output, printable, table};
use crate::app::AppOptions;
use crate::error::CommandError;
use crate::operation::plugin;
use idsync_sandbox::Inspection;

pub async fn run(options: &AppOptions, command: PluginCommand, output: Output) -> Result<u8, CommandError> {
    match command {
        PluginCommand::List => {
            let plugins = plugin::list(options).await?;
            output.answer(&plugins, || {
                if plugins.is_empty() {
                    return format!(
                        "There are no plugins in {}. Point --plugins at the folder that has okta.wasm.",
                        options.plugins_dir().display()
                    );
                }
                table(
                    ["provider", "name", "version", "file", "problem"],
                    plugins.iter().map(|p| {
                        [
                            p.id.clone().unwrap_or_default(),
                            p.name.clone().unwrap_or_default(),
                            p.version.clone().unwrap_or_default(),
                            p.file.clone(),
                            p.problem.clone().unwrap_or_default(),
                        ]
                    }),
                )
            })?;
        }
        PluginCommand::Inspect { file } => {
            let inspection = plugin::inspect(options, &file).await?;
            output.answer(&inspection, || text(&inspection))?;
        }
    }
    Ok(0)
}

fn text(inspection: &Inspection) -> String {
    let about = &inspection.description;
    let mut text = format!(
        "{} ({}) version {}\n{} bytes, SHA-256 {}\n\nSettings:\n",
        printable(&about.name),
        about.id,
        about.version,
        inspection.size_bytes,
        inspection.digest
    );
    text.push_str(&table(
        ["name", "label", "required", "secret", "example", "what it is"],
        about.settings.iter().map(|setting| {
            [
                setting.name.clone(),
                setting.label.clone(),
                yes_no(setting.required),
                yes_no(setting.secret),
                setting.placeholder.clone(),
                setting.help.clone(),
            ]
        }),
    ));
    let _ = write!(text, "\n\nHosts: {}\n", about.hosts.join(", "));
    let key = about.key.map_or("none".to_owned(), |algorithm| {
        format!("{algorithm:?}").to_uppercase()
    });
    let _ = write!(text, "Key: {key}\n\nPermissions at the provider:\n");
    for permission in &about.permissions {
        let _ = writeln!(
            text,
            "  {}: {}",
            printable(&permission.name),
            printable(&permission.why)
        );
    }
    text.push_str("\nImports:\n");
    for import in &inspection.imports {
        let _ = writeln!(text, "  {import}");
    }
    text
}

fn yes_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}
