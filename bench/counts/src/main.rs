//! `idsync-counts PART`: does one part of the work that is counted.
#![expect(
    clippy::disallowed_macros,
    reason = "what goes wrong is said on standard error"
)]

use std::process::ExitCode;

use anyhow::{Result, bail};
use idsync_counts::{pages, store};

fn run(part: &str) -> Result<()> {
    match part {
        "store" => store::usual(),
        "store-growth" => store::growth(),
        "pages" => pages::usual(),
        "pages-growth" => pages::growth(),
        other => bail!("there is no part `{other}`"),
    }
}

fn main() -> ExitCode {
    match run(&std::env::args().nth(1).unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
