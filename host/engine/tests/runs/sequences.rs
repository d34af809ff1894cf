//! Whatever happens to a directory, one thing after the other or one within the other: readers see what was read.

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

/// An eighth of the cases that proptest makes by default, so that its variable `PROPTEST_CASES` widens the search.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: config.cases / 8,
        ..config
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn runs_2_5_runs_5_1_runs_6_4_and_runs_8_5_hold_whatever_happens(sequence in steps::sequence()) {
        walk::walk(&sequence);
    }
}

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
    eprintln!("{tally:#?}");
}
