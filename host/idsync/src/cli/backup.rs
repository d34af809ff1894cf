//! `idsync backup`

use std::path::Path;

use super::output::Output;
use crate::app::App;
use crate::error::CommandError;
use crate::operation::backup::{self, BackupView};

pub async fn run(app: &App, to: &Path, output: Output) -> Result<u8, CommandError> {
    let made = backup::backup(app, to).await?;
    output.answer(&made, || text(&made))?;
    Ok(0)
}

fn text(made: &BackupView) -> String {
    let mut text = format!(
        "Backed up to {}: {}.\n",
        made.backup.display(),
        made.files.join(", ")
    );
    text.push_str(if made.has_master_key {
        "Whoever has it can use every key and secret in it: keep it as safe as the data directory itself.\n"
    } else {
        "The master key is not in it, because it comes from IDSYNC_MASTER_KEY: keep that in another safe place. \
         Without it the keys and secrets in this backup can't be opened.\n"
    });
    text.push_str("To restore it, put it in the place of the data directory while idsync does not run.");
    text
}
