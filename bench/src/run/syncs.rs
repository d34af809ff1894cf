//! First and second sync of a large org, and the yardstick, in turn.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Options;
use super::directory::{self, Host, requests};
use super::finding::{Finding, median};
use super::measure::{Cost, measured};
use super::org::{NO_LIMITS, Org, Orgs, Size};
use crate::out;

/// Runs the yardstick on an org, into a database in the host's folder.
pub fn yardstick(host: &Host, org: &Org) -> Result<Cost> {
    let this = std::env::current_exe().context("finding this program")?;
    let database = host.folder().join("yardstick.db");
    let mut command = Command::new(this);
    command
        .arg("yardstick")
        .args(["--base", &org.base, "--ca", &org.ca, "--control", &org.control])
        .args(["--client-id", &org.client_id, "--app-id", &org.app_id])
        .arg("--database")
        .arg(&database);
    measured(&mut command)
}

/// Syncs the directory `acme` of an org with the plugin's logic as native code.
fn native(host: &Host, org: &Org) -> Result<Cost> {
    let this = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(this);
    command
        .args([
            "native",
            "--directory",
            "acme",
            "--ca",
            &org.ca,
            "--allow",
            &org.domain,
        ])
        .arg("--data-dir")
        .arg(host.data());
    measured(&mut command)
}

/// See the rows of the same names.
pub fn measure(options: &Options) -> Result<Vec<Finding>> {
    let size = Size {
        users: options.size(100_000),
        groups: options.size(1_000),
        per_group: 500,
    };
    let orgs = Orgs::start(options, 1, size, &NO_LIMITS)?;
    let org = orgs.only()?;
    let (mut first, mut second, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    let mut without_sandbox = Vec::new();
    for round in 1..=options.rounds() {
        let host = directory::one(options, org)?;
        first.push(host.sync()?);
        let seq = last_seq(&host)?;
        second.push(host.sync()?);
        ensure!(last_seq(&host)? == seq, "a sync without changes wrote some");
        beside.push(yardstick(&host, org)?);
        drop(host);
        without_sandbox.push(native(&directory::one(options, org)?, org)?);
        out::note(&format!(
            "round {round}: first {:.2} s, second {:.2} s, yardstick {:.2} s, native logic {:.2} s",
            first[first.len() - 1].wall,
            second[second.len() - 1].wall,
            beside[beside.len() - 1].wall,
            without_sandbox[without_sandbox.len() - 1].wall
        ));
    }
    let wall = |costs: &[Cost]| median(costs.iter().map(|cost| cost.wall));
    let cpu = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu));
    let peak = |costs: &[Cost]| median(costs.iter().map(|cost| cost.peak_mib));
    let shown = |costs: &[Cost]| costs.iter().map(Cost::shown).collect::<Vec<Value>>();
    let what = format!(
        "{} users, {} groups, {} memberships",
        size.users,
        size.groups,
        u64::from(size.groups) * u64::from(size.per_group)
    );
    let ratio = median(
        first
            .iter()
            .zip(&beside)
            .map(|(own, other)| own.wall / other.wall),
    );
    let cpu_ratio = median(first.iter().zip(&beside).map(|(own, other)| own.cpu / other.cpu));
    let sandbox = median(
        first
            .iter()
            .zip(&without_sandbox)
            .map(|(own, native)| own.wall / native.wall),
    );
    let sandbox_cpu = median(
        first
            .iter()
            .zip(&without_sandbox)
            .map(|(own, native)| own.cpu / native.cpu),
    );
    let share = median(
        second
            .iter()
            .zip(&first)
            .map(|(second, first)| second.wall / first.wall),
    );
    Ok(vec![
        Finding::plain(format!("first sync: {what}"), format!("{:.2} s", wall(&first)))
            .beside(format!("{:.2} s, bare native program", wall(&beside)), ratio)
            .with_bar("at most 1.3", ratio <= 1.3)
            .with_samples(json!({ "idsync": shown(&first), "yardstick": shown(&beside) })),
        Finding::plain("its CPU", format!("{:.2} s", cpu(&first)))
            .beside(format!("{:.2} s", cpu(&beside)), cpu_ratio),
        Finding::plain("its peak memory", format!("{:.0} MiB", peak(&first)))
            .beside(format!("{:.0} MiB", peak(&beside)), peak(&first) / peak(&beside))
            .with_bar("at most 200 MiB", peak(&first) <= 200.0),
        Finding::plain(
            "the same, beside the plugin's logic as native code",
            format!("{:.2} s", wall(&first)),
        )
        .beside(
            format!("{:.2} s, native logic in the same host", wall(&without_sandbox)),
            sandbox,
        )
        .with_bar("at most 1.15", sandbox <= 1.15)
        .with_samples(shown(&without_sandbox)),
        Finding::plain("its CPU", format!("{:.2} s", cpu(&first)))
            .beside(format!("{:.2} s", cpu(&without_sandbox)), sandbox_cpu),
        Finding::plain(
            format!(
                "second sync, nothing changed ({} requests)",
                requests(&second[0].told)
            ),
            format!("{:.2} s", wall(&second)),
        )
        .beside(format!("{:.2} s, the first", wall(&first)), share)
        .with_bar("at most half", share <= 0.5)
        .with_samples(shown(&second)),
    ])
}

/// The number of the last change.
fn last_seq(host: &Host) -> Result<Value> {
    let export = host.run(&["export", "acme"])?;
    let last = export.lines().last().context("the export is empty")?;
    let last: Value = serde_json::from_str(last).context("reading the end of the export")?;
    Ok(last["seq"].clone())
}
