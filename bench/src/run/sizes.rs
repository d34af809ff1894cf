//! What is small whatever the org: files, and the start.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Options;
use super::directory;
use super::finding::{Finding, median};
use super::org::{NO_LIMITS, Orgs, Size};
use crate::time;

/// Of the component and the binary.
pub fn sizes(options: &Options) -> Result<Vec<Finding>> {
    let mib = |path: &Path| -> Result<f64> {
        let length = fs::metadata(path)
            .with_context(|| format!("looking at {}", path.display()))?
            .len();
        Ok(f64::from(u32::try_from(length / 1024).unwrap_or(u32::MAX)) / 1024.0)
    };
    let component = mib(&options.plugins.join("okta.wasm"))?;
    Ok(vec![Finding::plain(
        "size of the component",
        format!("{component:.2} MiB"),
    )])
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
        org.control("DELETE", "/requests", "")?;
        let began = time::unix_ms();
        host.sync()?;
        let seen: Vec<serde_json::Value> = serde_json::from_str(&org.control("GET", "/requests", "")?)?;
        let first = seen
            .iter()
            .filter_map(|request| request["at_ms"].as_u64())
            .min()
            .context("the org saw no request")?;
        starts.push(f64::from(
            u32::try_from(first.saturating_sub(began)).unwrap_or(u32::MAX),
        ));
    }
    Ok(vec![
        Finding::plain(
            "start of the binary to its first request, component cached",
            format!("{:.0} ms", median(starts.iter().copied())),
        )
        .with_samples(starts),
    ])
}
