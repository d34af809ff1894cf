//! The first stage of a run: the plugin reads, and it is made sure that it read everything.

use std::sync::Arc;

use idsync_model::{
    CallContext, ErrorKind, Failure, OWN_LIMIT_HINT, Provider, Staging, SyncEnd, SyncRequest, SyncSummary,
    Usage,
};
use idsync_store::{StagingRows, StoreError};
use tokio::task::JoinSet;

use crate::halt::{HOST_HINT, Halt, PLUGIN_HINT, late_breach, store_failure};
use crate::interrupt::{Interrupt, Interruption};
use crate::spent::Spent;
use crate::stages::{Begun, Read};
use crate::staging::{RunStaging, StagingScope};

/// A run whose plugin may put rows.
pub(crate) struct Reading<'a> {
    pub(crate) begun: &'a Begun<'a>,
    pub(crate) rows: Arc<dyn StagingRows>,
    /// Where the plugin goes on from, when the rows are those of an earlier run.
    pub(crate) resume: Option<Vec<u8>>,
}

impl<'a> Reading<'a> {
    /// Has the plugin read, and makes sure that it read everything.
    pub(crate) async fn read(self, provider: Arc<dyn Provider>) -> Result<Read<'a>, Halt> {
        let begun = self.begun;
        let left = match self.rows.counts().await {
            Ok(left) => left,
            Err(error) => return Err(Halt::early(store_failure("staging", &error))),
        };
        let staging = Arc::new(RunStaging::new(
            Arc::clone(begun.store),
            Arc::clone(&self.rows),
            StagingScope {
                tenant: begun.order.tenant.clone(),
                directory: begun.order.directory.clone(),
                mode: begun.mode,
                stored: begun.basis.stored,
                rows_left: left.users + left.groups + left.members,
                max_rows: begun.order.limits.staged_rows,
                max_bytes: begun.order.limits.staged_bytes,
            },
            Arc::clone(&begun.signals.events),
        ));
        let end = self
            .call(provider, Arc::clone(&staging) as Arc<dyn Staging>)
            .await;
        staging.seal();
        let is_resumed = self.resume.is_some();
        let mut spent = Spent::of(&end);
        match self.believe(end.result, &staging).await {
            Ok(summary) => {
                spent.facts.notes.clone_from(&begun.order.notes);
                spent.facts.notes.extend(summary.notes);
                Ok(Read {
                    begun,
                    rows: self.rows,
                    is_resumed,
                    spent,
                })
            }
            Err(failure) => Err(Halt {
                keeps_staging: keeps_staging(failure.kind),
                ..Halt::after(failure, spent)
            }),
        }
    }

    /// The plugin's sync, on a task of its own, so that a panic ends this run alone. One that does not end when it
    /// should is dropped.
    async fn call(&self, provider: Arc<dyn Provider>, staging: Arc<dyn Staging>) -> SyncEnd {
        let begun = self.begun;
        let limits = begun.order.limits;
        let request = SyncRequest {
            settings: begun.verified.settings.clone(),
            mode: begun.mode,
            resume: self.resume.clone(),
            expected_org: begun.verified.org_id.clone(),
        };
        let context = CallContext {
            run: Some(begun.order.run.clone()),
            time_limit: limits.time,
            cancel: begun.interrupt.token.clone(),
            events: Arc::clone(&begun.signals.events),
        };
        let start = begun.clock.monotonic();
        let mut call = JoinSet::new();
        call.spawn(async move { provider.sync(request, staging, context).await });
        let is_overdue = async {
            tokio::select! {
                () = tokio::time::sleep(limits.time) => Overdue::Deadline,
                () = begun.interrupt.token.cancelled() => Overdue::Interrupted,
            }
        };
        let overdue = async {
            let why = is_overdue.await;
            tokio::time::sleep(limits.grace).await;
            why
        };
        let failure = tokio::select! {
            biased;
            ended = call.join_next() => match ended {
                Some(Ok(end)) => {
                    let took = begun.clock.monotonic().saturating_sub(start);
                    return with_due_deadline(end, took >= limits.time.mul_f64(0.9));
                }
                Some(Err(error)) => Failure::new(
                    ErrorKind::Host,
                    "read",
                    format!("the provider's code broke off: {error}"),
                    "This is a fault of idsync: please report it with the log.",
                ),
                None => Failure::new(ErrorKind::Host, "read", "the provider's code did not start", "Sync again."),
            },
            why = overdue => match why {
                Overdue::Interrupted => begun.interrupt.reason().unwrap_or(Interruption::Cancelled).failure("read"),
                Overdue::Deadline => Failure::new(
                    ErrorKind::Deadline,
                    "read",
                    format!("reading was not done after {} s, which is all that a run has", limits.time.as_secs()),
                    "The next run goes on from the last checkpoint. When it stands, look at what the provider's rate \
                     limits leave to idsync.",
                ),
            },
        };
        call.shutdown().await;
        SyncEnd {
            usage: Usage::default(),
            result: Err(failure),
        }
    }

    /// A success is one when nothing that was put failed and every list that was needed was read to its end.
    async fn believe(
        &self,
        result: Result<SyncSummary, Failure>,
        staging: &RunStaging,
    ) -> Result<SyncSummary, Failure> {
        if let Some(broken) = staging.broken() {
            return Err(if broken.is_hosts {
                self.explain_loss(Failure::new(
                    ErrorKind::Host,
                    "staging",
                    broken.summary,
                    HOST_HINT,
                ))
                .await
            } else {
                let hint = if broken.is_limit {
                    OWN_LIMIT_HINT
                } else {
                    PLUGIN_HINT
                };
                Failure::new(ErrorKind::Plugin, "staging", broken.summary, hint)
            });
        }
        let interruption = self.begun.interrupt.reason();
        let summary = match result {
            Ok(summary) => summary,
            Err(failure) if failure.kind == ErrorKind::Cancelled && interruption.is_none() => {
                return Err(Failure {
                    kind: ErrorKind::Plugin,
                    summary: format!(
                        "the plugin ended the run as cancelled, which nobody asked for: {}",
                        failure.summary
                    ),
                    hint: PLUGIN_HINT.to_owned(),
                    ..failure
                });
            }
            Err(failure) => {
                return Err(match interruption {
                    Some(why)
                        if why.is_loss() || !matches!(failure.kind, ErrorKind::Plugin | ErrorKind::Host) =>
                    {
                        why.failure("read")
                    }
                    _ => failure,
                });
            }
        };
        if let Some(failure) = self.begun.interruption("read") {
            return Err(failure);
        }
        match self.unread_groups().await {
            Ok(groups) if groups.is_empty() => Ok(summary),
            Ok(groups) => Err(Failure::new(
                ErrorKind::Plugin,
                "staging",
                format!(
                    "the plugin said that it read everything, but it never put the last page of the members of {}",
                    groups.join(", ")
                ),
                PLUGIN_HINT,
            )),
            Err(StoreError::GroupNotPut { group }) => Err(late_breach(&StoreError::GroupNotPut { group })),
            Err(StoreError::ListNotOpen { group }) => Err(late_breach(&StoreError::ListNotOpen { group })),
            Err(error) => Err(store_failure("staging", &error)),
        }
    }

    async fn unread_groups(&self) -> Result<Vec<String>, StoreError> {
        self.rows.flush().await?;
        let groups = self.rows.unclosed_groups(5).await?;
        Ok(groups.iter().map(|group| format!("group `{group}`")).collect())
    }

    /// A staging that can't be written because something else ended the run, or has its lease, is no fault of the host.
    async fn explain_loss(&self, failure: Failure) -> Failure {
        let Begun {
            store,
            order,
            interrupt,
            ..
        } = self.begun;
        match store.beat(&order.tenant, &order.run).await {
            Err(error) => match Interrupt::loss(&error) {
                Some(loss) => {
                    interrupt.end(loss.clone());
                    loss.failure("staging")
                }
                None => failure,
            },
            Ok(()) => failure,
        }
    }
}

/// A deadline is followed by another run at once and never disables: a plugin that says so early is at fault itself.
fn with_due_deadline(mut end: SyncEnd, has_had_its_time: bool) -> SyncEnd {
    if let Err(failure) = &mut end.result
        && failure.kind == ErrorKind::Deadline
        && !has_had_its_time
    {
        *failure = Failure {
            kind: ErrorKind::Plugin,
            summary: format!(
                "the plugin ended the run as out of time while it had time left: {}",
                failure.summary
            ),
            hint: PLUGIN_HINT.to_owned(),
            ..failure.clone()
        };
    }
    end
}

enum Overdue {
    Deadline,
    Interrupted,
}

/// Whether the next run may go on from what was read before such a failure. Where what was read is in doubt, and where
/// a person must change something first, it reads everything again.
fn keeps_staging(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Unavailable
        | ErrorKind::RateLimited
        | ErrorKind::Unauthorized
        | ErrorKind::Deadline
        | ErrorKind::Cancelled
        | ErrorKind::Host => true,
        ErrorKind::Forbidden
        | ErrorKind::InvalidSettings
        | ErrorKind::NotFound
        | ErrorKind::Protocol
        | ErrorKind::Plugin => false,
    }
}
