//! The port `Provider`: what can be asked of a provider's logic for one directory. `sandbox` implements it over a
//! component; the plugin's logic compiled natively and test doubles do too.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{
    Check, Description, EventSink, Failure, Mode, Normalized, RunId, SettingProblem, Settings, Staging,
    UnixMillis, Verification,
};

/// What every call that may take long is given.
#[derive(Clone)]
pub struct CallContext {
    /// The run, where the call is part of one: it stands in the log lines.
    pub run: Option<RunId>,
    /// How long the call may take.
    pub time_limit: Duration,
    /// Triggered when a person or the host wants the call to end soon.
    pub cancel: CancellationToken,
    /// Whoever listens.
    pub events: Arc<dyn EventSink>,
}

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// The directory's settings.
    pub settings: Settings,
    /// How much must be read.
    pub mode: Mode,
    /// The state of the checkpoint to go on from.
    pub resume: Option<Vec<u8>>,
    /// The org that must answer.
    pub expected_org: Option<String>,
}

/// What a plugin says of a run in which it read everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncSummary {
    /// Requests that were sent, retries included.
    pub requests: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Time for which requests were held back because of the provider's limits.
    pub waited: Duration,
    /// Remarks for the admin.
    pub notes: Vec<String>,
}

/// A plugin's wish that the next run start no earlier than then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// Unix seconds by the provider's clock.
    pub time: u64,
    /// Why, as admins read it.
    pub reason: String,
}

/// The provider's clock, as one of its answers told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderTime {
    /// What the answer's `Date` header said (RFC 9110, section 6.6.1): whole seconds.
    pub provider: UnixMillis,
    /// The host's time when the answer came.
    pub host: UnixMillis,
}

/// What a call has used, whatever its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests that left the host.
    pub requests: u64,
    /// Time on the processor inside the plugin.
    pub cpu: Duration,
    /// The most memory the plugin had.
    pub peak_memory_bytes: u64,
    /// The plugin's wish for the next run.
    pub wake: Option<Wake>,
    /// The provider's clock, by the last answer that told it.
    pub provider_time: Option<ProviderTime>,
}

/// How a sync ended.
#[derive(Debug)]
pub struct SyncEnd {
    /// What it used.
    pub usage: Usage,
    /// Success says that everything in scope was read to its end.
    pub result: Result<SyncSummary, Failure>,
}

/// The logic of a provider, bound to one directory.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What the provider is and needs.
    async fn describe(&self) -> Result<Description, Failure>;
    /// Settings in their canonical form, or what is wrong with each. Makes no requests.
    async fn normalize(
        &self,
        settings: &Settings,
    ) -> Result<Result<Normalized, Vec<SettingProblem>>, Failure>;
    /// Looks at each thing that must be right. An error is the plugin's or the host's; what is wrong with the setup
    /// is a check.
    async fn verify(&self, settings: &Settings, context: CallContext) -> Result<Verification, Failure>;
    /// Reads the directory into `staging`.
    async fn sync(&self, request: SyncRequest, staging: Arc<dyn Staging>, context: CallContext) -> SyncEnd;
    /// Why one person or group is, or is not, synced.
    async fn explain(
        &self,
        settings: &Settings,
        who: &str,
        context: CallContext,
    ) -> Result<Vec<Check>, Failure>;
}
