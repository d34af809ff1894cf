//! Networks that take their time, and limits that must not be passed.

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;

use super::Options;
use super::directory::{self, requests};
use super::finding::Finding;
use super::org::{NO_LIMITS, Orgs, Size};

/// As many requests as the Okta plugin has under way at once.
const AT_ONCE: f64 = 16.0;
const LATENCY_S: f64 = 0.05;

/// 50 ms a request.
pub fn latency(options: &Options) -> Result<Vec<Finding>> {
    let size = Size {
        users: options.size(20_000),
        groups: options.size(2_000),
        per_group: 50,
    };
    let near = Orgs::start(options, 1, size, &NO_LIMITS)?;
    let without = directory::one(options, near.only()?)?.sync()?;
    drop(near);
    let far = Orgs::start(options, 1, size, &[&NO_LIMITS[..], &["--latency", "50"]].concat())?;
    let with = directory::one(options, far.only()?)?.sync()?;
    let asked = requests(&with.told) as f64;
    // Users come one page after the other: a listing tells its next page only at the end of one.
    let least = (asked / AT_ONCE).max(f64::from(size.users.div_ceil(500))) * LATENCY_S;
    let bar = 1.25 * least + without.wall;
    Ok(vec![
        Finding::plain(
            format!("50 ms a request, {asked} requests, {AT_ONCE} at once"),
            format!("{:.2} s", with.wall),
        )
        .beside(
            format!("{least:.2} s of waiting, {:.2} s without latency", without.wall),
            with.wall / least.max(without.wall),
        )
        .with_bar(format!("at most {bar:.2} s"), with.wall <= bar)
        .with_samples(with.shown()),
    ])
}

/// So many requests in a window of so many seconds, for each kind of endpoint.
const LIMIT: u32 = 60;
const WINDOW_S: u32 = 6;

/// Limits as tight as Okta's, on a smaller scale: the default takes half of what remains.
pub fn rate_limits(options: &Options) -> Result<Vec<Finding>> {
    let size = Size {
        users: options.size(10_000),
        groups: options.size(300),
        per_group: 20,
    };
    let limits = ["--limit", &LIMIT.to_string(), "--window", &WINDOW_S.to_string()].map(str::to_owned);
    let limits: Vec<&str> = limits.iter().map(String::as_str).collect();
    let orgs = Orgs::start(options, 1, size, &limits)?;
    let org = orgs.only()?;
    let host = directory::one(options, org)?;
    org.control(Method::POST, "/limits/refill", "")?;
    org.control(Method::DELETE, "/counters", "")?;
    let cost = host.sync()?;
    let counted = org.counted()?;
    let refused: u64 = counted["endpoints"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, endpoint)| endpoint["statuses"]["429"].as_u64())
        .sum();
    let all = counted["requests"].as_u64().unwrap_or(1).max(1);
    let share = 100.0 * refused as f64 / all as f64;
    // Members are the many. Of each window the plugin may take half; the first window is open at once.
    let windows = size.groups.div_ceil(LIMIT / 2).saturating_sub(1);
    let least = f64::from(windows * WINDOW_S);
    let over = if least > 0.0 { cost.wall / least } else { 1.0 };
    Ok(vec![
        Finding::plain(
            format!("limit of {LIMIT} requests in {WINDOW_S} s: {all} requests, answered 429"),
            format!("{share:.1} %"),
        )
        .with_bar("at most 1 %", share <= 1.0)
        .with_samples(counted),
        Finding::plain("its time", format!("{:.1} s", cost.wall))
            .beside(format!("{least:.0} s that half of the limit allows"), over)
            .with_samples(Value::from(vec![cost.shown()])),
    ])
}
