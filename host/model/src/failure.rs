//! Why a run did not succeed, in the words that the host acts on and those that an admin acts on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a failure: the host decides by it alone what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The provider does not accept the key, the client or the token.
    Unauthorized,
    /// A scope, a permission or a resource is missing.
    Forbidden,
    /// The settings can't be right.
    InvalidSettings,
    /// Something that the settings name is gone.
    NotFound,
    /// The provider's limits left no way to go on.
    RateLimited,
    /// The provider could not be reached, or failed.
    Unavailable,
    /// The provider answered what it never should.
    Protocol,
    /// The run's time is over.
    Deadline,
    /// A person or the host ended it.
    Cancelled,
    /// The plugin trapped, met a limit or broke its contract.
    Plugin,
    /// The host's own fault: a full disk, a store that does not answer, a bug.
    Host,
}

impl ErrorKind {
    /// The word that commands and the API show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::InvalidSettings => "invalid-settings",
            Self::NotFound => "not-found",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Protocol => "protocol",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Plugin => "plugin",
            Self::Host => "host",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure as an admin reads it. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{summary}")]
pub struct Failure {
    /// What the host acts on.
    pub kind: ErrorKind,
    /// What was attempted, and what was seen instead.
    pub summary: String,
    /// What to do about it; empty where there is nothing to do but wait.
    pub hint: String,
    /// Where it happened: a word of the plugin's, or of the host's own stages.
    pub stage: String,
    /// The provider's own error code.
    pub provider_code: Option<String>,
    /// The provider's own id of the request.
    pub request_id: Option<String>,
    /// Unix seconds by the provider's clock, before which another try is pointless.
    pub retry_at: Option<u64>,
}

/// What to do about a limit of the host's own. It says whose limit it is, because whoever reads of one thinks of the
/// provider's rate limits first.
pub const OWN_LIMIT_HINT: &str = "The limit is one of idsync, not of the provider, and fixed in this version. Report this \
                                  to the author of the plugin; where the directory is that large, report it to idsync.";

impl Failure {
    /// A failure without the provider's details.
    pub fn new(kind: ErrorKind, stage: &str, summary: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            summary: summary.into(),
            hint: hint.into(),
            stage: stage.to_owned(),
            provider_code: None,
            request_id: None,
            retry_at: None,
        }
    }
}
