//! One process from its start to its end: how long, how much CPU, how much memory at most. Linux tells it in `/proc`.

use std::fs::{self, File};
use std::io::Read as _;
use std::io::Seek as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::time;

/// How often the process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The kernel counts CPU in these, whatever its own clock does (`man 5 proc`).
const TICKS_A_SECOND: f64 = 100.0;

/// What a process needed.
#[derive(Debug, Clone)]
pub struct Cost {
    /// Seconds by the clock.
    pub wall: f64,
    /// Seconds of CPU.
    pub cpu: f64,
    /// The most memory that it had at once, in MiB.
    pub peak_mib: f64,
    /// What it printed.
    pub told: Value,
}

impl Cost {
    /// The figures alone.
    pub fn shown(&self) -> Value {
        json!({ "wall_s": self.wall, "cpu_s": self.cpu, "peak_mib": self.peak_mib })
    }
}

/// Runs a command to its end, which must be a success and print one JSON document.
pub fn measured(command: &mut Command) -> Result<Cost> {
    let mut output = tempfile::tempfile().context("making a file for the output")?;
    let began = time::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("sharing the output")?)
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    let mut peak_mib = 0.0_f64;
    // A process that has ended tells its CPU until it is waited for, but no memory any more.
    while let Some(now) = memory_mib(&child) {
        peak_mib = peak_mib.max(now);
        time::pause(LOOK_EVERY);
    }
    let wall = began.elapsed().as_secs_f64();
    let cpu = cpu(&child)?;
    let status = child.wait().context("waiting for a measured process")?;
    let told = printed(&mut output)?;
    if !status.success() {
        bail!(
            "`{}` ended with {status}: {told}",
            command.get_program().display()
        );
    }
    Ok(Cost {
        wall,
        cpu,
        peak_mib,
        told: serde_json::from_str(&told).with_context(|| format!("reading what it printed: {told}"))?,
    })
}

fn printed(output: &mut File) -> Result<String> {
    let mut text = String::new();
    output.rewind().context("reading the output")?;
    output.read_to_string(&mut text).context("reading the output")?;
    Ok(text)
}

/// The most memory that a process had so far; nothing once it has ended.
pub fn memory_mib(child: &Child) -> Option<f64> {
    status_mib(&child.id().to_string(), "VmHWM:")
}

/// The memory that a process has now; nothing once it has ended.
pub fn resident_mib(child: &Child) -> Option<f64> {
    status_mib(&child.id().to_string(), "VmRSS:")
}

/// The memory that a process has now without what it maps of files; nothing once it has ended.
pub fn anonymous_mib(child: &Child) -> Option<f64> {
    status_mib(&child.id().to_string(), "RssAnon:")
}

/// The memory that this process has now.
pub fn own_resident_mib() -> Result<f64> {
    status_mib("self", "VmRSS:").context("/proc/self/status does not tell VmRSS")
}

/// A size of a process in MiB (proc(5), `/proc/PID/status`, which has it in KiB).
fn status_mib(process: &str, name: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Seconds of CPU that a process has used.
pub fn cpu(child: &Child) -> Result<f64> {
    let path = format!("/proc/{}/stat", child.id());
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The name in parentheses may hold anything; the fields behind it are numbers (`man 5 proc`: utime and stime).
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = ticks(11)
        .zip(ticks(12))
        .with_context(|| format!("{path} tells no CPU"))?;
    Ok((user + system) / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to_have_worked() {
        let script = "x=0; while [ $x -lt 300000 ]; do x=$((x+1)); done; echo '{\"done\":true}'";
        let cost = measured(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(cost.told["done"], true);
        assert!(
            cost.cpu > 0.0 && cost.wall > 0.0 && cost.peak_mib > 0.1,
            "{cost:?}"
        );
    }

    #[test]
    fn a_process_that_fails_is_no_figure() {
        let failed = measured(Command::new("sh").args(["-c", "echo no; exit 3"])).unwrap_err();
        assert!(failed.to_string().contains("exit status: 3"), "{failed}");
    }
}
