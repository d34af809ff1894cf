//! A directory as commands show it: its settings, keys, schedule, limits, and how its runs fare.

use idsync_engine::due::{self, Due};
use idsync_model::{
    DeleteLimits, Description, DirectoryId, DirectoryState, DisabledReason, Failure, RunId, SettingProblem,
    Settings, UnixMillis,
};
use idsync_sandbox::settings::{Completeness, check};
use idsync_store::{Directory, Failing, SigningKey};
use serde::Serialize;
use serde_json::Value;

use super::keys::unreadable_key;
use super::run::RunLine;
use super::settings::missing;
use crate::app::App;
use crate::binding::{self, Which};
use crate::duration;
use crate::error::CommandError;

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
    /// Those of them that wait for a verification.
    pub waiting_secrets: Vec<String>,
    /// The names of settings that it needs and has not.
    pub missing_settings: Vec<String>,
    /// What no longer fits the plugin in the settings that were verified.
    pub unfitting_settings: Vec<SettingProblem>,
    /// The id of its key.
    pub kid: Option<String>,
    /// The public half of its key, as a JWK.
    pub public_jwk: Option<Value>,
    /// The id of the key that waits for its verification.
    pub next_kid: Option<String>,
    /// The public half of that key, as a JWK.
    pub next_public_jwk: Option<Value>,
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
    /// The time from one run to the next, such as `2h`.
    pub every: String,
    /// The same in seconds.
    pub every_seconds: u64,
    /// When it runs next, and why then. Only of an active directory.
    pub next_run: Option<NextRun>,
    /// What its plans may delete without being held.
    pub limits: DeleteLimits,
    /// Since when its plans have been held.
    pub held_since: Option<String>,
    /// How its runs fail now; null after a success.
    pub failing: Option<FailingView>,
    /// The run in progress.
    pub running: Option<RunId>,
    /// Its newest run.
    pub last_run: Option<RunLine>,
    /// When it was added.
    pub created_at: String,
    /// What was mended in the settings that were given just now.
    pub notes: Vec<String>,
}

/// The next run of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NextRun {
    /// When it begins, if the service runs.
    pub at: String,
    /// Why then.
    pub why: WhyThen,
    /// What the provider asked for, where it did.
    pub detail: Option<String>,
}

/// Why a directory runs when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyThen {
    /// It was enabled, or a run was broken off.
    AtOnce,
    /// The last run failed and is tried again.
    Retry,
    /// The provider asked to wait until then.
    Provider,
    /// The schedule says so.
    Schedule,
}

/// How a directory's runs fail.
#[derive(Debug, Serialize)]
pub struct FailingView {
    /// Since when.
    pub since: String,
    /// How many runs in a row.
    pub in_a_row: u32,
    /// The last failure.
    pub error: Failure,
}

impl From<Failing> for FailingView {
    fn from(failing: Failing) -> Self {
        Self {
            since: failing.since.to_string(),
            in_a_row: failing.in_a_row,
            error: failing.failure,
        }
    }
}

/// The view of a directory. Without a description nothing can be said of what its plugin wants.
pub async fn view(
    app: &App,
    directory: Directory,
    description: Option<&Description>,
) -> Result<DirectoryView, CommandError> {
    let keys = app.store().signing_keys(&directory.tenant, &directory.id).await?;
    let unfitting_settings =
        description.map_or_else(Vec::new, |description| unfitting(description, &directory));
    let verified = match &directory.verified {
        Some(verified) => {
            let present = binding::fingerprint(app, &directory, &verified.plugin_version, Which::Present);
            present.await? == verified.fingerprint && unfitting_settings.is_empty()
        }
        None => false,
    };
    Ok(DirectoryView {
        missing_settings: description.map_or_else(Vec::new, |description| missing(description, &directory)),
        unfitting_settings,
        next_run: next_run(&directory, app.clock().now()),
        id: directory.id,
        provider: directory.provider,
        name: directory.name,
        state: directory.state,
        disabled_reason: directory.disabled_reason,
        settings: directory.settings,
        secret_settings: directory.secret_names,
        waiting_secrets: directory.waiting_secrets,
        public_jwk: keys.current.as_ref().map(public_jwk).transpose()?,
        kid: keys.current.map(|key| key.kid),
        next_public_jwk: keys.next.as_ref().map(public_jwk).transpose()?,
        next_kid: keys.next.map(|key| key.kid),
        verified,
        verified_at: directory.verified.map(|verified| verified.at.to_string()),
        users: directory.counts.users,
        groups: directory.counts.groups,
        memberships: directory.counts.memberships,
        every: duration::short(directory.times.every),
        every_seconds: directory.times.every.as_secs(),
        limits: directory.limits,
        held_since: directory.held_since.map(|since| since.to_string()),
        failing: directory.failing.map(FailingView::from),
        running: directory.lease.map(|lease| lease.run),
        last_run: directory.last_run.as_ref().map(RunLine::from),
        created_at: directory.created_at.to_string(),
        notes: Vec::new(),
    })
}

/// What a new version of the plugin no longer takes of the settings that are synced with.
pub fn unfitting(description: &Description, directory: &Directory) -> Vec<SettingProblem> {
    directory.verified.as_ref().map_or_else(Vec::new, |verified| {
        check(description, &verified.settings, Completeness::Complete)
            .err()
            .unwrap_or_default()
    })
}

fn next_run(directory: &Directory, now: UnixMillis) -> Option<NextRun> {
    if directory.state != DirectoryState::Active {
        return None;
    }
    let times = &directory.times;
    let at = match due::when(times, &directory.id, now) {
        Due::Since(_) => now,
        Due::At(at) => at,
    };
    let wish = times.not_before.as_ref().filter(|wish| wish.at == at);
    let why = if times.is_due {
        WhyThen::AtOnce
    } else if wish.is_some() {
        WhyThen::Provider
    } else if times.next_try_at.is_some_and(|next| next <= at) {
        WhyThen::Retry
    } else {
        WhyThen::Schedule
    };
    Some(NextRun {
        at: at.to_string(),
        why,
        detail: wish.map(|wish| wish.reason.clone()),
    })
}

fn public_jwk(key: &SigningKey) -> Result<Value, CommandError> {
    serde_json::from_str(&key.public_jwk).map_err(|error| unreadable_key(&error))
}
