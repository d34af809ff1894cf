//! What is to be thought of a count: beside its kept figure, and beside the count of half the work.

use std::collections::BTreeMap;

use super::callgrind::Counted;
use crate::out;

/// How far a count may be from its kept figure, in percent. Runs on one machine differ by up to two, because threads
/// take turns in another order; the rest is for machines with an older processor or another C library.
const MARGIN_PERCENT: f64 = 5.0;
/// How much faster than the work the count of it may grow: sorting takes a little more than twice for twice as much.
const GROWTH: f64 = 1.1;

/// One line of the table.
#[derive(Debug, PartialEq)]
pub struct Line {
    what: String,
    instructions: Option<u64>,
    beside: String,
    difference: String,
    failure: Option<String>,
}

impl Line {
    /// Whether this is not as it must be.
    pub fn is_failure(&self) -> bool {
        self.failure.is_some()
    }
}

/// Judges what was counted of a part.
pub fn judge(counted: &[Counted], kept: &BTreeMap<String, u64>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut halves: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for count in counted {
        match count.amount {
            None => lines.push(beside_figure(count, kept.get(&count.what).copied())),
            Some(amount) => match halves.remove(count.what.as_str()) {
                None => {
                    halves.insert(&count.what, (count.instructions, amount));
                }
                Some(half) => lines.push(beside_half(count, amount, half)),
            },
        }
    }
    lines.extend(
        halves
            .keys()
            .map(|what| missing(what, "it was counted only once")),
    );
    let is_counted = |what: &str| counted.iter().any(|count| count.what == what);
    lines.extend(
        kept.keys()
            .filter(|what| !is_counted(what))
            .map(|what| missing(what, "a figure is kept, and nothing is counted: run with --keep")),
    );
    lines
}

fn beside_figure(count: &Counted, kept: Option<u64>) -> Line {
    let (beside, difference, failure) = match kept {
        None => (
            "-".to_owned(),
            String::new(),
            Some("no figure is kept: run with --keep".to_owned()),
        ),
        Some(kept) => {
            let percent = (count.instructions as f64 / kept as f64 - 1.0) * 100.0;
            let failure = if percent > MARGIN_PERCENT {
                Some(format!(
                    "more than {MARGIN_PERCENT} % above: find out why, or run with --keep and say why"
                ))
            } else if percent < -MARGIN_PERCENT {
                Some("far below, which is good: run with --keep, so that it stays so".to_owned())
            } else {
                None
            };
            (grouped(kept), format!("{percent:+.2} %"), failure)
        }
    };
    Line {
        what: count.what.clone(),
        instructions: Some(count.instructions),
        beside,
        difference,
        failure,
    }
}

fn beside_half(count: &Counted, amount: u64, (instructions, half): (u64, u64)) -> Line {
    let more_work = amount as f64 / half as f64;
    let more_instructions = count.instructions as f64 / instructions as f64;
    let failure = (more_instructions > more_work * GROWTH).then(|| {
        format!(
            "{more_work:.2} times the work may take at most {:.2} times as many",
            more_work * GROWTH
        )
    });
    Line {
        what: count.what.clone(),
        instructions: Some(count.instructions),
        beside: grouped(instructions),
        difference: format!("x {more_instructions:.2} for x {more_work:.2}"),
        failure,
    }
}

fn missing(what: &str, why: &str) -> Line {
    Line {
        what: what.to_owned(),
        instructions: None,
        beside: String::new(),
        difference: String::new(),
        failure: Some(why.to_owned()),
    }
}

/// Prints the table.
pub fn print(lines: &[Line]) {
    out::line(&format!(
        "{:<40} {:>15} {:>15}  difference",
        "what", "instructions", "kept, or half"
    ));
    for line in lines {
        let failure = line
            .failure
            .as_ref()
            .map_or_else(String::new, |why| format!("  FAILED: {why}"));
        out::line(&format!(
            "{:<40} {:>15} {:>15}  {}{failure}",
            line.what,
            line.instructions.map_or_else(|| "-".to_owned(), grouped),
            line.beside,
            line.difference,
        ));
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(what: &str, instructions: u64, amount: Option<u64>) -> Counted {
        Counted {
            what: what.to_owned(),
            instructions,
            amount,
        }
    }

    fn failures(counted: &[Counted], kept: &[(&str, u64)]) -> Vec<String> {
        let kept = kept
            .iter()
            .map(|(what, figure)| ((*what).to_owned(), *figure))
            .collect();
        judge(counted, &kept)
            .into_iter()
            .filter_map(|line| line.failure)
            .collect()
    }

    #[test]
    fn a_count_within_the_margin_is_right_and_others_say_what_to_do() {
        let plan = |instructions| [count("plan", instructions, None)];
        let kept = [("plan", 1_000)];
        assert!(failures(&plan(1_049), &kept).is_empty());
        assert!(failures(&plan(951), &kept).is_empty());
        assert!(failures(&plan(1_051), &kept)[0].contains("above"));
        assert!(failures(&plan(949), &kept)[0].contains("far below"));
    }

    #[test]
    fn a_count_without_a_figure_and_a_figure_without_a_count_are_failures() {
        let failed = failures(&[count("plan", 1, None)], &[("apply", 1)]);
        assert_eq!(failed.len(), 2, "{failed:?}");
        assert!(failed.iter().all(|why| why.contains("--keep")), "{failed:?}");
    }

    #[test]
    fn a_count_may_grow_as_its_work_does_and_a_little_more() {
        let twice = |instructions| [count("all", 100, Some(10)), count("all", instructions, Some(20))];
        assert!(failures(&twice(219), &[]).is_empty());
        assert_eq!(failures(&twice(221), &[]).len(), 1);
        assert_eq!(
            failures(&[count("all", 100, Some(10))], &[]).len(),
            1,
            "there is no other"
        );
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
