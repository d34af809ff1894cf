//! `recordings`: recorded answers of real orgs, read with the plugin's own types.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::out;

/// Reads every recording of a folder, and prints what became of them.
pub fn run(folder: &Path) -> Result<()> {
    let report = plugin_okta::recordings::check(folder)
        .with_context(|| format!("looking at the recordings in {}", folder.display()))?;
    out::line(&format!(
        "{:<28} {:>6} {:>8} {:>6} {:>6} {:>10} {:>6}",
        "category", "read", "rows", "links", "rates", "never met", "failed"
    ));
    let (mut read, mut failed) = (0, 0);
    for (name, category) in &report.categories {
        out::line(&format!(
            "{name:<28} {:>6} {:>8} {:>6} {:>6} {:>10} {:>6}",
            category.read,
            category.rows,
            category.next_links,
            category.rate_limits,
            category.never_met,
            category.failed.len()
        ));
        read += category.read;
        failed += category.failed.len();
        for (file, why) in &category.failed {
            out::line(&format!("failed: {file}: {why}"));
        }
    }
    out::line(&format!("{read} recordings read, {failed} failed"));
    if !report.is_clean() {
        bail!("some recordings can't be read with the plugin's types: see above");
    }
    Ok(())
}
