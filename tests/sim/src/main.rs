//! `okta-sim`: serves a simulated Okta org until it is told to stop.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use okta_sim::{Authority, Dpop, Shape, Sim, SimOptions};
use tokio::signal::unix::{SignalKind, signal};

/// A simulated Okta org on loopback, or several. Prints one JSON line for each when all are ready: where the org, its
/// CA and its control API are. Ends on SIGINT or SIGTERM.
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
    /// How many fields each profile has beyond Okta's own
    #[arg(long, value_name = "N", default_value_t = 0)]
    fields: u16,
    /// How many bytes family names and names of groups are padded to
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    long_names: usize,
    /// Put the first user into all groups, and all users into the first group
    #[arg(long)]
    everywhere: bool,
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
    /// How many orgs there are, each with a host name and ports of its own, under one CA
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    orgs: u16,
    /// Make the pages of a sync before the org is ready, for a bench
    #[arg(long)]
    warm: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    anyhow::ensure!(
        cli.orgs == 1 || cli.port == 0,
        "several orgs can't share port {}: leave out --port",
        cli.port
    );
    // Each org has a listener, a control API and connections; without the right to more the system says so itself.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let mut orgs = Vec::new();
    let authority = Arc::new(Authority::new("okta.localhost")?);
    for n in 0..u64::from(cli.orgs) {
        let alone = SimOptions::default().host;
        let sim = Sim::start(SimOptions {
            users: cli.users,
            groups: cli.groups,
            per_group: cli.per_group,
            shape: Shape {
                extra_fields: cli.fields,
                long_names: cli.long_names,
                is_everywhere: cli.everywhere,
            },
            seed: cli.seed + n,
            latency_ms: cli.latency,
            limit: cli.limit,
            window_secs: cli.window,
            port: cli.port,
            dpop: cli.dpop,
            all_apps: cli.all_apps,
            host: if cli.orgs == 1 {
                alone
            } else {
                format!("org-{n}.okta.localhost")
            },
            authority: Some(Arc::clone(&authority)),
        })
        .await?;
        if cli.warm {
            sim.warm();
        }
        orgs.push(sim);
    }
    for sim in &orgs {
        tell(&serde_json::to_string(sim.info())?)?;
    }
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
