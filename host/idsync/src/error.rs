//! What a command that failed tells people and scripts, and its exit code.

use std::error::Error;
use std::fmt::Write as _;

use idsync_model::{ErrorKind, Failure, InvalidId, with_causes};
use serde::Serialize;

/// The kind of a command's failure: those of runs, and five of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No such tenant, directory or run in this tenant.
    UnknownId,
    /// Something else is at work: the directory is being synced, or was changed meanwhile.
    Busy,
    /// It can't be done as things stand: the plan is no longer held, the key waits already.
    Conflict,
    /// Changes can't be read on from that position.
    FeedPosition,
    /// The command can't be meant like that.
    Usage,
    /// One of the kinds of runs.
    Run(ErrorKind),
}

impl Kind {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownId => "unknown-id",
            Self::Busy => "busy",
            Self::Conflict => "conflict",
            Self::FeedPosition => "feed-position",
            Self::Usage => "usage",
            Self::Run(kind) => kind.as_str(),
        }
    }
}

/// A command's failure: what was attempted and why it did not work, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{summary}")]
pub struct CommandError {
    /// What kind of failure it is.
    pub kind: Kind,
    /// One sentence, with its causes.
    pub summary: String,
    /// What to do; empty where the summary says it.
    pub hint: String,
}

impl CommandError {
    /// A failure of that kind.
    pub fn new(kind: Kind, summary: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            summary: summary.into(),
            hint: hint.into(),
        }
    }

    /// Wrong usage.
    pub fn usage(summary: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Kind::Usage, summary, hint)
    }

    /// A failure of a library whose text says what was attempted before a `; ` and what to do after it. The causes go
    /// with what was attempted.
    pub fn in_two_parts(kind: Kind, error: &(dyn Error + 'static)) -> Self {
        let text = error.to_string();
        let causes = with_causes(error)
            .strip_prefix(&text)
            .unwrap_or_default()
            .to_owned();
        match text.split_once("; ") {
            Some((summary, hint)) => Self::new(kind, format!("{summary}{causes}"), hint),
            None => Self::new(kind, format!("{text}{causes}"), ""),
        }
    }

    /// A fault of the host, with its chain of causes in the summary.
    pub fn host(error: &(dyn Error + 'static), hint: impl Into<String>) -> Self {
        Self::new(Kind::Run(ErrorKind::Host), with_causes(error), hint)
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Run(ErrorKind::Cancelled) => 130,
            _ => 1,
        }
    }

    /// The document that `--json` prints.
    pub fn to_json(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct Document<'a> {
            kind: &'a str,
            summary: &'a str,
            hint: &'a str,
        }
        serde_json::json!({
            "error": Document { kind: self.kind.as_str(), summary: &self.summary, hint: &self.hint }
        })
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        let mut summary = failure.summary;
        if let Some(code) = failure.provider_code {
            let _ = write!(summary, " (provider's code: {code})");
        }
        Self::new(Kind::Run(failure.kind), summary, failure.hint)
    }
}

impl From<InvalidId> for CommandError {
    fn from(error: InvalidId) -> Self {
        Self::usage(error.to_string(), "")
    }
}

impl From<idsync_store::StoreError> for CommandError {
    fn from(error: idsync_store::StoreError) -> Self {
        use idsync_store::StoreError as Store;
        let kind = match &error {
            Store::UnknownTenant(_) | Store::UnknownDirectory { .. } | Store::UnknownRun { .. } => {
                Kind::UnknownId
            }
            Store::NameTaken { .. } | Store::TenantNotEmpty { .. } => Kind::Usage,
            Store::Locked(_) | Store::SettingsChanged | Store::Leased { .. } => Kind::Busy,
            Store::NotHeld { .. }
            | Store::StalePlan { .. }
            | Store::Stale { .. }
            | Store::SupersededBy { .. }
            | Store::NextKeyWaits { .. }
            | Store::NoNextKey
            | Store::BackupExists { .. } => Kind::Conflict,
            Store::SameScope { .. } => Kind::Run(ErrorKind::InvalidSettings),
            Store::FeedPosition { .. } => Kind::FeedPosition,
            _ => Kind::Run(ErrorKind::Host),
        };
        Self::in_two_parts(kind, &error)
    }
}

impl From<idsync_engine::EngineError> for CommandError {
    fn from(error: idsync_engine::EngineError) -> Self {
        use idsync_engine::EngineError as Engine;
        match error {
            Engine::Store(error) => error.into(),
            Engine::Plugin(failure) => (*failure).into(),
            Engine::Owner(error) => error.into(),
            Engine::NotVerified { name } => Self::usage(
                format!("directory `{name}` can't be synced: it was never verified"),
                format!("Run `idsync directory verify {name}` and mend what it finds."),
            ),
            Engine::Busy { .. } => Self::in_two_parts(Kind::Busy, &error),
            Engine::Unrecorded { .. } | Engine::Unended { .. } => {
                Self::in_two_parts(Kind::Run(ErrorKind::Host), &error)
            }
        }
    }
}
