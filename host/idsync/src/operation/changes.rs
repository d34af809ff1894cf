//! The change feed.

use idsync_model::{DirectoryId, FeedCursor};
use idsync_store::{ChangePage, StoreError};

use crate::app::App;
use crate::error::CommandError;

/// Changes that are read at once.
const PAGE: u64 = 1000;

/// The directory whose changes are wanted. One that was removed has changes too, and is known by its id.
pub async fn directory(app: &App, id_or_name: &str) -> Result<DirectoryId, CommandError> {
    match app.store().directory(app.tenant(), id_or_name).await {
        Ok(directory) => Ok(directory.id),
        Err(StoreError::UnknownDirectory { .. }) if id_or_name.parse::<DirectoryId>().is_ok() => {
            Ok(id_or_name.parse()?)
        }
        Err(error) => Err(error.into()),
    }
}

/// The next changes after a position.
pub async fn page(
    app: &App,
    since: &FeedCursor,
    directory: Option<&DirectoryId>,
) -> Result<ChangePage, CommandError> {
    Ok(app.store().changes(app.tenant(), since, directory, PAGE).await?)
}
