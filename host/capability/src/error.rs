//! What ends a guest's call from the host's side. It passes through the guest as a wasmtime error, by type.

use idsync_model::{ErrorKind, Failure, OWN_LIMIT_HINT, StagingError, with_causes};

/// Something that a guest did, or the host could not do, for which the call ends at once.
#[derive(Debug, thiserror::Error)]
pub enum CapabilityError {
    /// A function was called where the contract does not allow it.
    #[error("the plugin called `{function}` inside `{call}`, where it may not be used")]
    NotInThisCall {
        /// The function, as `interface.name`.
        function: &'static str,
        /// The call that the guest was in.
        call: &'static str,
    },
    /// The guest did what the contract rules out.
    #[error("the plugin broke its contract: {0}")]
    Contract(String),
    /// A limit of one call was met.
    #[error("the plugin was ended because it went beyond what this host allows one call: {limit} {what}")]
    Limit {
        /// What there was too much of, as it reads behind the number.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// A request to a host that the description does not name.
    #[error("the plugin asked for `{host}`, which is none of the hosts that its description names")]
    EgressDenied {
        /// The host and port that were asked for.
        host: String,
    },
    /// The staging refused or failed.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The run may write no more: it was ended, or another process has taken it over.
    #[error("the run was ended while its plugin went on")]
    RunOver {
        /// In the store's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The vault failed.
    #[error("a value of the directory's vault could not be {attempt}")]
    Vault {
        /// What was attempted: `read` or `kept`.
        attempt: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CapabilityError {
    /// Whether the plugin is to blame; else the host is.
    pub fn is_the_plugins(&self) -> bool {
        !matches!(
            self,
            Self::Vault { .. } | Self::RunOver { .. } | Self::Staging(StagingError::Host(_))
        )
    }

    /// The failure that a run ends with, in the words of an admin. `stage` says where it happened.
    pub fn to_failure(&self, stage: &str) -> Failure {
        let (kind, hint) = match self {
            // Not as cancelled: nobody asked the plugin to end.
            Self::RunOver { .. } => (
                ErrorKind::Host,
                "See how the run ended, and which one came after it: `idsync run list`.",
            ),
            Self::Limit { .. } => (ErrorKind::Plugin, OWN_LIMIT_HINT),
            Self::Staging(error) if error.is_limit() => (ErrorKind::Plugin, OWN_LIMIT_HINT),
            _ if self.is_the_plugins() => (ErrorKind::Plugin, "Report this to the author of the plugin."),
            _ => (
                ErrorKind::Host,
                "Look at the host's log and at the space on the disk of its data directory.",
            ),
        };
        Failure::new(kind, stage, with_causes(self), hint)
    }
}

/// The failure of a call that a capability ended.
#[cfg(test)]
pub(crate) fn failure_in(error: &wasmtime::Error, stage: &str) -> Failure {
    error
        .downcast_ref::<CapabilityError>()
        .expect("a capability ended the call")
        .to_failure(stage)
}
