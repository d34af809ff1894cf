//! Directories: adding, listing, showing, setting, enabling, disabling, removing; their public keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use idsync_capability::keys::{NewKeyPair, Purpose, public_pem};
use idsync_model::{
    Description, DirectoryId, DirectoryState, DisabledReason, ErrorKind, GuideStep, SettingProblem, Settings,
};
use idsync_sandbox::Plugin;
use idsync_sandbox::settings::{Completeness, check, check_secret};
use idsync_store::{Directory, NewDirectory, NewKey, Sealed, SealedSecret};
use serde::Serialize;
use serde_json::Value;

use super::run::RunLine;
use crate::app::{App, spawn_blocking};
use crate::error::{CommandError, Kind};

/// The longest name of a directory, in characters.
const NAME_CHARS: usize = 100;

/// A directory as commands show it.
#[derive(Debug, Serialize)]
pub struct DirectoryView {
    /// Its id.
    pub id: DirectoryId,
    /// The provider's word.
    pub provider: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: DirectoryState,
    /// Who disabled it, and why.
    pub disabled_reason: Option<DisabledReason>,
    /// Its settings that are no secret.
    pub settings: Settings,
    /// The names of its secret settings.
    pub secret_settings: Vec<String>,
    /// The names of settings that it needs and has not.
    pub missing_settings: Vec<String>,
    /// The id of its key.
    pub kid: Option<String>,
    /// The public half of its key, as a JWK.
    pub public_jwk: Option<Value>,
    /// Whether the present settings and key are those that were last verified.
    pub verified: bool,
    /// When a verification last succeeded.
    pub verified_at: Option<String>,
    /// How many users readers see.
    pub users: u64,
    /// How many groups readers see.
    pub groups: u64,
    /// How many memberships readers see.
    pub memberships: u64,
    /// Since when its plans have been held.
    pub held_since: Option<String>,
    /// Its newest run.
    pub last_run: Option<RunLine>,
    /// When it was added.
    pub created_at: String,
    /// What was mended in the settings that were given just now.
    pub notes: Vec<String>,
}

/// A directory that was just added, with what is to be done at the provider.
#[derive(Debug)]
pub struct Added {
    /// The directory.
    pub directory: DirectoryView,
    /// The setup guide of its provider.
    pub guide: Vec<GuideStep>,
}

/// What a removal deleted.
#[derive(Debug, Serialize)]
pub struct Removed {
    /// The directory.
    pub removed: DirectoryId,
    /// The run that carries the delete changes.
    pub run: String,
    /// How many users were deleted.
    pub users: u64,
    /// How many groups.
    pub groups: u64,
    /// How many memberships.
    pub memberships: u64,
}

/// The public half of a directory's key.
#[derive(Debug)]
pub struct PublicKey {
    /// As a JWK.
    pub jwk: Value,
    /// The same, indented, to be copied.
    pub jwk_text: String,
    /// As PEM.
    pub pem: String,
}

/// Adds a directory as a draft and makes its key pair.
pub async fn add(
    app: &App,
    provider: &str,
    name: &str,
    pairs: Vec<(String, String)>,
) -> Result<Added, CommandError> {
    check_name(name)?;
    let plugin = app.plugin(provider).await?;
    let description = plugin.description().clone();
    let id = DirectoryId::generate();
    let sealer = app.master_key().directory_sealer(id.clone());

    let (secrets, settings) = split(&description, Settings::default(), pairs)?;
    let (settings, notes) = normalized(app, &plugin, settings).await?;
    let secrets = seal(&sealer, secrets);
    let key = match description.key {
        None => None,
        Some(algorithm) => {
            let made = spawn_blocking(move || NewKeyPair::generate(algorithm, &sealer))
                .await?
                .map_err(|error| CommandError::host(&error, "Try again; report this if it happens again."))?;
            Some(NewKey {
                kid: made.kid,
                algorithm: made.algorithm,
                public_jwk: made.public_jwk,
                sealed_private: Sealed(made.sealed_private),
            })
        }
    };
    let new = NewDirectory {
        id,
        provider: provider.to_owned(),
        name: name.to_owned(),
        settings,
        secrets,
        key,
        created_at: app.clock().now(),
    };
    let directory = app.store().add_directory(app.tenant(), new).await?;
    let mut directory = view(app, directory, Some(&description)).await?;
    directory.notes = notes;
    Ok(Added {
        directory,
        guide: description.guide,
    })
}

/// The tenant's directories by name.
pub async fn list(app: &App) -> Result<Vec<DirectoryView>, CommandError> {
    let mut views = Vec::new();
    for directory in app.store().directories(app.tenant()).await? {
        views.push(view(app, directory, None).await?);
    }
    Ok(views)
}

/// One directory.
pub async fn show(app: &App, id_or_name: &str) -> Result<DirectoryView, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    // A directory whose plugin is gone can still be looked at.
    let plugin = app.plugin(&directory.provider).await.ok();
    view(app, directory, plugin.as_deref().map(Plugin::description)).await
}

/// Changes settings. What was verified before goes on to be synced until the new ones are verified (RUNS §7.1).
pub async fn set(
    app: &App,
    id_or_name: &str,
    pairs: Vec<(String, String)>,
) -> Result<DirectoryView, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    let plugin = app.plugin(&directory.provider).await?;
    let description = plugin.description();
    let (secrets, settings) = split(description, directory.settings.clone(), pairs)?;
    let (settings, notes) = normalized(app, &plugin, settings).await?;
    let secrets = seal(&app.master_key().directory_sealer(directory.id.clone()), secrets);
    let directory = app
        .store()
        .set_settings(
            app.tenant(),
            &directory.id,
            &directory.settings,
            settings,
            secrets,
        )
        .await?;
    let mut view = view(app, directory, Some(description)).await?;
    view.notes = notes;
    if let Some(at) = view.verified_at.as_ref().filter(|_| !view.verified) {
        view.notes.push(format!(
            "syncs go on with the settings that were verified at {at}, until `idsync directory verify` passes with these"
        ));
    }
    Ok(view)
}

/// The public half of a directory's key.
pub async fn public_key(app: &App, id_or_name: &str) -> Result<PublicKey, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    let key = app
        .store()
        .signing_key(app.tenant(), &directory.id)
        .await?
        .ok_or_else(|| {
            CommandError::usage(
                format!("directory `{}` has no key", directory.name),
                format!("The provider `{}` works without one.", directory.provider),
            )
        })?;
    let jwk: Value = serde_json::from_str(&key.public_jwk).map_err(|error| unreadable_key(&error))?;
    let jwk_text = serde_json::to_string_pretty(&jwk).map_err(|error| unreadable_key(&error))?;
    let pem = public_pem(&key.public_jwk).map_err(|error| unreadable_key(&error))?;
    Ok(PublicKey { jwk, jwk_text, pem })
}

/// Lets the schedule run a directory. It must be verified.
pub async fn enable(app: &App, id_or_name: &str) -> Result<DirectoryView, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    if directory.verified.is_none() {
        return Err(CommandError::usage(
            format!(
                "directory `{}` was never verified, so it can't be enabled",
                directory.name
            ),
            format!(
                "Run `idsync directory verify {}` and mend what it finds.",
                directory.name
            ),
        ));
    }
    let directory = app
        .store()
        .set_state(app.tenant(), &directory.id, DirectoryState::Active, None)
        .await?;
    view(app, directory, None).await
}

/// Stops the schedule of a directory.
pub async fn disable(app: &App, id_or_name: &str) -> Result<DirectoryView, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    let reason = Some(DisabledReason::Person);
    let directory = app
        .store()
        .set_state(app.tenant(), &directory.id, DirectoryState::Disabled, reason)
        .await?;
    view(app, directory, None).await
}

/// Removes a directory: its rows are deleted for all readers, its key is erased.
pub async fn remove(app: &App, id_or_name: &str) -> Result<Removed, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    let run = idsync_model::RunId::generate();
    let applied = idsync_engine::remove(
        app.store().as_ref(),
        app.tenant(),
        &directory.id,
        &run,
    )
    .await?;
    Ok(Removed {
        removed: directory.id,
        run: run.to_string(),
        users: applied.run.users.deleted,
        groups: applied.run.groups.deleted,
        memberships: applied.run.memberships.deleted,
    })
}

async fn view(
    app: &App,
    directory: Directory,
    description: Option<&Description>,
) -> Result<DirectoryView, CommandError> {
    let key = app.store().signing_key(app.tenant(), &directory.id).await?;
    let public_jwk = match &key {
        Some(key) => Some(serde_json::from_str(&key.public_jwk).map_err(|error| unreadable_key(&error))?),
        None => None,
    };
    let verified = match &directory.verified {
        Some(verified) => {
            app.fingerprint(&directory, &verified.plugin_version).await? == verified.fingerprint
        }
        None => false,
    };
    Ok(DirectoryView {
        missing_settings: description.map_or_else(Vec::new, |description| missing(description, &directory)),
        id: directory.id,
        provider: directory.provider,
        name: directory.name,
        state: directory.state,
        disabled_reason: directory.disabled_reason,
        settings: directory.settings,
        secret_settings: directory.secret_names,
        kid: key.map(|key| key.kid),
        public_jwk,
        verified,
        verified_at: directory.verified.map(|verified| verified.at.to_string()),
        users: directory.counts.users,
        groups: directory.counts.groups,
        memberships: directory.counts.memberships,
        held_since: directory.held_since.map(|since| since.to_string()),
        last_run: directory.last_run.as_ref().map(RunLine::from),
        created_at: directory.created_at.to_string(),
        notes: Vec::new(),
    })
}

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
fn split(
    description: &Description,
    mut settings: Settings,
    pairs: Vec<(String, String)>,
) -> Result<(BTreeMap<String, String>, Settings), CommandError> {
    let mut secrets = BTreeMap::new();
    for (name, value) in pairs {
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

fn seal(
    sealer: &idsync_capability::keys::DirectorySealer,
    secrets: BTreeMap<String, String>,
) -> Vec<SealedSecret> {
    secrets
        .into_iter()
        .map(|(name, value)| SealedSecret {
            value: (!value.is_empty()).then(|| Sealed(sealer.seal(Purpose::Secret, &name, value.as_bytes()))),
            name,
        })
        .collect()
}

/// Settings in the plugin's canonical form, with what was mended.
async fn normalized(
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

fn check_name(name: &str) -> Result<(), CommandError> {
    let is_text = !name.trim().is_empty() && name == name.trim() && !name.chars().any(char::is_control);
    if is_text && name.chars().count() <= NAME_CHARS && !name.starts_with("dir_") {
        return Ok(());
    }
    Err(CommandError::usage(
        format!("`{name}` can't be the name of a directory"),
        format!(
            "Give 1 to {NAME_CHARS} printable characters without spaces at the ends, and not `dir_…`, which is an id."
        ),
    ))
}

fn unreadable_key(error: &(dyn std::error::Error + 'static)) -> CommandError {
    CommandError::host(
        error,
        "The stored key can't be read: restore the data directory from a backup.",
    )
}
