//! Orgs that are made to be slow: twice as much of it may cost twice as much, and memory must not grow with it.

use anyhow::Result;
use serde_json::json;

use super::Options;
use super::directory;
use super::finding::Finding;
use super::measure::Cost;
use super::org::{NO_LIMITS, Orgs, Size};
use crate::out;

/// What is made slow, and how.
struct Trick {
    what: &'static str,
    size: Size,
    shape: &'static [&'static str],
}

const TRICKS: [Trick; 4] = [
    Trick {
        what: "pages with 600 more fields for each user",
        size: Size {
            users: 1_000,
            groups: 10,
            per_group: 100,
        },
        shape: &["--fields", "600"],
    },
    Trick {
        what: "names of 100 KiB",
        size: Size {
            users: 1_000,
            groups: 10,
            per_group: 20,
        },
        shape: &["--long-names", "102400"],
    },
    Trick {
        what: "a user in each of many groups, and a group with all users",
        size: Size {
            users: 10_000,
            groups: 10_000,
            per_group: 2,
        },
        shape: &["--everywhere"],
    },
    Trick {
        what: "no tricks, for comparison",
        size: Size {
            users: 10_000,
            groups: 100,
            per_group: 100,
        },
        shape: &[],
    },
];

/// Each trick once, and with twice the users and groups.
pub fn measure(options: &Options) -> Result<Vec<Finding>> {
    TRICKS.iter().map(|trick| of(options, trick)).collect()
}

fn of(options: &Options, trick: &Trick) -> Result<Finding> {
    out::note(trick.what);
    let times = |times: u32| -> Result<Cost> {
        let size = Size {
            users: options.size(trick.size.users) * times,
            groups: options.size(trick.size.groups) * times,
            per_group: trick.size.per_group,
        };
        let orgs = Orgs::start(options, 1, size, &[&NO_LIMITS[..], trick.shape].concat())?;
        directory::one(options, orgs.only()?)?.sync()
    };
    let (once, twice) = (times(1)?, times(2)?);
    let ratio = twice.cpu / once.cpu;
    Ok(Finding::plain(
        format!(
            "{}: {} users, {} groups, and twice as many",
            trick.what, trick.size.users, trick.size.groups
        ),
        format!("{:.2} s of CPU, {:.0} MiB", twice.cpu, twice.peak_mib),
    )
    .beside(
        format!("{:.2} s, {:.0} MiB with half of it", once.cpu, once.peak_mib),
        ratio,
    )
    .with_bar(
        "at most 2.4, and 200 MiB",
        ratio <= 2.4 && twice.peak_mib <= 200.0,
    )
    .with_samples(json!({ "once": once.shown(), "twice": twice.shown() })))
}
