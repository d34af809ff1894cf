//! The driver: measures the rows that are asked for, prints a table of them and writes it as JSON.

mod counters;
mod density;
mod directory;
mod finding;
mod hostile;
mod machine;
pub mod measure;
mod memory;
mod org;
mod pace;
mod sizes;
mod syncs;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde_json::json;

use self::finding::Finding;
use crate::out;

/// How the driver is called.
#[derive(Debug, Args)]
pub struct Options {
    /// Measure only this row; may be given more than once
    #[arg(long, value_enum, value_name = "ROW")]
    pub only: Vec<Row>,
    /// A tenth of the size, and one round: to see whether all works, not for figures
    #[arg(long)]
    pub quick: bool,
    /// How often each is measured; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Draw time and memory against users into this SVG file, where the row `memory` is measured
    #[arg(long, value_name = "FILE")]
    pub figure: Option<PathBuf>,
    /// The host's binary
    #[arg(long)]
    pub idsync: PathBuf,
    /// The simulated org's binary
    #[arg(long)]
    pub okta_sim: PathBuf,
    /// The folder with okta.wasm
    #[arg(long)]
    pub plugins: PathBuf,
    /// Where the report goes
    #[arg(long)]
    pub out: PathBuf,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Row {
    /// First and second sync of 100,000 users, beside the yardstick and beside native logic
    Sync,
    /// Peak memory of the host as the org grows
    Memory,
    /// 50 ms a request, as over the internet
    Latency,
    /// Limits as tight as Okta's
    RateLimits,
    /// Input that is slow on purpose: twice of it takes twice as long
    Hostile,
    /// A few groups changed: what is asked for
    Incremental,
    /// A thousand directories in one service
    Density,
    /// Start of an instance of the component
    Instance,
    /// From the start of the binary to the first request
    ColdStart,
    /// Of the component and the binary
    Sizes,
}

impl Options {
    fn wants(&self, row: Row) -> bool {
        self.only.is_empty() || self.only.contains(&row)
    }

    fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// A size, or a tenth of it.
    fn size(&self, whole: u32) -> u32 {
        if self.quick { whole / 10 } else { whole }
    }
}

type Measure = fn(&Options) -> Result<Vec<Finding>>;

const ROWS: [(Row, Measure); 10] = [
    (Row::Sizes, sizes::sizes),
    (Row::Instance, sizes::instance),
    (Row::ColdStart, sizes::cold_start),
    (Row::Sync, syncs::measure),
    (Row::Incremental, counters::incremental),
    (Row::Latency, pace::latency),
    (Row::RateLimits, pace::rate_limits),
    (Row::Hostile, hostile::measure),
    (Row::Memory, memory::measure),
    (Row::Density, density::measure),
];

/// Measures; says whether every bar was met.
pub fn main(options: &Options) -> Result<bool> {
    let machine = machine::of_this();
    out::note(&format!("measuring on {machine}"));
    let mut findings = Vec::new();
    for (row, measure) in ROWS.iter().filter(|(row, _)| options.wants(*row)) {
        let name = row
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned());
        out::note(&format!("==> {name}"));
        findings.extend(measure(options).with_context(|| format!("measuring {name}"))?);
    }
    out::line(&finding::table(&findings));
    fs::create_dir_all(&options.out).with_context(|| format!("making {}", options.out.display()))?;
    let path = options.out.join("report.json");
    let report = json!({
        "machine": machine,
        "quick": options.quick,
        "rounds": options.rounds(),
        "findings": findings,
    });
    fs::write(&path, format!("{report:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    out::note(&format!("written to {}", path.display()));
    let missed = findings
        .iter()
        .filter(|finding| finding.is_met == Some(false))
        .count();
    if missed > 0 {
        out::note(&format!("bars that were missed: {missed}"));
    }
    Ok(missed == 0)
}
