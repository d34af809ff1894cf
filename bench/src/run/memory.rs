//! Time and memory as the org grows.

use anyhow::Result;
use serde_json::json;

use super::Options;
use super::directory;
use super::finding::Finding;
use super::org::{NO_LIMITS, Orgs, Size};
use crate::figure::{self, Point, Series};
use crate::out;

const USERS: [u32; 3] = [10_000, 100_000, 1_000_000];

/// First syncs of ever larger orgs.
pub fn measure(options: &Options) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut points = Vec::new();
    for users in USERS {
        let size = Size {
            users: options.size(users),
            groups: options.size(users) / 100,
            per_group: 50,
        };
        out::note(&format!("{} users, {} groups", size.users, size.groups));
        let orgs = Orgs::start(options, 1, size, &NO_LIMITS)?;
        let cost = directory::one(options, orgs.only()?)?.sync()?;
        points.push(Point {
            users: f64::from(size.users),
            seconds: cost.wall,
            mib: cost.peak_mib,
        });
        let per_thousand_ms = 1000.0 * cost.wall / (f64::from(size.users) / 1000.0);
        findings.push(
            Finding::plain(
                format!(
                    "peak memory with {} users, {} groups of 50",
                    size.users, size.groups
                ),
                format!(
                    "{:.0} MiB, {:.1} s, {per_thousand_ms:.0} ms per 1,000 users",
                    cost.peak_mib, cost.wall
                ),
            )
            .with_bar("at most 200 MiB", cost.peak_mib <= 200.0)
            .with_samples(json!({ "users": size.users, "groups": size.groups, "cost": cost.shown() })),
        );
    }
    if let Some(path) = &options.figure {
        let series = Series {
            name: "idsync, groups of 50".to_owned(),
            points,
        };
        figure::write(path, &[series])?;
        out::note(&format!("drawn to {}", path.display()));
    }
    Ok(findings)
}
