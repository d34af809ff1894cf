//! When a directory's next run is due. What decides stands here, apart from what carries it out.

use std::time::Duration;

use idsync_model::{DirectoryId, UnixMillis};
use idsync_store::Times;

/// Since when a directory is due that never ran, so that it comes before all others.
pub const NEVER_RAN: UnixMillis = UnixMillis(0);

/// When a directory runs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Now; it has been due since then.
    Since(UnixMillis),
    /// Then, if nothing changes before.
    At(UnixMillis),
}

/// When a directory runs next. A stored time that is ahead of now, where it can't be, counts as past (RUNS 6.7); a
/// wish of the provider's delays at most to the schedule's next time but one.
pub fn when(times: &Times, directory: &DirectoryId, now: UnixMillis) -> Due {
    // One that never ran has waited longest of all: with `now` it would come last at each look.
    let Some(last_began) = times.last_began_at.filter(|began| *began <= now) else {
        return Due::Since(NEVER_RAN);
    };
    if times.is_due {
        return Due::Since(last_began);
    }
    let every = spread(times.every, directory);
    let schedule = last_began.plus(every);
    let wanted = times.next_try_at.map_or(schedule, |at| at.min(schedule));
    let at = match &times.not_before {
        Some(not_before) => wanted.max(not_before.at.min(schedule.plus(every))),
        None => wanted,
    };
    if at <= now { Due::Since(at) } else { Due::At(at) }
}

/// How long a directory rests, from the begin of its last run, after so many runs in a row that died with their process.
/// A few are a machine that is restarted; more may be what kills it.
pub fn rest_after(deaths: usize) -> Option<Duration> {
    match deaths {
        0..=2 => None,
        3 => Some(Duration::from_mins(5)),
        4 => Some(Duration::from_mins(15)),
        _ => Some(Duration::from_mins(30)),
    }
}

/// The interval of one directory: up to a twentieth shorter or longer than its schedule's, always by the same part. So
/// directories that were enabled together drift apart, and the mean is what was asked for.
fn spread(every: Duration, directory: &DirectoryId) -> Duration {
    every.mul_f64(0.95 + 0.1 * fraction(directory))
}

/// A number from 0 to 1 that follows from the id: FNV-1a.
fn fraction(directory: &DirectoryId) -> f64 {
    let hash = directory
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    // The upper bits are the mixed ones.
    (hash >> 32) as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use idsync_store::NotBefore;
    use proptest::prelude::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const TWO_HOURS: Duration = Duration::from_hours(2);

    fn times(every: Duration, last_began_at: Option<UnixMillis>) -> Times {
        Times {
            every,
            last_began_at,
            next_try_at: None,
            not_before: None,
            is_due: false,
        }
    }

    fn ago(duration: Duration) -> UnixMillis {
        UnixMillis(NOW.0 - i64::try_from(duration.as_millis()).unwrap())
    }

    fn minutes(n: u64) -> Duration {
        Duration::from_mins(n)
    }

    fn is_now(times: &Times) -> bool {
        matches!(when(times, &DirectoryId::generate(), NOW), Due::Since(_))
    }

    #[test]
    fn runs_6_a_directory_that_never_ran_is_due() {
        assert!(is_now(&times(TWO_HOURS, None)));
    }

    #[test]
    fn runs_6_it_is_due_about_every_two_hours() {
        assert!(!is_now(&times(TWO_HOURS, Some(ago(minutes(113))))));
        assert!(is_now(&times(TWO_HOURS, Some(ago(minutes(127))))));
    }

    #[test]
    fn runs_6_a_run_that_is_asked_for_comes_at_once() {
        let asked = Times {
            is_due: true,
            ..times(TWO_HOURS, Some(ago(minutes(1))))
        };
        assert!(is_now(&asked));
    }

    #[test]
    fn runs_6_a_try_comes_before_the_schedule_and_never_after_it() {
        let tried = |at: UnixMillis, began: u64| Times {
            next_try_at: Some(at),
            ..times(TWO_HOURS, Some(ago(minutes(began))))
        };
        let id = DirectoryId::generate();
        assert_eq!(
            when(&tried(ago(minutes(1)), 6), &id, NOW),
            Due::Since(ago(minutes(1)))
        );
        let soon = NOW.plus(minutes(4));
        assert_eq!(when(&tried(soon, 6), &id, NOW), Due::At(soon));
        assert!(is_now(&tried(NOW.plus(Duration::from_hours(9)), 127)));
    }

    #[test]
    fn runs_6_the_provider_may_delay_at_most_to_the_schedules_next_time_but_one() {
        let asked = |at: UnixMillis, began: u64| Times {
            not_before: Some(NotBefore {
                at,
                reason: "wait".to_owned(),
            }),
            ..times(TWO_HOURS, Some(ago(minutes(began))))
        };
        let id = DirectoryId::generate();
        let later = NOW.plus(minutes(30));
        assert_eq!(when(&asked(later, 127), &id, NOW), Due::At(later));
        assert!(is_now(&asked(NOW.plus(Duration::from_hours(24 * 365)), 2 * 127)));
    }

    #[test]
    fn runs_6_7_a_begin_that_is_ahead_of_now_counts_as_past() {
        assert!(is_now(&times(TWO_HOURS, Some(NOW.plus(Duration::from_hours(1))))));
    }

    #[test]
    fn runs_6_a_thousand_directories_that_were_enabled_together_spread_out() {
        let began = times(TWO_HOURS, Some(NOW));
        let mut per_minute = std::collections::BTreeMap::<i64, u32>::new();
        for _ in 0..1000 {
            let Due::At(at) = when(&began, &DirectoryId::generate(), NOW) else {
                panic!("it has just run")
            };
            *per_minute.entry((at.0 - NOW.0) / 60_000).or_default() += 1;
        }
        assert!(per_minute.len() >= 12, "{per_minute:?}");
        assert!(per_minute.values().all(|count| *count < 250), "{per_minute:?}");
    }

    proptest! {
        #[test]
        fn runs_6_the_jitter_is_less_than_a_tenth_and_the_same_each_time(seconds in 10_u64..2_592_000) {
            let id = DirectoryId::generate();
            let times = times(Duration::from_secs(seconds), Some(NOW));
            let Due::At(at) = when(&times, &id, NOW) else {
                return Err(TestCaseError::fail("it has just run"));
            };
            let asked = i64::try_from(seconds * 1000).unwrap();
            prop_assert!((at.0 - NOW.0 - asked).abs() <= asked / 10);
            prop_assert_eq!(when(&times, &id, NOW), Due::At(at));
        }

        #[test]
        fn runs_6_7_whatever_is_stored_a_directory_is_due_within_two_intervals(
            began in any::<Option<i64>>(), tried in any::<Option<i64>>(), asked in any::<Option<i64>>(),
        ) {
            let stored = Times {
                next_try_at: tried.map(UnixMillis),
                not_before: asked.map(|at| NotBefore { at: UnixMillis(at), reason: String::new() }),
                ..times(TWO_HOURS, began.map(UnixMillis))
            };
            if let Due::At(at) = when(&stored, &DirectoryId::generate(), NOW) {
                prop_assert!(at > NOW && at.since(NOW) <= Duration::from_mins(252));
            }
        }
    }
}
