//! `docs/cli.md`: the help of every command of the binary, in one page.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What stands above the help texts.
const HEAD: &str = "# The command line

Made from the binary's own help by `cargo xtask tidy --write`; change the help texts, not this page.
";

/// The page, as the binary says it now.
pub fn page(binary: &Path) -> Result<String> {
    let mut page = HEAD.to_owned();
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = waiting.pop() {
        let help = help(binary, &command)?;
        let _ = write!(page, "\n## idsync");
        for word in &command {
            let _ = write!(page, " {word}");
        }
        let _ = write!(page, "\n\n```text\n{}\n```\n", help.trim_end());
        for name in subcommands(&help).into_iter().rev() {
            waiting.push([command.as_slice(), &[name.to_owned()]].concat());
        }
    }
    Ok(page)
}

fn help(binary: &Path, command: &[String]) -> Result<String> {
    let output = Command::new(binary)
        .args(command)
        .arg("--help")
        // Help shows the values of environment variables, which are not part of the docs.
        .env_clear()
        .output()
        .with_context(|| format!("starting {}", binary.display()))?;
    if !output.status.success() {
        bail!(
            "`idsync {} --help` failed: {}",
            command.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = String::from_utf8(output.stdout).context("help is text")?;
    // Lines that clap leaves with spaces at their ends would be cut by editors.
    Ok(text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// The names in the section `Commands:` but clap's own `help`.
fn subcommands(help: &str) -> Vec<&str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommands_are_those_of_their_section() {
        let help = "Does things\n\nUsage: x\n\nCommands:\n  add   Adds\n           more of it\n  list  Lists\n  help  \
                    Helps\n\nOptions:\n  -h  Help";
        assert_eq!(subcommands(help), ["add", "list"]);
        assert!(subcommands("Usage: x\n\nOptions:\n  -h").is_empty());
    }
}
