//! What is told of how far a run is, and of the waits for Okta's rate limit in it: whoever watches a run that stands
//! still shall know for what, and until when.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::clock::time_of_day;
use crate::host::Host;
use crate::pace::{BUCKETS, Bucket};

/// Longer waits are told.
const PATIENCE: Duration = Duration::from_secs(5);
/// The host keeps a sign back that follows another within a tenth of a second, until there is a next one. During a wait
/// there may be none for a minute, so that a wait is told only when the last sign is older than this.
const QUIET: Duration = Duration::from_millis(200);

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    work: RefCell<Option<Work>>,
    at: Cell<Option<Duration>>,
    /// For each bucket until when it was last told to wait.
    waits: RefCell<[Option<Duration>; BUCKETS]>,
    /// Whether the last sign was of a wait.
    is_waiting: Cell<bool>,
}

#[derive(Debug, Clone, Copy)]
struct Work {
    stage: &'static str,
    done: u64,
    total: Option<u64>,
}

/// A wait for a turn in a bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    /// What waits.
    pub(crate) stage: &'static str,
    /// What Okta counts it with.
    pub(crate) bucket: Bucket,
    /// When it began, by the monotonic clock.
    pub(crate) since: Duration,
    /// When it will be over.
    pub(crate) until: Duration,
}

impl Told {
    /// Tells how far the work is.
    pub(crate) fn work<H: Host>(&self, host: &H, stage: &'static str, done: u64, total: Option<u64>) {
        self.work.replace(Some(Work { stage, done, total }));
        self.is_waiting.set(false);
        self.at.set(Some(host.monotonic()));
        host.progress(stage, done, total);
    }

    /// Tells of a wait: once, however many wait for the same, and only where nothing else is being told, because then the
    /// run does not stand still. `okta_ms` is Okta's time. What was done so far stands beside it, as it would without a
    /// wait.
    pub(crate) fn wait<H: Host>(&self, host: &H, okta_ms: i64, wait: Wait) {
        let now = host.monotonic();
        let known = self.waits.borrow()[wait.bucket as usize];
        let is_known = known.is_some_and(|until| now < until);
        let is_quiet = self.at.get().is_none_or(|at| now.saturating_sub(at) >= QUIET);
        if is_known || !is_quiet || wait.until.saturating_sub(wait.since) <= PATIENCE {
            return;
        }
        self.waits.borrow_mut()[wait.bucket as usize] = Some(wait.until);
        self.is_waiting.set(true);
        self.at.set(Some(now));
        let left = i64::try_from(wait.until.saturating_sub(now).as_millis()).unwrap_or(i64::MAX);
        let until = time_of_day(okta_ms.saturating_add(left));
        let work = self.work_or_none(wait.stage);
        // The host cuts a stage at 64 characters.
        let stage = format!("waiting for Okta's rate limit until {until}; {}", work.stage);
        host.progress(&stage, work.done, work.total);
    }

    /// After a wait: takes its word back, when it is still the last, by telling once more how far the work is.
    pub(crate) fn goes_on<H: Host>(&self, host: &H, stage: &'static str) {
        if self.is_waiting.get() {
            let Work { stage, done, total } = self.work_or_none(stage);
            self.work(host, stage, done, total);
        }
    }

    fn work_or_none(&self, stage: &'static str) -> Work {
        self.work.borrow().unwrap_or(Work {
            stage,
            done: 0,
            total: None,
        })
    }
}
