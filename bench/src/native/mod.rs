//! The plugin's logic as native code: one sync of a directory that idsync set up, by idsync's own engine, store, egress
//! and keys. What it is slower or faster than idsync by is what the sandbox costs.

mod host;
mod provider;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use idsync::app::{App, AppOptions};
use idsync::binding::{self, Caller, Which};
use idsync_capability::egress::{Egress, HostPort, PrivateEgress};
use idsync_engine::{ReadLimits, RunOrder, RunSignals, purge_if_due};
use idsync_model::{CancellationToken, NoEvents, Outcome, RunId, TenantName, Trigger};
use idsync_sandbox::Limits;

use self::provider::NativePlugin;
use crate::{on_all_cores, out};

/// How a native sync is called.
#[derive(Debug, Args)]
pub struct Options {
    /// The data directory that idsync made
    #[arg(long)]
    data_dir: PathBuf,
    /// The directory, which was verified
    #[arg(long)]
    directory: String,
    /// Its tenant
    #[arg(long, default_value = "default")]
    tenant: TenantName,
    /// The certificate of the org's CA
    #[arg(long)]
    ca: PathBuf,
    /// The host and port of the org
    #[arg(long, value_name = "HOST:PORT")]
    allow: HostPort,
    /// Read everything, as `idsync sync --full` does
    #[arg(long)]
    full: bool,
}

/// Syncs once, and prints the report that `idsync --json sync` prints. False where the run did not succeed.
pub fn main(options: &Options) -> Result<bool> {
    on_all_cores(whole(options))
}

async fn whole(options: &Options) -> Result<bool> {
    ensure!(
        options.data_dir.is_dir(),
        "there is no data directory {}: set the directory up with idsync",
        options.data_dir.display()
    );
    let app = App::open(AppOptions {
        data_dir: options.data_dir.clone(),
        plugins_dir: None,
        tenant: options.tenant.clone(),
        ca_certs: vec![options.ca.clone()],
        allow_private_egress: vec![options.allow.with_port()],
        master_key: None,
        runs_at_once: 1,
    })?;
    let directory = app.store().directory(app.tenant(), &options.directory).await?;
    let run = RunId::generate();
    let grants = binding::grants(&app, &directory, Which::Verified, Caller::Run(&run)).await?;
    let allowed: PrivateEgress = std::iter::once(options.allow.clone()).collect();
    let egress = Egress::new(std::slice::from_ref(&options.ca), allowed).context("setting up egress")?;
    let plugin = NativePlugin::new(grants, egress, Limits::default(), Arc::clone(app.clock()));
    let order = RunOrder {
        run,
        tenant: app.tenant().clone(),
        directory: directory.id,
        trigger: Trigger::Manual,
        full: options.full,
        dry_run: false,
        plugin_version: plugin_okta::describe::VERSION.to_owned(),
        plugin_digest: "native".to_owned(),
        contract: "native".to_owned(),
        notes: Vec::new(),
        limits: ReadLimits::default(),
        takes_over: None,
    };
    let sync = app.sync().await?;
    let signals = RunSignals {
        cancel: CancellationToken::new(),
        stop: CancellationToken::new(),
        events: Arc::new(NoEvents),
    };
    let report = Box::pin(sync.run(order, Arc::new(plugin), signals))
        .await
        .context("syncing")?;
    // A part of each `idsync sync`.
    purge_if_due(app.store().as_ref()).await.context("purging")?;
    out::line(&serde_json::to_string(&report)?);
    Ok(report.outcome == Outcome::Succeeded)
}
