//! Whether the service can do its work: what `/readyz` answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// The scheduler looks at the directories every 5 s at most. After this long without a look it is stuck.
const TICK_IS_OLD: Duration = Duration::from_mins(1);

/// When the scheduler last looked at the directories, in the clock's monotonic time.
#[derive(Debug)]
pub struct LastLook {
    last_ms: AtomicU64,
}

impl LastLook {
    /// The scheduler is about to begin.
    pub fn new(now: Duration) -> Self {
        let last_look = Self {
            last_ms: AtomicU64::new(0),
        };
        last_look.tick(now);
        last_look
    }

    /// It has looked.
    pub fn tick(&self, now: Duration) {
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now_ms, Ordering::Relaxed);
    }

    /// How long ago that was.
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

/// Why the service is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum NotReady {
    /// It was told to end.
    Ending,
    /// The store does not answer.
    Store {
        /// What it said.
        detail: String,
    },
    /// The scheduler has not looked at the directories for long.
    Scheduler {
        /// For how long.
        silent_seconds: u64,
    },
}

/// Whether the service can do its work; the first reason why not.
pub fn verdict(is_ending: bool, store: Result<(), String>, silent_for: Duration) -> Result<(), NotReady> {
    if is_ending {
        return Err(NotReady::Ending);
    }
    store.map_err(|detail| NotReady::Store { detail })?;
    if silent_for > TICK_IS_OLD {
        return Err(NotReady::Scheduler {
            silent_seconds: silent_for.as_secs(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_while_its_store_answers_and_its_scheduler_looks() {
        assert_eq!(verdict(false, Ok(()), Duration::from_secs(5)), Ok(()));
        assert_eq!(verdict(true, Ok(()), Duration::ZERO), Err(NotReady::Ending));
        let away = verdict(false, Err("the disk is full".to_owned()), Duration::ZERO).unwrap_err();
        let json = serde_json::to_value(&away).unwrap();
        assert_eq!(
            json,
            serde_json::json!({ "reason": "store", "detail": "the disk is full" })
        );
        let stuck = verdict(false, Ok(()), Duration::from_secs(61)).unwrap_err();
        let json = serde_json::to_value(&stuck).unwrap();
        assert_eq!(
            json,
            serde_json::json!({ "reason": "scheduler", "silent_seconds": 61 })
        );
    }

    #[test]
    fn a_last_look_knows_its_age() {
        let last_look = LastLook::new(Duration::from_secs(10));
        assert_eq!(last_look.age(Duration::from_secs(25)), Duration::from_secs(15));
        last_look.tick(Duration::from_secs(25));
        assert_eq!(last_look.age(Duration::from_secs(25)), Duration::ZERO);
        // A reading of the clock from before the tick is no age.
        assert_eq!(last_look.age(Duration::from_secs(24)), Duration::ZERO);
    }
}
