//! Directories: adding, listing, showing, setting, scheduling, enabling, disabling, removing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use idsync_model::{
    DeleteLimit, DeleteLimits, DirectoryId, DirectoryState, DisabledReason, Entity, GuideStep, Settings,
};
use idsync_sandbox::Plugin;
use idsync_store::NewDirectory;
use serde::Serialize;

use super::keys::new_key;
use super::settings::{normalized, seal, split};
use super::view::{DirectoryView, view};
use crate::app::App;
use crate::duration;
use crate::error::CommandError;

/// The longest name of a directory, in characters.
const NAME_CHARS: usize = 100;

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

/// Adds a directory as a draft and makes its key pair.
pub async fn add(
    app: &App,
    provider: &str,
    name: &str,
    pairs: Vec<(String, String)>,
    limits: Vec<(Entity, DeleteLimit)>,
) -> Result<Added, CommandError> {
    check_name(name)?;
    let limits = with_limits(DeleteLimits::default(), limits)?;
    let plugin = app.plugin(provider).await?;
    let description = plugin.description().clone();
    let id = DirectoryId::generate();
    let sealer = app.master_key().directory_sealer(id.clone());

    let (secrets, settings) = split(&description, Settings::default(), pairs)?;
    let (settings, notes) = normalized(app, &plugin, settings).await?;
    let secrets = seal(&sealer, secrets);
    let key = match description.key {
        None => None,
        Some(algorithm) => Some(new_key(algorithm, sealer).await?),
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
    let mut directory = app.store().add_directory(app.tenant(), new).await?;
    if limits != directory.limits {
        directory = app
            .store()
            .set_limits(app.tenant(), &directory.id, limits)
            .await?;
    }
    let mut directory = view(app, directory, Some(&description)).await?;
    directory.notes = notes;
    Ok(Added {
        directory,
        guide: description.guide,
    })
}

/// The tenant's directories by name.
pub async fn list(app: &App) -> Result<Vec<DirectoryView>, CommandError> {
    // What each plugin wants now decides whether its directories are verified. One that is gone says nothing.
    let mut plugins: BTreeMap<String, Option<Arc<Plugin>>> = BTreeMap::new();
    let mut views = Vec::new();
    for directory in app.store().directories(app.tenant()).await? {
        let plugin = if let Some(plugin) = plugins.get(&directory.provider) {
            plugin.clone()
        } else {
            let plugin = app.plugin(&directory.provider).await.ok();
            plugins.insert(directory.provider.clone(), plugin.clone());
            plugin
        };
        views.push(view(app, directory, plugin.as_deref().map(Plugin::description)).await?);
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

/// Changes settings and limits. Settings that were verified before go on to be synced until the new ones are verified
/// (RUNS §7.1).
pub async fn set(
    app: &App,
    id_or_name: &str,
    pairs: Vec<(String, String)>,
    limits: Vec<(Entity, DeleteLimit)>,
) -> Result<DirectoryView, CommandError> {
    let mut directory = app.store().directory(app.tenant(), id_or_name).await?;
    let limits = with_limits(directory.limits, limits)?;
    let plugin = app.plugin(&directory.provider).await?;
    let description = plugin.description();
    let mut notes = Vec::new();
    let sets_settings = !pairs.is_empty();
    if sets_settings {
        let (secrets, settings) = split(description, directory.settings.clone(), pairs)?;
        let (settings, mended) = normalized(app, &plugin, settings).await?;
        notes = mended;
        let secrets = seal(&app.master_key().directory_sealer(directory.id.clone()), secrets);
        let expected = &directory.settings;
        directory = app
            .store()
            .set_settings(app.tenant(), &directory.id, expected, settings, secrets)
            .await?;
    }
    if limits != directory.limits {
        directory = app
            .store()
            .set_limits(app.tenant(), &directory.id, limits)
            .await?;
    }
    let mut view = view(app, directory, Some(description)).await?;
    view.notes = notes;
    if let Some(at) = view
        .verified_at
        .as_ref()
        .filter(|_| sets_settings && !view.verified)
    {
        view.notes.push(format!(
            "syncs go on with the settings that were verified at {at}, until `idsync directory verify` passes with these"
        ));
    }
    Ok(view)
}

/// Sets how often an enabled directory is synced.
pub async fn schedule(app: &App, id_or_name: &str, every: Duration) -> Result<DirectoryView, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    let directory = app
        .store()
        .set_schedule(app.tenant(), &directory.id, every)
        .await?;
    let mut view = view(app, directory, None).await?;
    if view.state != DirectoryState::Active {
        view.notes.push(format!(
            "it is synced every {} once it is enabled: idsync directory enable {}",
            duration::short(every),
            view.name
        ));
    }
    Ok(view)
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
    let applied = app
        .store()
        .remove_directory(app.tenant(), &directory.id, &run)
        .await?;
    Ok(Removed {
        removed: directory.id,
        run: run.to_string(),
        users: applied.run.users.deleted,
        groups: applied.run.groups.deleted,
        memberships: applied.run.memberships.deleted,
    })
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

/// Limits with those put in that were given. A kind has one.
fn with_limits(
    mut limits: DeleteLimits,
    given: Vec<(Entity, DeleteLimit)>,
) -> Result<DeleteLimits, CommandError> {
    let mut seen = BTreeSet::new();
    for (kind, limit) in given {
        if !seen.insert(kind.plural()) {
            return Err(CommandError::usage(
                format!("--max-delete is given twice for {}", kind.plural()),
                "Give it once for each kind.",
            ));
        }
        limits.set(kind, limit);
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_not_given_stay_and_one_given_twice_is_refused() {
        let five = "5%".parse().unwrap();
        let set = with_limits(DeleteLimits::default(), vec![(Entity::User, five)]).unwrap();
        assert_eq!((set.users, set.groups), (five, DeleteLimit::default()));
        let twice = vec![(Entity::User, five), (Entity::User, DeleteLimit::Off)];
        let error = with_limits(DeleteLimits::default(), twice).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.summary.contains("twice for users"), "{error:?}");
    }
}
