//! Whatever happens to a directory, one thing after the other or one within the other: readers see what was read.

mod answers;
mod course;
pub mod feed;
mod limits;
pub mod model;
mod reader;
mod steps;
mod walk;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use course::Tally;
use steps::{At, Event, Run, Sequence, Step};

proptest! {
    // More with `PROPTEST_CASES`.
    #![proptest_config(ProptestConfig::with_cases(25))]

    #[test]
    fn runs_2_5_runs_5_1_runs_6_4_and_runs_8_5_hold_whatever_happens(sequence in steps::sequence()) {
        walk::walk(&sequence);
    }
}

#[test]
fn runs_6_5_dry_runs_that_die_one_after_the_other_leave_no_more_than_one_of_them() {
    let dies = |is_dry| {
        Step::Run(Run {
            is_dry,
            events: vec![(At::Page(2), Event::Die)],
            ..Run::after(None, 1)
        })
    };
    walk::walk(&Sequence {
        users: 12,
        groups: vec![7],
        steps: vec![dies(false), dies(true), dies(true), dies(true), dies(false)],
    });
}

/// What sequences must reach, and how often at least in those of the test below: less means that the property has gone
/// blind there.
const REACHED: &[(&str, u32)] = &[
    ("applied in place of a held one", 2),
    ("applied: full", 60),
    ("applied: incremental", 60),
    ("applied: resumed", 20),
    ("approved", 12),
    ("approved again", 10),
    ("busy", 4),
    ("cancelled", 14),
    ("changes purged", 7),
    ("clock set back", 5),
    ("died", 20),
    ("disabled", 5),
    ("discarded", 4),
    ("dry run", 3),
    ("empty list read again", 10),
    ("export followed", 6),
    ("failed", 10),
    ("feed replayed", 15),
    ("group gone while read", 6),
    ("held", 60),
    ("held in place of a held one", 30),
    ("key verified", 3),
    ("listing begun again", 16),
    ("newer one approved", 2),
    ("not held", 1),
    ("org changed while read", 25),
    ("resumed", 25),
    ("returned to a list that was not read", 5),
    ("settings verified", 5),
    ("stale: age", 2),
    ("stale: directory", 2),
    ("stale: settings", 2),
    ("superseded, not approved", 5),
    ("taken over", 4),
    ("told to export again", 8),
    ("tombstones purged", 7),
];

#[test]
fn sequences_reach_every_outcome() {
    let mut runner = TestRunner::deterministic();
    let sequences = steps::sequence();
    let mut tally = Tally::new();
    for _ in 0..40 {
        let sequence = sequences.new_tree(&mut runner).unwrap().current();
        for (what, often) in walk::walk(&sequence) {
            *tally.entry(what).or_default() += often;
        }
    }
    let reached = |what| tally.get(what).copied().unwrap_or_default();
    for (what, often) in REACHED {
        assert!(reached(*what) >= *often, "`{what}` is too rare: {tally:#?}");
    }
}
