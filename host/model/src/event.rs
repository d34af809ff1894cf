//! What happens during a run, as one stream that the progress bar, the log, the metrics and the portal read.

use serde::Serialize;

use crate::{Entity, Mode, Outcome, RunId};

/// How much a line of a plugin's log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Each step.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What an operator likes to know.
    Info,
    /// What may need attention.
    Warn,
    /// What does need it.
    Error,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum RunEvent {
    /// The run has its lock and begins to read.
    Started {
        /// The run.
        run: RunId,
        /// How much it reads.
        mode: Mode,
    },
    /// The plugin, or the host between its stages, says how far it is.
    Progress {
        /// The stage in a word or two.
        stage: String,
        /// How much is done.
        done: u64,
        /// Of how much, where that is known.
        total: Option<u64>,
    },
    /// The plugin wrote a line.
    Log {
        /// How much it matters.
        level: LogLevel,
        /// The line.
        message: String,
        /// Named values beside it.
        fields: Vec<(String, String)>,
    },
    /// A record was skipped or mended.
    Skipped {
        /// Its kind.
        entity: Entity,
        /// The provider's id of it.
        external_id: String,
        /// Why.
        reason: String,
    },
    /// The run has ended and its outcome is stored.
    Ended {
        /// The run.
        run: RunId,
        /// What became of it.
        outcome: Outcome,
    },
}

/// Whoever listens to a run. It must not block: it is called between two rows.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: RunEvent);
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl EventSink for NoEvents {
    fn emit(&self, _event: RunEvent) {}
}
