//! What the end of a run does to its directory: when it is tried again, and whether it is disabled (RUNS 6).
//!
//! The table is [`line`]; the rest is arithmetic. A dry run does nothing to its directory: don't ask for one.

use std::time::Duration;

use idsync_model::{ErrorKind, Failure, UnixMillis, Wake};
use idsync_store::{Aftermath, Failing, KindRow, NotBefore, Times};

/// The tries before the schedule's time: after the first failure in a row, the second, the third, and all later ones.
const BACKOFF: [Duration; 4] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_mins(30),
];
/// How far each of them moves at most, either way.
const SHIFT: f64 = 0.2;
/// How many failures in a row 24 hours need, so that two runs far apart are no standing fault.
const AT_LEAST_IN_A_DAY: u32 = 3;

/// A line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The run failed or was cancelled.
    Failure(ErrorKind),
    /// The guard stopped its plan.
    Held,
}

/// Whether there is a try before the schedule's time, and when. None is ever later than the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// After 1, 5, 15, then 30 minutes.
    Yes,
    /// At the time that the provider named. Where it named none that lies ahead, like `Yes`.
    AtTheTimeNamed,
    /// After so long.
    After(Duration),
    /// At once: the next run goes on where this one was.
    AtOnce,
    /// No.
    No,
}

/// What a row of failures does to its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disables {
    /// Nothing: the state says that it fails, and since when. Such a failure neither counts in the row of another kind
    /// nor breaks it.
    Never,
    /// Disables it when the kind stands in two runs in a row that are at least so far apart.
    InTwoRunsApart(Duration),
    /// Disables it so long after the first of at least three in a row.
    After(Duration),
    /// Disables it after so many in a row.
    InARow(u32),
}

/// The table of RUNS 6, line by line.
#[rustfmt::skip]
#[expect(clippy::match_same_arms, reason = "it is compared with the page line by line")]
pub const fn line(seen: Seen) -> (Again, Disables) {
    use ErrorKind as Kind;
    const TEN_MINUTES: Duration = Duration::from_mins(10);
    const A_DAY: Duration = Duration::from_hours(24);
    match seen {
        Seen::Failure(Kind::Unavailable)     => (Again::Yes,                             Disables::Never),
        Seen::Failure(Kind::RateLimited)     => (Again::AtTheTimeNamed,                  Disables::Never),
        Seen::Failure(Kind::Unauthorized)    => (Again::Yes,                             Disables::InTwoRunsApart(TEN_MINUTES)),
        Seen::Failure(Kind::Forbidden)       => (Again::Yes,                             Disables::After(A_DAY)),
        Seen::Failure(Kind::InvalidSettings) => (Again::No,                              Disables::InTwoRunsApart(TEN_MINUTES)),
        Seen::Failure(Kind::NotFound)        => (Again::Yes,                             Disables::After(A_DAY)),
        Seen::Failure(Kind::Protocol)        => (Again::Yes,                             Disables::After(A_DAY)),
        Seen::Held                           => (Again::No,                              Disables::Never),
        Seen::Failure(Kind::Deadline)        => (Again::AtOnce,                          Disables::Never),
        Seen::Failure(Kind::Cancelled)       => (Again::No,                              Disables::Never),
        Seen::Failure(Kind::Plugin)          => (Again::After(Duration::from_mins(30)),  Disables::InARow(5)),
        Seen::Failure(Kind::Host)            => (Again::Yes,                             Disables::Never),
    }
}

/// A number from 0 to 1 by which tries are moved, so that directories that failed together are not tried together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// Takes a random number from 0 to 1. Others count as the nearer of the two.
    pub fn new(random: f64) -> Self {
        Self(if random.is_nan() {
            0.5
        } else {
            random.clamp(0.0, 1.0)
        })
    }

    fn shift(self, duration: Duration) -> Duration {
        duration.mul_f64(1.0 + SHIFT * (2.0 * self.0 - 1.0))
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd<'a> {
    /// Its plan was applied.
    Applied {
        /// Whether it went on from the staging of an earlier run.
        is_resumed: bool,
    },
    /// The guard stopped its plan.
    Held {
        /// Whether it went on from the staging of an earlier run.
        is_resumed: bool,
    },
    /// It failed, or a person cancelled it.
    Failed(&'a Failure),
    /// The process ends, and took the run with it.
    Stopped,
}

/// A run that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// How it ended.
    pub end: AttemptEnd<'a>,
    /// The plugin's wish for the next run.
    pub wake: Option<&'a Wake>,
    /// The host's clock minus the provider's, in milliseconds; 0 where it is not known. Times that the provider names
    /// are by its own clock.
    pub host_minus_provider_ms: i64,
}

/// What the run's end does to its directory. `before` is how its runs failed until now; `times` are those of the run,
/// so that `last_began_at` is its own begin.
pub fn after(
    before: Option<&Failing>,
    attempt: &Attempt<'_>,
    times: &Times,
    jitter: Jitter,
    now: UnixMillis,
) -> Aftermath {
    let schedule = Schedule::of(times, now);
    let failure = match attempt.end {
        // The run that was ended says nothing about the directory.
        AttemptEnd::Stopped => {
            return Aftermath {
                failing: before.cloned(),
                is_due: true,
                ..Aftermath::default()
            };
        }
        AttemptEnd::Failed(failure) if failure.kind == ErrorKind::Cancelled => {
            return Aftermath {
                failing: before.cloned(),
                not_before: times.not_before.clone(),
                ..Aftermath::default()
            };
        }
        AttemptEnd::Applied { is_resumed } | AttemptEnd::Held { is_resumed } => {
            let aftermath = Aftermath {
                not_before: schedule.not_before(attempt, None),
                ..Aftermath::default()
            };
            return if is_resumed {
                at_once(aftermath, now)
            } else {
                aftermath
            };
        }
        AttemptEnd::Failed(failure) => failure,
    };
    let (again, disables) = line(Seen::Failure(failure.kind));
    let failing = failing_since(before, failure, disables, now);
    if let Some(row) = &failing.row
        && row.kind == failure.kind
        && is_enough(row, disables)
    {
        return Aftermath {
            disable: Some(failure.kind),
            failing: Some(failing),
            ..Aftermath::default()
        };
    }
    let not_before = schedule.not_before(attempt, Some(failure));
    let backoff = jitter.shift(backoff(failing.in_a_row));
    let next_try = match again {
        Again::No | Again::AtOnce => None,
        Again::Yes => Some(now.plus(backoff)),
        Again::AtTheTimeNamed => Some(match &not_before {
            Some(named) => named.at,
            None => now.plus(backoff),
        }),
        Again::After(duration) => Some(now.plus(jitter.shift(duration))),
    };
    let aftermath = Aftermath {
        failing: Some(failing),
        next_try_at: next_try.filter(|at| *at < schedule.next),
        not_before,
        ..Aftermath::default()
    };
    if again == Again::AtOnce {
        at_once(aftermath, now)
    } else {
        aftermath
    }
}

/// The next run follows at once, but for what the provider asked.
fn at_once(aftermath: Aftermath, now: UnixMillis) -> Aftermath {
    match aftermath.not_before {
        Some(_) => Aftermath {
            next_try_at: Some(now),
            ..aftermath
        },
        None => Aftermath {
            is_due: true,
            ..aftermath
        },
    }
}

fn backoff(in_a_row: u32) -> Duration {
    let step = usize::try_from(in_a_row.saturating_sub(1)).unwrap_or(usize::MAX);
    BACKOFF[step.min(BACKOFF.len() - 1)]
}

/// How the directory fails with this failure. Stored times ahead of now count as now (RUNS 6.7).
fn failing_since(
    before: Option<&Failing>,
    failure: &Failure,
    disables: Disables,
    now: UnixMillis,
) -> Failing {
    let row = before
        .and_then(|failing| failing.row.as_ref())
        .map(|row| KindRow {
            first: row.first.min(now),
            last: row.last.min(now),
            ..row.clone()
        });
    let row = match (row, disables) {
        (row, Disables::Never) => row,
        (Some(row), _) if row.kind == failure.kind => Some(KindRow {
            last: now,
            count: row.count.saturating_add(1),
            ..row
        }),
        _ => Some(KindRow {
            kind: failure.kind,
            first: now,
            last: now,
            count: 1,
        }),
    };
    Failing {
        failure: failure.clone(),
        since: before.map_or(now, |failing| failing.since.min(now)),
        last: now,
        in_a_row: before.map_or(0, |failing| failing.in_a_row).saturating_add(1),
        row,
    }
}

fn is_enough(row: &KindRow, disables: Disables) -> bool {
    let stands_for = row.last.since(row.first);
    match disables {
        Disables::Never => false,
        Disables::InTwoRunsApart(apart) => row.count >= 2 && stands_for >= apart,
        Disables::After(long) => row.count >= AT_LEAST_IN_A_DAY && stands_for >= long,
        Disables::InARow(count) => row.count >= count,
    }
}

/// The times of a directory's schedule from now on.
struct Schedule {
    next: UnixMillis,
    next_but_one: UnixMillis,
    now: UnixMillis,
}

impl Schedule {
    fn of(times: &Times, now: UnixMillis) -> Self {
        let began = times.last_began_at.unwrap_or(now).min(now);
        let next = began.plus(times.every).max(now);
        Self {
            next,
            next_but_one: next.plus(times.every),
            now,
        }
    }

    /// What the provider asked for, whether by a failure or by the plugin's wish: the later of both.
    fn not_before(&self, attempt: &Attempt<'_>, failure: Option<&Failure>) -> Option<NotBefore> {
        let named = failure.and_then(|failure| Some((failure.retry_at?, failure.summary.as_str())));
        let wished = attempt.wake.map(|wake| (wake.time, wake.reason.as_str()));
        let (seconds, reason) = named
            .into_iter()
            .chain(wished)
            .max_by_key(|(seconds, _)| *seconds)?;
        let at = i64::try_from(seconds)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000)
            .saturating_add(attempt.host_minus_provider_ms);
        let at = UnixMillis(at).min(self.next_but_one);
        (at > self.now).then(|| NotBefore {
            at,
            reason: reason.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
