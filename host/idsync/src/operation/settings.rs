//! A directory's settings: secrets apart, in canonical form, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use idsync_capability::keys::{DirectorySealer, Purpose};
use idsync_model::{Description, ErrorKind, SettingProblem, Settings};
use idsync_sandbox::Plugin;
use idsync_sandbox::settings::{Completeness, check, check_secret};
use idsync_store::{Directory, Sealed, SealedSecret};

use crate::app::App;
use crate::error::{CommandError, Kind};

/// The settings that a directory needs and has not.
pub fn missing(description: &Description, directory: &Directory) -> Vec<String> {
    description
        .settings
        .iter()
        .filter(|spec| spec.required)
        .filter(|spec| {
            if spec.secret {
                !directory.secret_names.contains(&spec.name)
            } else {
                directory.settings.get(&spec.name).is_none_or(str::is_empty)
            }
        })
        .map(|spec| spec.name.clone())
        .collect()
}

/// Secrets apart from settings, both with `pairs` put in. An empty value takes a setting away. A secret is read from a
/// file (`@FILE`): on a command line everybody on the machine could read it.
pub fn split(
    description: &Description,
    mut settings: Settings,
    pairs: Vec<(String, String)>,
) -> Result<(BTreeMap<String, String>, Settings), CommandError> {
    let mut secrets = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (name, value) in pairs {
        if !seen.insert(name.clone()) {
            return Err(CommandError::usage(
                format!("the setting `{name}` is given twice"),
                "Give it once: it is not known which of the two is meant.",
            ));
        }
        if let Some(spec) = description
            .settings
            .iter()
            .find(|spec| spec.secret && spec.name == name)
        {
            let secret = secret_of(&name, &value)?;
            if !secret.is_empty() {
                check_secret(spec, &secret).map_err(|problem| refused(&[problem]))?;
            }
            secrets.insert(name, secret);
        } else if value.trim().is_empty() {
            settings.0.remove(&name);
        } else {
            settings.0.insert(name, value);
        }
    }
    Ok((secrets, settings))
}

fn secret_of(name: &str, value: &str) -> Result<String, CommandError> {
    if value.is_empty() {
        return Ok(String::new());
    }
    let Some(file) = value.strip_prefix('@') else {
        return Err(CommandError::usage(
            format!(
                "the setting `{name}` is a secret and can't stand on a command line, where others can read it"
            ),
            format!("Write it into a file that only you can read, and give {name}=@FILE."),
        ));
    };
    let text = std::fs::read_to_string(file).map_err(|error| {
        CommandError::usage(
            format!("reading the secret `{name}` from {file} failed: {error}"),
            "",
        )
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Secrets sealed for the store; an empty one erases what is there.
pub fn seal(sealer: &DirectorySealer, secrets: BTreeMap<String, String>) -> Vec<SealedSecret> {
    secrets
        .into_iter()
        .map(|(name, value)| SealedSecret {
            value: (!value.is_empty()).then(|| Sealed(sealer.seal(Purpose::Secret, &name, value.as_bytes()))),
            name,
        })
        .collect()
}

/// Settings in the plugin's canonical form, with what was mended.
pub async fn normalized(
    app: &App,
    plugin: &Arc<Plugin>,
    settings: Settings,
) -> Result<(Settings, Vec<String>), CommandError> {
    let description = plugin.description();
    // Names first: the plugin is not asked about settings that it does not have.
    check_names(description, &settings).map_err(|problems| refused(&problems))?;
    let normalized = app
        .normalize(plugin, &settings)
        .await?
        .map_err(|problems| refused(&problems))?;
    check(description, &normalized.settings, Completeness::Draft).map_err(|problems| refused(&problems))?;
    Ok((normalized.settings, normalized.notes))
}

fn check_names(description: &Description, settings: &Settings) -> Result<(), Vec<SettingProblem>> {
    let known: Vec<&str> = description
        .settings
        .iter()
        .map(|spec| spec.name.as_str())
        .collect();
    let unknown: Vec<SettingProblem> = settings
        .0
        .keys()
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| SettingProblem {
            name: name.clone(),
            problem: format!(
                "{} has no such setting; it has {}",
                description.name,
                known.join(", ")
            ),
        })
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}

/// What is wrong with settings, as a command's failure.
pub fn refused(problems: &[SettingProblem]) -> CommandError {
    let lines: Vec<String> = problems
        .iter()
        .map(|p| format!("{}: {}", p.name, p.problem))
        .collect();
    CommandError::new(
        Kind::Run(ErrorKind::InvalidSettings),
        format!("the settings can't be taken: {}", lines.join("; ")),
        "Nothing was changed. Correct them and try again.",
    )
}
