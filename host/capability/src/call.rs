//! Which call a guest is in, and what may be used in it.

use crate::CapabilityError;

/// The function of `directory-sync` that an instance was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// `describe`
    Describe,
    /// `normalize`
    Normalize,
    /// `verify`
    Verify,
    /// `sync`
    Sync,
    /// `explain`
    Explain,
}

impl CallKind {
    /// The function's name in `wit/`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Normalize => "normalize",
            Self::Verify => "verify",
            Self::Sync => "sync",
            Self::Explain => "explain",
        }
    }

    /// Whether the outside world (network, keys, vault, time left) may be reached in this call.
    pub fn reaches_out(self) -> bool {
        matches!(self, Self::Verify | Self::Sync | Self::Explain)
    }

    /// Lets `function` pass where it may be used in `describe` and `normalize` no more than anything but `log`.
    pub(crate) fn permit(self, function: &'static str) -> Result<(), CapabilityError> {
        if self.reaches_out() {
            Ok(())
        } else {
            Err(CapabilityError::NotInThisCall {
                function,
                call: self.as_str(),
            })
        }
    }

    /// Lets `function` of `identity-store` pass in `sync` alone.
    pub(crate) fn permit_staging(self, function: &'static str) -> Result<(), CapabilityError> {
        if self == Self::Sync {
            Ok(())
        } else {
            Err(CapabilityError::NotInThisCall {
                function,
                call: self.as_str(),
            })
        }
    }
}
