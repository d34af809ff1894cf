//! How long an instance takes to start from a cached component, and what a place for one costs while it is idle.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use idsync::app::{App, AppOptions};
use idsync_model::{Provider as _, Settings, TenantName};
use idsync_sandbox::{Grants, Plugin};
use serde_json::{Value, json};

use crate::run::measure::own_resident_mib;
use crate::{on_all_cores, out, time};

/// How the start of instances is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// The folder of the plugins
    #[arg(long)]
    plugins: PathBuf,
    /// A data directory, which is made where there is none; compiled components are kept in it
    #[arg(long)]
    data_dir: PathBuf,
    /// How many instances are started one after another
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// For how many runs at once places are reserved
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    places: u32,
}

/// Measures, and prints one line of JSON.
pub fn main(options: &Options) -> Result<()> {
    on_all_cores(whole(options))
}

async fn whole(options: &Options) -> Result<()> {
    // Compiles where nothing is cached yet, and touches what every later engine finds warm.
    let settings = Settings::default();
    start(&loaded(options, 1).await?.1, &settings).await?;

    let before = own_resident_mib()?;
    let one_place = loaded(options, 1).await?;
    let with_one = own_resident_mib()? - before;
    drop(one_place);

    let before = own_resident_mib()?;
    let began = time::now();
    let (app, plugin) = loaded(options, options.places).await?;
    let load = began.elapsed();
    let with_all = own_resident_mib()? - before;

    let mut starts = Vec::new();
    for _ in 0..options.starts {
        let began = time::now();
        start(&plugin, &settings).await?;
        starts.push(began.elapsed().as_nanos());
    }
    drop(app);
    starts.sort_unstable();
    let at = |share: usize| starts[(starts.len() - 1) * share / 100] as f64 / 1000.0;
    let told: Value = json!({
        "starts": starts.len(),
        "median_us": at(50),
        "p99_us": at(99),
        "max_us": at(100),
        // Opening the data directory, making the engine and loading the component from the cache.
        "load_ms": load.as_millis(),
        "places": options.places,
        "engine_mib": with_all,
        "idle_slot_mib": (with_all - with_one).max(0.0) / f64::from(options.places - 1),
    });
    out::line(&told.to_string());
    Ok(())
}

/// An engine with places for that many runs, and the plugin loaded into it.
async fn loaded(options: &Options, runs_at_once: u32) -> Result<(App, Arc<Plugin>)> {
    let app = App::open(AppOptions {
        data_dir: options.data_dir.clone(),
        plugins_dir: Some(options.plugins.clone()),
        tenant: "default"
            .parse::<TenantName>()
            .context("reading the tenant's name")?,
        ca_certs: Vec::new(),
        allow_private_egress: Vec::new(),
        master_key: None,
        runs_at_once,
    })?;
    let plugin = app.plugin("okta").await?;
    Ok((app, plugin))
}

/// An instance is made, its `normalize` is called with nothing to do, and it is taken down again.
async fn start(plugin: &Arc<Plugin>, settings: &Settings) -> Result<()> {
    let bound = plugin.bind(Grants {
        directory: None,
        key: None,
        vault: None,
        limits: None,
    });
    // That nothing is set is what it answers.
    bound
        .normalize(settings)
        .await
        .map_err(|failure| anyhow!("calling `normalize`: {}", failure.summary))
        .map(drop)
}
