//! `idsync serve`: the scheduler, the purge, and an HTTP listener that says how they fare.

mod health;
mod http;
mod metrics;
mod providers;
mod stand;
mod watcher;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{StatusCode, header};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use idsync_engine::ReadLimits;
use idsync_engine::pick::Bounds;
use idsync_engine::scheduler::{Scheduler, SchedulerOptions};
use idsync_model::{CancellationToken, with_causes};

use self::health::{LastLook, NotReady, verdict};
use self::http::HttpListener;
use self::metrics::{Form, Metrics};
use self::providers::DirectoryPlugins;
use self::watcher::Watcher;
use crate::app::App;
use crate::error::CommandError;

/// How long the store may take to answer before the service is not ready.
const STORE_TIME: Duration = Duration::from_secs(5);

/// How the service is to run.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where it listens, as `HOST:PORT`.
    pub listen: String,
    /// How many runs there may be at once.
    pub max_runs: u32,
    /// How many of them may be of one tenant.
    pub max_runs_per_tenant: u32,
    /// How long changes are kept.
    pub keep_changes: Duration,
}

/// A service that listens, and will begin to sync when it is run.
pub struct Service {
    listener: HttpListener,
    options: ServeOptions,
    state: Arc<ServiceState>,
}

/// What requests are answered from.
struct ServiceState {
    app: Arc<App>,
    metrics: Metrics,
    last_look: LastLook,
    stop: CancellationToken,
}

impl Service {
    /// Binds the address. Errs when it is none, or can't be bound. `stop` ends the service.
    pub async fn start(
        app: Arc<App>,
        options: ServeOptions,
        stop: CancellationToken,
    ) -> Result<Self, CommandError> {
        let listener = HttpListener::bind(&options.listen).await?;
        if listener.is_public() {
            tracing::warn!(
                address = %listener.address(),
                "others than this machine can ask /metrics, which names the directories, and nobody has to sign in"
            );
        }
        tracing::info!(
            address = %listener.address(), version = env!("CARGO_PKG_VERSION"), "listening"
        );
        let state = ServiceState {
            metrics: Metrics::new(env!("CARGO_PKG_VERSION")),
            last_look: LastLook::new(app.clock().monotonic()),
            stop,
            app,
        };
        Ok(Self {
            listener,
            options,
            state: Arc::new(state),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Syncs and answers until it is told to stop, and then until the runs in progress have ended.
    pub async fn run(self) -> Result<(), CommandError> {
        let Self {
            listener,
            options,
            state,
        } = self;
        let app = &state.app;
        let sync = app.sync().await?;
        // Every purge goes by it, also that of a sync by hand while no service runs.
        app.store().set_keep_changes(options.keep_changes).await?;
        let scheduler_options = SchedulerOptions {
            bounds: Bounds {
                total: options.max_runs as usize,
                per_tenant: options.max_runs_per_tenant as usize,
            },
            limits: ReadLimits::default(),
        };
        let plugins = Arc::new(DirectoryPlugins::new(Arc::clone(&state.app)));
        let watcher = Arc::new(Watcher::new(Arc::clone(&state)));
        let scheduler = Scheduler::new(sync, plugins, watcher, scheduler_options, state.stop.clone());
        // The listener outlives the scheduler: `/readyz` says that the service is ending.
        let closed = CancellationToken::new();
        let listening = tokio::spawn(listener.serve(routes(Arc::clone(&state)), closed.clone()));
        Box::pin(scheduler.run()).await;
        closed.cancel();
        listening
            .await
            .map_err(|error| CommandError::host(&error, "This is a fault of idsync: please report it."))?;
        tracing::info!("ended");
        Ok(())
    }
}

fn routes(state: Arc<ServiceState>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(state)
}

async fn ready(State(state): State<Arc<ServiceState>>) -> Response {
    let store = match tokio::time::timeout(STORE_TIME, state.app.store().tenants()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(with_causes(&error)),
        Err(_) => Err(format!(
            "the store has not answered for {} s",
            STORE_TIME.as_secs()
        )),
    };
    let silent_for = state.last_look.age(state.app.clock().monotonic());
    match verdict(state.stop.is_cancelled(), store, silent_for) {
        Ok(()) => json(StatusCode::OK, &serde_json::json!({ "ready": true })),
        Err(reason) => not_ready(&reason),
    }
}

fn not_ready(reason: &NotReady) -> Response {
    let mut answer = serde_json::json!({ "ready": false });
    if let (Some(answer), Ok(serde_json::Value::Object(reason))) =
        (answer.as_object_mut(), serde_json::to_value(reason))
    {
        answer.extend(reason);
    }
    json(StatusCode::SERVICE_UNAVAILABLE, &answer)
}

fn json(status: StatusCode, document: &serde_json::Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, format!("{document}\n")).into_response()
}

async fn metrics_text(State(state): State<Arc<ServiceState>>, headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let form = Form::accepted(accept);
    match stand::directories(&state.app).await {
        Ok(directories) => {
            let content_type = [(header::CONTENT_TYPE, form.content_type())];
            (content_type, state.metrics.text(&directories, form)).into_response()
        }
        Err(error) => {
            let detail = with_causes(&error);
            tracing::warn!("the directories could not be read for /metrics: {detail}");
            not_ready(&NotReady::Store { detail })
        }
    }
}
