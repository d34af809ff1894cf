//! What is committed with a checkpoint: for now, how far a run had come.

use serde::{Deserialize, Serialize};

/// The state of a run at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// When, by Okta's clock, in Unix milliseconds.
    pub okta_ms: i64,
    /// How many pages had been put.
    pub pages: u64,
}

impl Cursor {
    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
