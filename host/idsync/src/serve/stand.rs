//! How the directories of all tenants stand, as the metrics show them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use idsync_engine::lease::Owner;
use idsync_model::{DirectoryId, Outcome, RunId, UnixMillis};
use idsync_store::{Directory, RunRecord, StoreError};

use super::metrics::DirectoryGauge;
use crate::app::App;

/// How many runs are looked at for the last one that succeeded, after a restart. One that is longer ago is not known.
const RUNS_LOOKED_AT: u64 = 200;

/// The last success of each directory, and the run up to which it is known.
#[derive(Default)]
pub struct Successes(Mutex<HashMap<DirectoryId, (RunId, Option<UnixMillis>)>>);

/// How all directories stand.
pub async fn directories(app: &App, successes: &Successes) -> Result<Vec<DirectoryGauge>, StoreError> {
    let mut gauges = Vec::new();
    for tenant in app.store().tenants().await? {
        for directory in app.store().directories(&tenant.name).await? {
            let last_success = successes.of(app, &directory).await?;
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
                last_success,
            });
        }
    }
    successes.forget_all_but(&gauges);
    Ok(gauges)
}

impl Successes {
    /// The end of the directory's last run that succeeded. The runs are looked through only after a new one has ended.
    async fn of(&self, app: &App, directory: &Directory) -> Result<Option<UnixMillis>, StoreError> {
        let Some(last) = &directory.last_run else {
            return Ok(None);
        };
        let known = self.lock().get(&directory.id).cloned();
        if let Some((run, at)) = &known
            && *run == last.run
        {
            return Ok(*at);
        }
        let mut at = success(last);
        if at.is_none() {
            let runs = app
                .store()
                .runs(&directory.tenant, Some(&directory.id), RUNS_LOOKED_AT)
                .await?;
            at = runs.iter().find_map(success).or(known.and_then(|(_, at)| at));
        }
        if last.ended_at.is_some() {
            self.lock().insert(directory.id.clone(), (last.run.clone(), at));
        }
        Ok(at)
    }

    fn forget_all_but(&self, gauges: &[DirectoryGauge]) {
        let mut known = self.lock();
        if known.len() > gauges.len() {
            known.retain(|id, _| gauges.iter().any(|gauge| gauge.id == *id));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DirectoryId, (RunId, Option<UnixMillis>)>> {
        // An entry is put in whole, so that a panic elsewhere leaves none half made.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn success(run: &RunRecord) -> Option<UnixMillis> {
    (run.outcome == Some(Outcome::Succeeded) && !run.dry_run)
        .then_some(run.ended_at)
        .flatten()
}
