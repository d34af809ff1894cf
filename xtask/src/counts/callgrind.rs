//! Running a program under callgrind, and reading what it counted.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::shown;

/// The function whose every entry ends a stretch of work (bench/counts/src/stretch.rs).
const ENDS: &str = "idsync_counts::stretch::ends*";
/// What changes how much a program does, and is none of its arguments.
const DISTURBING: [&str; 5] = [
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "RUST_LOG",
    "MALLOC_ARENA_MAX",
    "LD_PRELOAD",
];
/// The C library copies and compares as every x86-64 processor can (glibc manual, Hardware Capability Tunables; the first
/// name is that of versions before 2.33). It would otherwise use `rep movsb` where there is such, of which callgrind
/// counts an instruction for each byte: a tenth of what reading pages takes.
const SAME_COPYING: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.cpu.hwcaps=-AVX2_Usable,-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM",
);

/// There is no valgrind on this machine.
#[derive(Debug)]
pub struct NoValgrind;

impl fmt::Display for NoValgrind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "counting instructions needs valgrind, and there is none: install your system's package `valgrind` \
             (Debian, Ubuntu: `apt install valgrind`; Fedora: `dnf install valgrind`)",
        )
    }
}

impl std::error::Error for NoValgrind {}

/// What is counted of a stretch, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What was done.
    pub what: String,
    /// How many instructions that took.
    pub instructions: u64,
    /// How many rows or bytes it was done with, where the count is to grow no faster than they do.
    pub amount: Option<u64>,
}

/// Valgrind's version.
pub fn version() -> Result<String> {
    version_of(Command::new("valgrind").arg("--version"))
}

/// What a program says of its version.
pub fn version_of(command: &mut Command) -> Result<String> {
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound && command.get_program() == "valgrind" => {
            return Err(NoValgrind.into());
        }
        output => output.with_context(|| format!("starting `{}`", shown(command)))?,
    };
    ensure!(
        output.status.success(),
        "`{}` failed ({})",
        shown(command),
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Writes a script that runs `program` on the processor that valgrind emulates, without counting. What is compiled for
/// the real processor may not run on that one.
pub fn emulated(program: &Path, script: &Path) -> Result<PathBuf> {
    let text = format!(
        "#!/bin/sh\nexec valgrind --tool=none --quiet {} \"$@\"\n",
        quoted(program)
    );
    if let Some(folder) = script.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(script, text).with_context(|| format!("writing {}", script.display()))?;
    fs::set_permissions(script, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("making {} executable", script.display()))?;
    Ok(script.to_owned())
}

/// A path as one word of the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Runs a program, and answers what its stretches took, in their order. Callgrind's files are left in `folder`.
pub fn count(program: &Command, folder: &Path) -> Result<Vec<Counted>> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let file = folder.join("out");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--dump-before={ENDS}"))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(format!("--log-file={}", folder.join("log").display()))
        .arg(program.get_program())
        .args(program.get_args());
    for name in DISTURBING {
        command.env_remove(name);
    }
    command.env(SAME_COPYING.0, SAME_COPYING.1);
    let output = command
        .output()
        .with_context(|| format!("starting `{}`", shown(&command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            shown(&command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut counted = Vec::new();
    for (index, line) in printed.lines().enumerate() {
        let dump = folder.join(format!("out.{}", index + 1));
        let text = fs::read_to_string(&dump).with_context(|| {
            format!(
                "reading {}: callgrind writes one each time `{ENDS}` is entered, so that this must be a function of \
                 its own",
                dump.display()
            )
        })?;
        let instructions =
            total(&text).with_context(|| format!("{} has no line with the total", dump.display()))?;
        counted.extend(stretch(line, instructions)?);
    }
    Ok(counted)
}

/// The number of instructions in one of callgrind's files.
fn total(text: &str) -> Option<u64> {
    text.lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals: "))?
        .trim()
        .parse()
        .ok()
}

/// What the program says that it has done, with what was counted of it.
fn stretch(line: &str, instructions: u64) -> Result<Option<Counted>> {
    if line == "before" {
        return Ok(None);
    }
    if let Some(what) = line.strip_prefix("kept ") {
        return Ok(Some(Counted {
            what: what.to_owned(),
            instructions,
            amount: None,
        }));
    }
    let growth = line
        .strip_prefix("growth ")
        .and_then(|rest| rest.split_once(' '))
        .and_then(|(amount, what)| Some((amount.parse().ok()?, what)));
    let Some((amount, what)) = growth else {
        bail!("the counted program printed `{line}`, which says nothing of a stretch");
    };
    Ok(Some(Counted {
        what: what.to_owned(),
        instructions,
        amount: Some(amount),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_the_shell_whatever_is_in_it() {
        let path = "/o'brien/my $HOME/''`id`\\";
        let script = format!("printf %s {}", quoted(Path::new(path)));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
    }

    #[test]
    fn what_is_counted_is_what_was_said_to_be_done() {
        let dump = "# callgrind format\nevents: Ir\nsummary: 7\n\nfn=(1) main\n3 7\n\ntotals: 1234\n";
        assert_eq!(total(dump), Some(1234));
        assert_eq!(stretch("before", 1).unwrap(), None);
        let growth = stretch("growth 20 rows of all", 5).unwrap().unwrap();
        assert_eq!((growth.what.as_str(), growth.amount), ("rows of all", Some(20)));
        assert!(stretch("growth of all", 5).is_err());
    }
}
