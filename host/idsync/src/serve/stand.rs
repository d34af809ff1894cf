//! How the directories of all tenants stand, as the metrics show them.

use idsync_engine::lease::Owner;
use idsync_store::StoreError;

use super::metrics::DirectoryGauge;
use crate::app::App;

/// How all directories stand.
pub async fn directories(app: &App) -> Result<Vec<DirectoryGauge>, StoreError> {
    let mut gauges = Vec::new();
    for tenant in app.store().tenants().await? {
        for directory in app.store().directories(&tenant.name).await? {
            let is_running = directory
                .lease
                .is_some_and(|lease| Owner::is_alive(&app.locks_dir(), &lease.owner));
            gauges.push(DirectoryGauge {
                tenant: directory.tenant,
                id: directory.id,
                name: directory.name,
                state: directory.state,
                is_held: directory.held_since.is_some(),
                is_failing: directory.failing.is_some(),
                is_running,
                last_success: directory.last_success_at,
            });
        }
    }
    Ok(gauges)
}
