//! What a person's answer to a held plan leads to.

use std::fmt;

use idsync_model::RunId;

use crate::Applied;

/// What an approval did, or an earlier one had done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The apply. Its run is the one that was approved, or a newer one that deletes nothing that this one did not.
    pub applied: Applied,
    /// Whether an earlier approval had applied it, so that this one changed nothing.
    pub was_already: bool,
    /// The run that was approved, where a newer one was applied instead.
    pub instead_of: Option<RunId>,
}

/// Why a held plan can't be applied any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleWhy {
    /// The directory was changed by an apply, a purge or the like.
    Generation,
    /// The verified settings are other ones, or another org stands behind them.
    Settings,
    /// It is older than a plan may be, or from a time that is still to come.
    Age,
}

impl fmt::Display for StaleWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generation => "the directory has changed since it was made",
            Self::Settings => "the settings or the org were verified anew since it was made",
            Self::Age => "it is too old, or made at a time that is still to come",
        })
    }
}
