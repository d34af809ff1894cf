//! The state of a directory.

use serde::{Deserialize, Serialize};

use crate::ErrorKind;

/// Where a directory stands between being made and being removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryState {
    /// It has a key; its settings are incomplete, or were never verified.
    Draft,
    /// It is verified and its schedule runs.
    Active,
    /// Its schedule rests.
    Disabled,
}

/// Who disabled a directory, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum DisabledReason {
    /// A person did.
    Person,
    /// The host did, after runs that failed in this way.
    Host {
        /// The kind of failure that stood too long.
        kind: ErrorKind,
    },
}
