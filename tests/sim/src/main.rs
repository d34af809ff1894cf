//! `okta-sim`: serves a simulated Okta org until it is told to stop.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Parser;
use okta_sim::{Dpop, Sim, SimOptions};
use tokio::signal::unix::{SignalKind, signal};

/// A simulated Okta org on loopback. Prints one JSON line when it is ready: where the org, its CA and its control
/// API are. Ends on SIGINT or SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "okta-sim", version)]
struct Cli {
    /// How many users the org has
    #[arg(long, default_value_t = 100)]
    users: usize,
    /// How many groups are assigned to the sign-in app
    #[arg(long, default_value_t = 10)]
    groups: usize,
    /// How many members each group has
    #[arg(long, default_value_t = 10)]
    per_group: usize,
    /// What the org is made from: the same seed makes the same org
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long each answer waits, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// How many requests each bucket of the rate limits allows in a window
    #[arg(long, value_name = "N", default_value_t = 1_200)]
    limit: u32,
    /// How long a window of the rate limits is, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    window: i64,
    /// The port of the org on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Whether a token request without a DPoP proof is refused
    #[arg(long, value_enum, default_value_t = Dpop::Required)]
    dpop: Dpop,
    /// Let the service app see all apps, not the sign-in app alone
    #[arg(long)]
    all_apps: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let sim = Sim::start(SimOptions {
        users: cli.users,
        groups: cli.groups,
        per_group: cli.per_group,
        seed: cli.seed,
        latency_ms: cli.latency,
        limit: cli.limit,
        window_secs: cli.window,
        port: cli.port,
        dpop: cli.dpop,
        all_apps: cli.all_apps,
        ..SimOptions::default()
    })
    .await?;
    tell(&serde_json::to_string(sim.info())?)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Writes the one line that scripts read, at once.
fn tell(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("writing where the org is to standard output")
}
