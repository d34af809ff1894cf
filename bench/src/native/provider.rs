//! The port `Provider` over the plugin's logic, which runs on a thread of its own as an instance does on one task.

#![expect(
    clippy::result_large_err,
    reason = "a failure ends the call, so that it is made and moved once"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use idsync_capability::CallKind;
use idsync_capability::egress::{Egress, EgressClient, EgressCtx};
use idsync_capability::keys::KeysCtx;
use idsync_capability::log::{LogBook, LogCtx, LogOrigin};
use idsync_capability::staging::StagingCtx;
use idsync_capability::timer::TimerCtx;
use idsync_capability::vault::VaultCtx;
use idsync_model::{
    CallContext, Check, Clock, Description, ErrorKind, Failure, KeyAlgorithm, Mode, Normalized, Provider,
    SettingProblem, SettingSpec, Settings, Staging, SyncEnd, SyncRequest, SyncSummary, Usage, Verification,
};
use idsync_sandbox::{Grants, Limits};
use plugin_okta::failure::ErrorKind as OktaError;
use plugin_okta::{describe, report, settings};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::host::NativeHost;

/// The plugin's logic, bound to one directory.
pub struct NativePlugin {
    grants: Grants,
    egress: Egress,
    client: EgressClient,
    limits: Limits,
    clock: Arc<dyn Clock>,
}

impl NativePlugin {
    /// The logic with what one directory grants it, under the limits of a call in the sandbox but those of memory and
    /// processor.
    pub fn new(grants: Grants, egress: Egress, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let client = egress.client();
        Self {
            grants,
            egress,
            client,
            limits,
            clock,
        }
    }

    fn host(
        &self,
        settings: &Settings,
        staging: Arc<dyn Staging>,
        context: &CallContext,
    ) -> Result<NativeHost, Failure> {
        let kind = CallKind::Sync;
        let description = description();
        let grant = self
            .egress
            .grant(&description, settings)
            .map_err(|error| error.to_failure())?;
        let limits = &self.limits;
        let book = LogBook::new(
            LogOrigin {
                plugin: description.id,
                directory: self.grants.directory.clone(),
                run: context.run.clone(),
            },
            Arc::clone(&context.events),
            Arc::clone(&self.clock),
            limits.log_lines,
        );
        let time_limit = context.time_limit.min(limits.wall_time);
        Ok(NativeHost::new(
            EgressCtx::new(
                kind,
                &self.client,
                grant.clone(),
                limits.of_egress(),
                Arc::clone(&self.clock),
                context.cancel.clone(),
            ),
            KeysCtx::new(kind, self.grants.key.clone(), grant, Arc::clone(&self.clock)),
            match &self.grants.vault {
                Some((values, sealer)) => VaultCtx::new(kind, Arc::clone(values), sealer.clone()),
                None => VaultCtx::empty(kind),
            },
            TimerCtx::new(kind, Arc::clone(&self.clock), time_limit, context.cancel.clone()),
            StagingCtx::of_run(staging, limits.boundary_call_bytes),
            LogCtx::new(book),
            Arc::clone(&self.clock),
        ))
    }
}

/// The logic's own work, which stays on the thread that it began on.
async fn work(host: NativeHost, request: SyncRequest) -> SyncEnd {
    let given = request.settings.0.iter();
    let ended = match settings::Settings::read(given.map(|(name, value)| (name.as_str(), value.as_str()))) {
        Ok(settings) => {
            let order = report::SyncRequest {
                mode: match request.mode {
                    Mode::Full => report::Mode::Full,
                    Mode::Incremental => report::Mode::Incremental,
                },
                resume: request.resume,
                expected_org: request.expected_org,
            };
            plugin_okta::sync::sync(&host, settings, order).await
        }
        Err(failure) => Err(failure),
    };
    let (usage, fault) = host.end();
    let result = match (fault, ended) {
        (Some(fault), _) => Err(fault),
        (None, Ok(summary)) => Ok(SyncSummary {
            requests: summary.requests,
            retries: summary.retries,
            waited: Duration::from_millis(summary.waited_ms),
            notes: summary.notes,
        }),
        (None, Err(failure)) => Err(told(failure)),
    };
    SyncEnd { usage, result }
}

fn told(failure: plugin_okta::failure::Failure) -> Failure {
    Failure {
        kind: match failure.kind {
            OktaError::Unauthorized => ErrorKind::Unauthorized,
            OktaError::Forbidden => ErrorKind::Forbidden,
            OktaError::InvalidSettings => ErrorKind::InvalidSettings,
            OktaError::NotFound => ErrorKind::NotFound,
            OktaError::RateLimited => ErrorKind::RateLimited,
            OktaError::Unavailable => ErrorKind::Unavailable,
            OktaError::Protocol => ErrorKind::Protocol,
            OktaError::Deadline => ErrorKind::Deadline,
            OktaError::Cancelled => ErrorKind::Cancelled,
        },
        summary: failure.summary,
        hint: failure.hint,
        stage: failure.stage.to_owned(),
        provider_code: failure.provider_code,
        request_id: failure.request_id,
        retry_at: failure.retry_at,
    }
}

/// What egress needs to know: the hosts, and the settings that name them.
fn description() -> Description {
    let said = describe::describe();
    Description {
        id: said.id.to_owned(),
        name: said.name.to_owned(),
        version: said.version.to_owned(),
        settings: said
            .settings
            .into_iter()
            .map(|setting| SettingSpec {
                name: setting.name.to_owned(),
                label: setting.label.to_owned(),
                help: setting.help.to_owned(),
                placeholder: setting.placeholder.to_owned(),
                pattern: setting.pattern.to_owned(),
                required: setting.required,
                secret: false,
            })
            .collect(),
        key: Some(KeyAlgorithm::Rs256),
        hosts: said.hosts.map(str::to_owned).into(),
        permissions: Vec::new(),
        guide: Vec::new(),
        docs_url: Some(said.docs_url.to_owned()),
    }
}

fn broken_off(what: &str) -> Failure {
    Failure::new(
        ErrorKind::Host,
        "sync",
        what,
        "Report this as a fault of the bench.",
    )
}

fn for_syncs_alone<T>() -> Result<T, Failure> {
    Err(broken_off(
        "the native plugin was asked for something other than a sync",
    ))
}

#[async_trait]
impl Provider for NativePlugin {
    async fn describe(&self) -> Result<Description, Failure> {
        Ok(description())
    }

    async fn normalize(&self, _: &Settings) -> Result<Result<Normalized, Vec<SettingProblem>>, Failure> {
        for_syncs_alone()
    }

    async fn verify(&self, _: &Settings, _: CallContext) -> Result<Verification, Failure> {
        for_syncs_alone()
    }

    async fn sync(&self, request: SyncRequest, staging: Arc<dyn Staging>, context: CallContext) -> SyncEnd {
        let not_begun = |failure| SyncEnd {
            usage: Usage::default(),
            result: Err(failure),
        };
        let (ended, end) = oneshot::channel();
        // The logic is not `Send`, so its host is moved to the thread and everything else is made there. Connections,
        // TLS and tasks of the host stay on the threads of the runtime.
        let host = match self.host(&request.settings, staging, &context) {
            Ok(host) => host,
            Err(failure) => return not_begun(failure),
        };
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name("plugin".to_owned());
        if let Err(error) = thread.spawn(move || {
            // Whoever asked may have gone.
            let _ = ended.send(runtime.block_on(work(host, request)));
        }) {
            return not_begun(broken_off(&format!(
                "a thread for the plugin could not be made: {error}"
            )));
        }
        match end.await {
            Ok(end) => end,
            Err(_) => not_begun(broken_off("the plugin's thread broke off")),
        }
    }

    async fn explain(&self, _: &Settings, _: &str, _: CallContext) -> Result<Vec<Check>, Failure> {
        for_syncs_alone()
    }
}
