//! The plugins of the directories, as the scheduler asks for them.

use std::sync::Arc;

use async_trait::async_trait;
use idsync_engine::scheduler::{Bound, Providers};
use idsync_model::{ErrorKind, Failure, RunId};
use idsync_store::Scheduled;

use crate::app::App;
use crate::binding;
use crate::error::{CommandError, Kind};

/// Plugins from the folder, bound to directories of the store.
pub struct DirectoryPlugins {
    app: Arc<App>,
}

impl DirectoryPlugins {
    /// The plugins of a data directory.
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[async_trait]
impl Providers for DirectoryPlugins {
    async fn hosts(&self, scheduled: &Scheduled) -> Option<Vec<String>> {
        let Scheduled {
            tenant, directory, ..
        } = scheduled;
        let directory = self
            .app
            .store()
            .directory(tenant, directory.as_str())
            .await
            .ok()?;
        let plugin = self.app.plugin(&scheduled.provider).await.ok()?;
        plugin.hosts(&directory.verified?.settings).ok()
    }

    async fn bind(&self, scheduled: &Scheduled, run: &RunId) -> Result<Bound, Failure> {
        let app = &self.app;
        let directory = app
            .store()
            .directory(&scheduled.tenant, scheduled.directory.as_str())
            .await;
        let ready = match directory {
            Ok(directory) => binding::ready(app, &directory, run).await,
            Err(error) => Err(error.into()),
        };
        ready.map_err(failure)
    }
}

/// Why a run could not begin, as the table of RUNS §6 counts it. What is no kind of a run's is the host's.
fn failure(error: CommandError) -> Failure {
    let kind = match error.kind {
        Kind::Run(kind) => kind,
        // A provider that there is no plugin of: the folder of the plugins is wrong, which no directory can help.
        _ => ErrorKind::Host,
    };
    Failure::new(kind, "begin", error.summary, error.hint)
}
