//! `idsync serve`

use std::sync::Arc;

use idsync_model::CancellationToken;
use serde_json::json;

use super::args::ServeArguments;
use super::output::Output;
use super::signal::until_told_twice;
use crate::app::App;
use crate::error::CommandError;
use crate::serve::{self, ServeOptions};

pub async fn run(app: App, arguments: ServeArguments, output: Output) -> Result<u8, CommandError> {
    let options = ServeOptions {
        listen: arguments.listen,
        max_runs: arguments.max_runs,
        max_runs_per_tenant: arguments.max_runs_per_tenant,
        keep_changes: arguments.keep_changes,
    };
    let stop = CancellationToken::new();
    let work = async {
        let service = serve::Service::start(Arc::new(app), options, stop.clone()).await?;
        let address = service.address();
        output.answer(&json!({ "address": address.to_string() }), || {
            format!("Listening at http://{address} (/healthz, /readyz, /metrics).")
        })?;
        service.run().await
    };
    let ended = until_told_twice(&stop, work, || {
        tracing::info!(
            "ending: requests in flight get 5 s; a second signal ends at once, and nothing is lost"
        );
    });
    // What a second signal interrupted is not waited for, and is as good an end.
    ended.await.unwrap_or(Ok(())).map(|()| 0)
}
