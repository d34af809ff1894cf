//! Why a sync or an explanation could not be completed, in the contract's words.

/// The kind of a failure, as `types.error-kind` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Okta does not accept the key, the client or the token.
    Unauthorized,
    /// A scope, a permission or a resource is missing.
    Forbidden,
    /// The settings can't be right.
    InvalidSettings,
    /// Something that the settings name is gone.
    NotFound,
    /// Okta's limits left no way to go on before the run's end.
    RateLimited,
    /// Okta could not be reached, or failed.
    Unavailable,
    /// Okta answered what it never should.
    Protocol,
    /// The run's time is over.
    Deadline,
    /// A person or the host asked for the end.
    Cancelled,
}

impl ErrorKind {
    /// Whether a later run can go on where this one ended: nothing that was read has turned out to be wrong.
    pub fn is_resumed(self) -> bool {
        matches!(
            self,
            Self::Unauthorized | Self::RateLimited | Self::Unavailable | Self::Deadline | Self::Cancelled
        )
    }
}

/// A failure as an admin reads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{summary}")]
pub struct Failure {
    /// What the host acts on.
    pub kind: ErrorKind,
    /// What was attempted, and what was seen instead.
    pub summary: String,
    /// What to do about it; empty where there is nothing to do but wait.
    pub hint: String,
    /// Where it happened.
    pub stage: &'static str,
    /// Okta's own error code.
    pub provider_code: Option<String>,
    /// Okta's own id of the request.
    pub request_id: Option<String>,
    /// Unix seconds by Okta's clock, before which another try is pointless.
    pub retry_at: Option<u64>,
}

impl Failure {
    /// A failure without Okta's details.
    pub fn new(
        kind: ErrorKind,
        stage: &'static str,
        summary: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            summary: summary.into(),
            hint: hint.into(),
            stage,
            provider_code: None,
            request_id: None,
            retry_at: None,
        }
    }

    /// An answer that breaks what Okta's API promises.
    pub fn protocol(stage: &'static str, summary: impl Into<String>) -> Self {
        Self::new(
            ErrorKind::Protocol,
            stage,
            summary,
            "Check that `okta_domain` is the org's own address with nothing in between that rewrites answers. If it \
             is, give Okta's support the request id.",
        )
    }
}
