//! What a plugin is given of a directory: for runs the key and secrets that are verified, for a verification those that
//! wait for it. What a run needs before it can begin.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use idsync_capability::keys::KeyPair;
use idsync_capability::vault::SealedValues;
use idsync_engine::VerifyOrder;
use idsync_engine::scheduler::Bound;
use idsync_model::{
    CallContext, CancellationToken, CheckOutcome, Description, ErrorKind, NoEvents, Provider as _, RunId,
    SettingProblem,
};
use idsync_sandbox::{BoundPlugin, Grants, Plugin};
use idsync_store::{Directory, DirectoryVault, SecretOf, SigningKey};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::error::{CommandError, Kind};
use crate::operation::view::unfitting;
use crate::vault::{StoredValues, UnchangedValues};

/// How long the host's own verification may take.
const VERIFY_TIME: Duration = Duration::from_mins(5);

/// Which key and secrets are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that runs use.
    Verified,
    /// Those that the next verification is of: what waits, else what runs use.
    Next,
    /// The secrets that the next verification is of, and the key that runs use: a key that waits changes nothing yet.
    Present,
}

impl Which {
    fn secrets(self) -> SecretOf {
        match self {
            Self::Verified => SecretOf::Verified,
            Self::Next | Self::Present => SecretOf::Next,
        }
    }
}

/// On whose behalf a plugin is called, which decides what becomes of what it keeps.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'a> {
    /// A person.
    Person,
    /// A run, for as long as it may write.
    Run(&'a RunId),
    /// The host by itself: nothing is kept, because nobody was told.
    Host,
}

/// Loads the plugin of a verified directory and binds it for a run. After a new major version of the plugin the
/// settings are verified again first (RUNS §7.4).
pub async fn ready(app: &App, directory: &Directory, run: &RunId) -> Result<Bound, CommandError> {
    let plugin = app.plugin(&directory.provider).await?;
    let description = plugin.description();
    let problems = unfitting(description, directory);
    if !problems.is_empty() {
        return Err(no_longer_fitting(directory, description, &problems));
    }
    let verified_with = directory
        .verified
        .as_ref()
        .map_or("", |verified| verified.plugin_version.as_str());
    let mut notes = Vec::new();
    if major(verified_with) != major(&description.version) {
        Box::pin(verify_again(app, &plugin, directory)).await?;
        let text = format!(
            "the host verified the settings again, because version {} of the plugin took the place of {verified_with}",
            description.version
        );
        tracing::info!(%run, directory = %directory.id, "{text}");
        notes.push(text);
    }
    let bound = bind(app, &plugin, directory, Which::Verified, Caller::Run(run)).await?;
    Ok(Bound {
        provider: Arc::new(bound),
        plugin_version: description.version.clone(),
        plugin_digest: plugin.digest().to_string(),
        contract: plugin.contract().to_owned(),
        notes,
    })
}

/// A plugin as the provider of a directory, with what the directory grants it.
pub async fn bind(
    app: &App,
    plugin: &Arc<Plugin>,
    directory: &Directory,
    which: Which,
    caller: Caller<'_>,
) -> Result<BoundPlugin, CommandError> {
    Ok(plugin.bind(grants(app, directory, which, caller).await?))
}

/// What a directory grants whoever works on it.
pub async fn grants(
    app: &App,
    directory: &Directory,
    which: Which,
    caller: Caller<'_>,
) -> Result<Grants, CommandError> {
    let sealer = app.master_key().directory_sealer(directory.id.clone());
    let mut vault = DirectoryVault::new(
        Arc::clone(app.store()),
        directory.tenant.clone(),
        directory.id.clone(),
    );
    if which.secrets() == SecretOf::Next {
        vault = vault.for_verification();
    }
    let key = match vault.signing_key().await? {
        None => None,
        Some(key) => {
            let pair = KeyPair::unseal(key.algorithm, &key.kid, &key.sealed_private.0, &sealer).map_err(
                |error| {
                    CommandError::host(
                        &error,
                        "Restore the data directory, its master key too, from one backup.",
                    )
                },
            )?;
            Some(Arc::new(pair))
        }
    };
    let values: Arc<dyn SealedValues> = match caller {
        Caller::Person => Arc::new(StoredValues(vault)),
        Caller::Run(run) => Arc::new(StoredValues(vault.for_run(run.clone()))),
        Caller::Host => Arc::new(UnchangedValues(StoredValues(vault))),
    };
    Ok(Grants {
        directory: Some(directory.id.clone()),
        key,
        vault: Some((values, sealer)),
        limits: None,
    })
}

/// The key that is meant.
pub async fn key(app: &App, directory: &Directory, which: Which) -> Result<Option<SigningKey>, CommandError> {
    let keys = app.store().signing_keys(&directory.tenant, &directory.id).await?;
    Ok(match which {
        Which::Next => keys.next.or(keys.current),
        Which::Verified | Which::Present => keys.current,
    })
}

/// A digest of all that a verification stands for: settings, secrets, key, and the plugin's major version.
pub async fn fingerprint(
    app: &App,
    directory: &Directory,
    plugin_version: &str,
    which: Which,
) -> Result<String, CommandError> {
    let settings = match (which, &directory.verified) {
        (Which::Verified, Some(verified)) => &verified.settings,
        _ => &directory.settings,
    };
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    };
    for (name, value) in &settings.0 {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    for name in &directory.secret_names {
        let secret = app
            .store()
            .secret(&directory.tenant, &directory.id, name, which.secrets());
        // One that is to be erased is as one that is not there.
        if let Some(sealed) = secret.await? {
            add(name.as_bytes());
            add(&sealed.0);
        }
    }
    let key = key(app, directory, which).await?;
    add(key.map_or_else(String::new, |key| key.kid).as_bytes());
    add(major(plugin_version).as_bytes());
    Ok(hex(&digest.finalize()))
}

/// What is synced with now is verified with the new version of the plugin; what waits for a person's verification goes
/// on waiting. While a secret waits nothing is recorded, because a record would put it in force: the next run verifies
/// once more then.
async fn verify_again(app: &App, plugin: &Arc<Plugin>, directory: &Directory) -> Result<(), CommandError> {
    let version = &plugin.description().version;
    let Some(verified) = &directory.verified else {
        return Err(idsync_engine::EngineError::NotVerified {
            name: directory.name.clone(),
        }
        .into());
    };
    let provider = bind(app, plugin, directory, Which::Verified, Caller::Host).await?;
    let context = CallContext {
        run: None,
        time_limit: VERIFY_TIME,
        cancel: CancellationToken::new(),
        events: Arc::new(NoEvents),
    };
    let verification = if directory.waiting_secrets.is_empty() {
        let order = VerifyOrder {
            tenant: directory.tenant.clone(),
            directory: directory.id.clone(),
            settings: verified.settings.clone(),
            settings_mark: directory.settings_mark,
            kid: key(app, directory, Which::Verified).await?.map(|key| key.kid),
            fingerprint: fingerprint(app, directory, version, Which::Verified).await?,
            plugin_version: version.clone(),
            hosts: plugin.hosts(&verified.settings).ok(),
            by_person: false,
        };
        let (store, clock) = (app.store(), app.clock().as_ref());
        Box::pin(idsync_engine::verify(store, clock, order, &provider, context)).await?
    } else {
        // Whether it is the known org is asked by each run at its start.
        provider.verify(&verified.settings, context).await?
    };
    if verification.is_verified() {
        return Ok(());
    }
    let failed = verification
        .checks
        .iter()
        .find(|check| check.outcome == CheckOutcome::Failed)
        .map_or_else(
            || "the plugin says nothing".to_owned(),
            |check| format!("{}: {}", check.title, check.detail),
        );
    Err(not_verified_again(directory, version, &failed))
}

/// Kind `host`: it is tried again, and never disables the directory. A check fails for an org that is away just as for
/// a right that is missing, and the checks don't tell which.
fn not_verified_again(directory: &Directory, version: &str, why: &str) -> CommandError {
    CommandError::new(
        Kind::Run(ErrorKind::Host),
        format!(
            "version {version} of the plugin could not be verified with the settings of directory `{}` ({why})",
            directory.name
        ),
        format!(
            "It is tried again by itself. When it stands, run `idsync directory verify {}` and mend what it finds.",
            directory.name
        ),
    )
}

fn no_longer_fitting(
    directory: &Directory,
    description: &Description,
    problems: &[SettingProblem],
) -> CommandError {
    let problems: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.name, problem.problem))
        .collect();
    CommandError::new(
        Kind::Run(ErrorKind::InvalidSettings),
        format!(
            "version {} of the plugin no longer takes the settings of directory `{}` ({})",
            description.version,
            directory.name,
            problems.join("; ")
        ),
        format!(
            "Correct them with `idsync directory set {0} KEY=VALUE`, then `idsync directory verify {0}`.",
            directory.name
        ),
    )
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
