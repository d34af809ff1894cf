//! Verifying a directory's setup, and explaining why someone is, or is not, synced.

use std::sync::Arc;
use std::time::Duration;

use idsync_engine::VerifyOrder;
use idsync_model::{CallContext, CancellationToken, Check, EventSink, NoEvents, Provider};
use idsync_sandbox::settings::{Completeness, check};
use serde::Serialize;

use super::settings::{missing, refused};
use crate::app::App;
use crate::binding::{self, Caller, Which};
use crate::error::CommandError;

/// How long a verification or an explanation may take.
const TIME_LIMIT: Duration = Duration::from_mins(5);

/// The answer to `directory verify`.
#[derive(Debug, Serialize)]
pub struct VerifyResult {
    /// Whether syncing can work.
    pub verified: bool,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
    /// The key that was verified.
    pub kid: Option<String>,
    /// The key that runs go on with, because the new one is not verified.
    pub kept_kid: Option<String>,
    /// The key that the new one took the place of, and that is erased.
    pub erased_kid: Option<String>,
    /// Whether runs go on with settings that were verified before.
    pub goes_on: bool,
}

/// Looks at each thing that must be right. When all is, the present settings are the ones that are synced from now on.
pub async fn verify(
    app: &App,
    id_or_name: &str,
    cancel: CancellationToken,
    events: Arc<dyn EventSink>,
) -> Result<VerifyResult, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    let plugin = app.plugin(&directory.provider).await?;
    let description = plugin.description();
    let lacking = missing(description, &directory);
    if !lacking.is_empty() {
        let settings = lacking
            .iter()
            .map(|name| format!("{name}=…"))
            .collect::<Vec<_>>()
            .join(" ");
        return Err(CommandError::new(
            crate::error::Kind::Run(idsync_model::ErrorKind::InvalidSettings),
            format!(
                "directory `{}` can't be verified: {} is missing",
                directory.name,
                lacking.join(" and ")
            ),
            format!("Set it: idsync directory set {} {settings}", directory.name),
        ));
    }
    check(description, &directory.settings, Completeness::Complete).map_err(|problems| refused(&problems))?;
    let key = |which| binding::key(app, &directory, which);
    let kid = key(Which::Next).await?.map(|key| key.kid);
    let other_kid = key(Which::Verified)
        .await?
        .map(|key| key.kid)
        .filter(|other| Some(other) != kid.as_ref());
    let order = VerifyOrder {
        tenant: app.tenant().clone(),
        directory: directory.id.clone(),
        settings: directory.settings.clone(),
        settings_mark: directory.settings_mark,
        kid: kid.clone(),
        fingerprint: binding::fingerprint(app, &directory, &description.version, Which::Next).await?,
        plugin_version: description.version.clone(),
        hosts: plugin.hosts(&directory.settings).ok(),
        by_person: true,
    };
    let provider = binding::bind(app, &plugin, &directory, Which::Next, Caller::Person).await?;
    let context = CallContext {
        run: None,
        time_limit: TIME_LIMIT,
        cancel,
        events,
    };
    let verification = Box::pin(idsync_engine::verify(
        app.store(),
        app.clock().as_ref(),
        order,
        &provider,
        context,
    ))
    .await?;
    let verified = verification.is_verified();
    let (kept_kid, erased_kid) = if verified {
        (None, other_kid)
    } else {
        (other_kid, None)
    };
    Ok(VerifyResult {
        verified,
        checks: verification.checks,
        kid,
        kept_kid,
        erased_kid,
        goes_on: directory.verified.is_some(),
    })
}

/// Why one person or group is, or is not, synced: with the settings that are synced, or where none were ever verified
/// with the present ones.
pub async fn explain(
    app: &App,
    id_or_name: &str,
    who: &str,
    cancel: CancellationToken,
) -> Result<Vec<Check>, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    let plugin = app.plugin(&directory.provider).await?;
    let which = if directory.verified.is_some() {
        Which::Verified
    } else {
        Which::Next
    };
    let provider = binding::bind(app, &plugin, &directory, which, Caller::Person).await?;
    let settings = directory
        .verified
        .map_or(directory.settings, |verified| verified.settings);
    let context = CallContext {
        run: None,
        time_limit: TIME_LIMIT,
        cancel,
        events: Arc::new(NoEvents),
    };
    Ok(Box::pin(provider.explain(&settings, who, context)).await?)
}
