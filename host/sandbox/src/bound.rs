//! A plugin bound to one directory: the port `Provider` over a component.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use idsync_capability::egress::{EgressClient, EgressCtx, EgressGrant};
use idsync_capability::keys::{DirectorySealer, KeyPair, KeysCtx};
use idsync_capability::log::{LogBook, LogOrigin};
use idsync_capability::staging::StagingCtx;
use idsync_capability::timer::TimerCtx;
use idsync_capability::vault::{SealedValues, VaultCtx};
use idsync_capability::{CallKind, Granted, Provider as Exports, ProviderPre};
use idsync_model::{
    CallContext, Check, Description, DirectoryId, Failure, NoEvents, Normalized, Provider, SettingProblem,
    Settings, Staging, SyncEnd, SyncRequest, SyncSummary, Usage, Verification,
};
use tokio_util::sync::CancellationToken;
use wasmtime::Store;

use crate::call::{Call, Ended, Guest, InFlight, cancelled_before};
use crate::convert;
use crate::limits::Limits;
use crate::plugin::Plugin;
use crate::sandbox::Floor;

/// How long `describe` and `normalize` may take: they have nothing to wait for.
const QUICK: Duration = Duration::from_secs(10);

/// What a directory grants its plugin.
#[derive(Clone)]
pub struct Grants {
    /// The directory, for the log. Its plugin never learns it.
    pub directory: Option<DirectoryId>,
    /// The directory's key: while it is rotated, the one that these calls use.
    pub key: Option<Arc<KeyPair>>,
    /// The directory's secrets and remembered values.
    pub vault: Option<(Arc<dyn SealedValues>, DirectorySealer)>,
    /// Limits of its own, in place of the sandbox's. What exceeds the sandbox's pool counts as the pool's.
    pub limits: Option<Limits>,
}

/// A plugin with what one directory grants it, and with connections that no other directory uses. They last as long as
/// it does.
pub struct BoundPlugin {
    plugin: Arc<Plugin>,
    grants: Grants,
    client: EgressClient,
}

/// What a call has that `describe` and `normalize` go without.
struct Reach<'a> {
    grants: &'a Grants,
    egress: EgressGrant,
    staging: Option<Arc<dyn Staging>>,
}

impl BoundPlugin {
    pub(crate) fn new(plugin: Arc<Plugin>, mut grants: Grants) -> Self {
        grants.limits = grants.limits.map(|limits| limits.within(&plugin.floor.pool));
        let client = plugin.floor.egress.client();
        Self {
            plugin,
            grants,
            client,
        }
    }

    /// Calls `describe` of a component that is not yet known to be a plugin.
    pub(crate) async fn describe_unbound(
        floor: &Floor,
        pre: &ProviderPre<Guest>,
        path: &Path,
    ) -> Result<Description, Failure> {
        let origin = LogOrigin {
            plugin: path.display().to_string(),
            ..LogOrigin::default()
        };
        let context = quick_context();
        let asked = Asked {
            floor,
            pre,
            client: &floor.egress.client(),
            limits: &floor.limits,
            kind: CallKind::Describe,
            origin,
            context: &context,
            reach: None,
        };
        let ended = asked
            .run(|exports, store| {
                Box::pin(async move { exports.idsync_plugin_directory_sync().call_describe(store).await })
            })
            .await;
        ended.result.map(convert::description)
    }

    async fn call<T>(
        &self,
        kind: CallKind,
        context: &CallContext,
        settings: &Settings,
        staging: Option<Arc<dyn Staging>>,
        function: impl for<'a> FnOnce(&'a Exports, &'a mut Store<Guest>) -> InFlight<'a, T> + Send,
    ) -> Ended<T> {
        let floor = &self.plugin.floor;
        let limits = self.grants.limits.as_ref().unwrap_or(&floor.limits);
        let reach = if kind.reaches_out() {
            match floor.egress.grant(self.plugin.description(), settings) {
                Ok(egress) => Some(Reach {
                    grants: &self.grants,
                    egress,
                    staging,
                }),
                Err(error) => return not_begun(error.to_failure()),
            }
        } else {
            None
        };
        let origin = LogOrigin {
            plugin: self.plugin.description().id.clone(),
            directory: self.grants.directory.clone(),
            run: context.run.clone(),
        };
        let asked = Asked {
            floor,
            pre: &self.plugin.pre,
            client: &self.client,
            limits,
            kind,
            origin,
            context,
            reach,
        };
        asked.run(function).await
    }
}

/// A call that waits for its turn.
struct Asked<'a> {
    floor: &'a Floor,
    pre: &'a ProviderPre<Guest>,
    client: &'a EgressClient,
    limits: &'a Limits,
    kind: CallKind,
    origin: LogOrigin,
    context: &'a CallContext,
    reach: Option<Reach<'a>>,
}

impl Asked<'_> {
    /// Waits for a place in the pool, and makes the call. Its time runs from then.
    async fn run<T>(
        self,
        function: impl for<'a> FnOnce(&'a Exports, &'a mut Store<Guest>) -> InFlight<'a, T> + Send,
    ) -> Ended<T> {
        let Self {
            floor,
            pre,
            client,
            limits,
            kind,
            origin,
            context,
            reach,
        } = self;
        let _slot = tokio::select! {
            biased;
            () = context.cancel.cancelled() => return not_begun(cancelled_before(kind)),
            slot = floor.engine.slot() => slot,
        };
        let clock = Arc::clone(&floor.clock);
        let time_limit = context.time_limit.min(limits.wall_time);
        let book = LogBook::new(
            origin,
            Arc::clone(&context.events),
            Arc::clone(&clock),
            limits.log_lines,
        );
        let timer = TimerCtx::new(kind, Arc::clone(&clock), time_limit, context.cancel.clone());
        let egress = EgressCtx::new(
            kind,
            client,
            reach
                .as_ref()
                .map_or_else(EgressGrant::nothing, |reach| reach.egress.clone()),
            limits.of_egress(),
            Arc::clone(&clock),
            context.cancel.clone(),
        );
        let told = Arc::clone(&book);
        let call = Call {
            kind,
            engine: &floor.engine,
            plugin: pre,
            limits,
            clock: Arc::clone(&clock),
            granted: granted(kind, limits, &clock, &book, egress, timer, reach),
            book,
            time_limit,
            cancel: context.cancel.clone(),
        };
        let ended = call.run(function).await;
        told.end();
        ended
    }
}

fn granted(
    kind: CallKind,
    limits: &Limits,
    clock: &Arc<dyn idsync_model::Clock>,
    book: &Arc<LogBook>,
    egress: EgressCtx,
    timer: TimerCtx,
    reach: Option<Reach<'_>>,
) -> Granted {
    let (keys, vault, staging) = match reach {
        None => (
            KeysCtx::new(kind, None, EgressGrant::nothing(), Arc::clone(clock)),
            VaultCtx::empty(kind),
            StagingCtx::none(kind),
        ),
        Some(Reach {
            grants,
            egress: grant,
            staging,
        }) => (
            KeysCtx::new(kind, grants.key.clone(), grant, Arc::clone(clock)),
            match &grants.vault {
                Some((values, sealer)) => VaultCtx::new(kind, Arc::clone(values), sealer.clone()),
                None => VaultCtx::empty(kind),
            },
            match staging {
                Some(staging) => StagingCtx::of_run(staging, limits.boundary_call_bytes),
                None => StagingCtx::none(kind),
            },
        ),
    };
    let keys = keys.with_signature_limit(limits.requests.saturating_mul(2));
    Granted::new(
        Arc::clone(book),
        egress,
        keys,
        vault,
        timer,
        staging,
        limits.open_resources,
    )
}

fn quick_context() -> CallContext {
    CallContext {
        run: None,
        time_limit: QUICK,
        cancel: CancellationToken::new(),
        events: Arc::new(NoEvents),
    }
}

fn not_begun<T>(failure: Failure) -> Ended<T> {
    Ended {
        usage: Usage::default(),
        result: Err(failure),
    }
}

#[async_trait]
impl Provider for BoundPlugin {
    async fn describe(&self) -> Result<Description, Failure> {
        Ok(self.plugin.description().clone())
    }

    async fn normalize(
        &self,
        settings: &Settings,
    ) -> Result<Result<Normalized, Vec<SettingProblem>>, Failure> {
        let given = convert::to_settings(settings);
        let ended = self
            .call(
                CallKind::Normalize,
                &quick_context(),
                settings,
                None,
                |exports, store| {
                    Box::pin(async move {
                        exports
                            .idsync_plugin_directory_sync()
                            .call_normalize(store, &given)
                            .await
                    })
                },
            )
            .await;
        ended.result.map(convert::normalized)
    }

    async fn verify(&self, settings: &Settings, context: CallContext) -> Result<Verification, Failure> {
        let given = convert::to_settings(settings);
        let ended = self
            .call(CallKind::Verify, &context, settings, None, |exports, store| {
                Box::pin(async move {
                    exports
                        .idsync_plugin_directory_sync()
                        .call_verify(store, &given)
                        .await
                })
            })
            .await;
        ended.result.map(convert::verification)
    }

    async fn sync(&self, request: SyncRequest, staging: Arc<dyn Staging>, context: CallContext) -> SyncEnd {
        let given = convert::to_request(&request);
        let Ended { usage, result } = self
            .call(
                CallKind::Sync,
                &context,
                &request.settings,
                Some(staging),
                |exports, store| {
                    Box::pin(async move {
                        exports
                            .idsync_plugin_directory_sync()
                            .call_sync(store, &given)
                            .await
                    })
                },
            )
            .await;
        let result: Result<SyncSummary, Failure> = match result {
            Ok(Ok(summary)) => Ok(convert::summary(&summary)),
            Ok(Err(failure)) => Err(convert::failure(&failure)),
            Err(failure) => Err(failure),
        };
        SyncEnd { usage, result }
    }

    async fn explain(
        &self,
        settings: &Settings,
        who: &str,
        context: CallContext,
    ) -> Result<Vec<Check>, Failure> {
        let given = convert::to_settings(settings);
        let who = who.to_owned();
        let ended = self
            .call(CallKind::Explain, &context, settings, None, |exports, store| {
                Box::pin(async move {
                    exports
                        .idsync_plugin_directory_sync()
                        .call_explain(store, &given, &who)
                        .await
                })
            })
            .await;
        match ended.result? {
            Ok(checks) => Ok(convert::checks(checks)),
            Err(failure) => Err(convert::failure(&failure)),
        }
    }
}
