//! Counts what the scheduler does.

use std::sync::Arc;
use std::time::Duration;

use idsync_engine::scheduler::Listener;
use idsync_model::{EventSink, NoEvents, RunId, RunReport};
use idsync_store::Scheduled;

use super::ServiceState;

/// Tells the service's health and metrics what the scheduler does.
pub struct Watcher {
    service: Arc<ServiceState>,
}

impl Watcher {
    /// A watcher for a service.
    pub fn new(service: Arc<ServiceState>) -> Self {
        Self { service }
    }
}

impl Listener for Watcher {
    fn looked(&self, at: Duration) {
        self.service.last_look.tick(at);
    }

    fn events(&self, _scheduled: &Scheduled, _run: &RunId) -> Arc<dyn EventSink> {
        // The plugin's lines are in the log already.
        Arc::new(NoEvents)
    }

    fn ended(&self, scheduled: &Scheduled, report: &RunReport) {
        self.service.metrics.run_ended(&scheduled.provider, report);
    }
}
