//! `test`: every check of this repository, quick ones first, and the totals of all test binaries at the end.
#![expect(
    clippy::disallowed_methods,
    reason = "how long a step took is what a person reads here; nothing depends on it"
)]

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::build::{self, Tests};
use crate::cargo::{cargo, run, watched};
use crate::out;
use crate::tidy;
use crate::workspace::Workspace;

/// What the test binaries counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
}

/// Runs every check.
pub fn all(workspace: &Workspace) -> Result<()> {
    let components = build::component_packages(workspace);
    step("formatting", || {
        run(&mut cargo(workspace, ["fmt", "--all", "--check"]))
    })?;
    step("tidy", || tidy::run(workspace, false))?;
    step("clippy", || {
        run(&mut clippy(workspace, &["--workspace", "--all-targets"]))
    })?;
    step("clippy of the components", || {
        build::ensure_component_target()?;
        let mut arguments = vec!["--target", build::COMPONENT_TARGET];
        for name in &components {
            arguments.extend(["--package", name]);
        }
        run(&mut clippy(workspace, &arguments))
    })?;
    step("build", || build::all(workspace, Tests::Too).map(drop))?;
    step("generated docs", || tidy::generated_docs(workspace, false))?;
    let mut totals = Totals::default();
    let tests_pass = step("tests", || {
        let mut command = cargo(workspace, ["test", "--workspace", "--no-fail-fast"]);
        command.args(["--lib", "--bins", "--tests"]);
        watched(&mut command, |line| totals.see(line))
    })?;
    let docs_pass = step("documentation tests", || {
        let mut command = cargo(workspace, ["test", "--workspace", "--no-fail-fast", "--doc"]);
        watched(&mut command, |line| totals.see(line))
    })?;
    totals.conclude(tests_pass && docs_pass)
}

/// Runs the tests of one name, after what they need was built.
pub fn only(workspace: &Workspace, part: &str) -> Result<()> {
    build::all(workspace, Tests::Too)?;
    let mut totals = Totals::default();
    let mut command = cargo(workspace, ["test", "--workspace", "--no-fail-fast"]);
    command.args(["--lib", "--bins", "--tests", "--", part]);
    let passed = watched(&mut command, |line| totals.see(line))?;
    totals.conclude(passed)
}

fn clippy(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = cargo(workspace, ["clippy"]);
    command.args(arguments).args(["--", "--deny", "warnings"]);
    command
}

fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    out::step(name);
    let start = Instant::now();
    let done = work()?;
    out::step(&format!("{name}: {:.1} s", start.elapsed().as_secs_f64()));
    Ok(done)
}

impl Totals {
    /// Takes one line of what `cargo test` prints.
    fn see(&mut self, line: &str) {
        if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        for count in counts.split(['.', ';']) {
            let mut words = count.split_whitespace();
            let (Some(Ok(number)), Some(word)) = (words.next().map(str::parse::<u64>), words.next()) else {
                continue;
            };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Prints the totals as the last line of all.
    fn conclude(&self, all_ended_well: bool) -> Result<()> {
        for name in &self.failures {
            out::line(&format!("failed: {name}"));
        }
        let skipped = match self.skipped {
            0 => String::new(),
            number => format!(", {number} skipped"),
        };
        out::line(&format!(
            "{} passed, {} failed{skipped}",
            self.passed, self.failed
        ));
        if self.failed > 0 || !all_ended_well {
            bail!("the tests did not pass: see the failures above");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_summed_over_all_test_binaries() {
        let mut totals = Totals::default();
        for line in [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.52s",
            "test result: ok. 12 passed; 0 failed; 2 ignored; 0 measured; 3 filtered out; finished in 10.00s",
        ] {
            totals.see(line);
        }
        assert_eq!(
            totals,
            Totals {
                passed: 13,
                failed: 1,
                skipped: 2,
                failures: vec!["a::c".to_owned()],
            }
        );
    }
}
