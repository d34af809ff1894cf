//! What is asked for when little has changed.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::Options;
use super::directory::{self, requests};
use super::finding::Finding;
use super::org::{NO_LIMITS, Orgs, Size};

/// Groups that gain a member between two syncs.
const CHANGED: u32 = 20;
/// Beside pages: the org's own document, two token requests (the first is told a nonce) and the apps.
const FIXED: u32 = 4;

/// A sync after a few groups have changed.
pub fn incremental(options: &Options) -> Result<Vec<Finding>> {
    let size = Size {
        users: options.size(10_000),
        groups: options.size(1_000),
        per_group: 100,
    };
    let orgs = Orgs::start(options, 1, size, &NO_LIMITS)?;
    let org = orgs.only()?;
    let host = directory::one(options, org)?;
    let first = host.sync()?;
    let groups: Vec<Value> = serde_json::from_str(&org.control(Method::GET, "/groups", "")?)
        .context("reading the org's groups")?;
    let assigned = groups.iter().filter(|group| group["assigned"] == true);
    let mut changes = vec![json!({
        "do": "add-user", "login": "newcomer@acme.example", "email": "newcomer@acme.example",
    })];
    for group in assigned.take(CHANGED as usize) {
        changes.push(json!({ "do": "add-member", "group": group["id"], "user": "newcomer@acme.example" }));
    }
    org.control(Method::POST, "/changes", &Value::from(changes).to_string())?;
    let second = host.sync()?;
    let asked = requests(&second.told);
    let expected = u64::from((size.users + 1).div_ceil(500) + size.groups.div_ceil(200) + CHANGED + FIXED);
    let per_thousand = requests(&first.told) as f64 / (f64::from(size.users) / 1000.0);
    Ok(vec![
        Finding::plain(
            format!(
                "requests of a first sync: {} users, {} groups",
                size.users, size.groups
            ),
            format!("{}, {per_thousand:.1} per 1,000 users", requests(&first.told)),
        )
        .beside(
            format!("{} pages", size.pages()),
            requests(&first.told) as f64 / f64::from(size.pages()),
        ),
        Finding::plain(
            format!("requests after {CHANGED} groups changed ({:.2} s)", second.wall),
            asked.to_string(),
        )
        .with_bar(
            format!("at most {expected}: pages of users and groups, the changed groups, {FIXED} others"),
            asked <= expected,
        )
        .with_samples(second.told),
    ])
}
