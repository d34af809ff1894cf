//! What is small whatever the org: files, and the start.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use reqwest::Method;

use super::Options;
use super::directory;
use super::finding::{Finding, median};
use super::measure::measured;
use super::org::{NO_LIMITS, Orgs, Size};
use crate::time;

/// Of the component and the binary.
pub fn sizes(options: &Options) -> Result<Vec<Finding>> {
    let mib = |path: &Path| -> Result<f64> {
        let length = fs::metadata(path)
            .with_context(|| format!("looking at {}", path.display()))?
            .len();
        Ok(length as f64 / f64::from(1 << 20))
    };
    let component = mib(&options.plugins.join("okta.wasm"))?;
    Ok(vec![Finding::plain(
        "size of the component",
        format!("{component:.2} MiB"),
    )])
}

/// Of an instance from a cached component, with one call.
pub fn instance(options: &Options) -> Result<Vec<Finding>> {
    let folder = tempfile::tempdir().context("making a data directory")?;
    let this = std::env::current_exe().context("finding this program")?;
    let cost = measured(
        Command::new(this)
            .args(["instance", "--starts", if options.quick { "200" } else { "2000" }])
            .arg("--plugins")
            .arg(&options.plugins)
            .arg("--data-dir")
            .arg(folder.path().join("data")),
    )?;
    let told = |name: &str| {
        cost.told[name]
            .as_f64()
            .with_context(|| format!("it does not tell its {name}"))
    };
    let median_us = told("median_us")?;
    Ok(vec![
        Finding::plain(
            "start of an instance from a cached component, a call of `normalize` and its end",
            format!("{median_us:.0} µs, 99 of 100 within {:.0} µs", told("p99_us")?),
        )
        .with_bar("under 1 ms", median_us < 1000.0)
        .with_samples(cost.told.clone()),
    ])
}

/// From the start of the binary, with a cached component, to the first request that the org sees.
pub fn cold_start(options: &Options) -> Result<Vec<Finding>> {
    let size = Size {
        users: 100,
        groups: 5,
        per_group: 10,
    };
    let orgs = Orgs::start(options, 1, size, &NO_LIMITS)?;
    let org = orgs.only()?;
    let host = directory::one(options, org)?;
    let mut starts = Vec::new();
    for _ in 0..options.rounds().max(5) {
        org.control(Method::DELETE, "/requests", "")?;
        let began = time::unix_ms();
        host.sync()?;
        let seen: Vec<serde_json::Value> =
            serde_json::from_str(&org.control(Method::GET, "/requests", "")?)?;
        let first = seen
            .iter()
            .filter_map(|request| request["at_ms"].as_u64())
            .min()
            .context("the org saw no request")?;
        starts.push(first.saturating_sub(began) as f64);
    }
    Ok(vec![
        Finding::plain(
            "start of the binary to its first request, component cached",
            format!("{:.0} ms", median(starts.iter().copied())),
        )
        .with_samples(starts),
    ])
}
