//! The table of RUNS 6, line by line, and what is said above and below it.

use super::*;
use proptest::prelude::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const MIDDLE: Jitter = Jitter(0.5);
const KINDS: [ErrorKind; 11] = [
    ErrorKind::Unauthorized,
    ErrorKind::Forbidden,
    ErrorKind::InvalidSettings,
    ErrorKind::NotFound,
    ErrorKind::RateLimited,
    ErrorKind::Unavailable,
    ErrorKind::Protocol,
    ErrorKind::Deadline,
    ErrorKind::Cancelled,
    ErrorKind::Plugin,
    ErrorKind::Host,
];

fn minutes(n: u64) -> Duration {
    Duration::from_mins(n)
}

fn of(kind: ErrorKind) -> Failure {
    Failure::new(kind, "read", format!("{kind} was seen"), "")
}

/// The times of a run that began and ended at the same moment.
fn times(every: Duration, now: UnixMillis) -> Times {
    Times {
        every,
        last_began_at: Some(now),
        next_try_at: None,
        not_before: None,
        is_due: false,
    }
}

fn attempt(end: AttemptEnd<'_>) -> Attempt<'_> {
    Attempt {
        end,
        wake: None,
        host_minus_provider_ms: 0,
    }
}

/// Runs that fail, each some minutes after the first.
struct Row {
    failing: Option<Failing>,
    last: Aftermath,
}

impl Row {
    fn new() -> Self {
        Self {
            failing: None,
            last: Aftermath::default(),
        }
    }

    fn fails(&mut self, kind: ErrorKind, at_minute: u64) -> Option<ErrorKind> {
        let failure = of(kind);
        self.ends(AttemptEnd::Failed(&failure), at_minute)
    }

    fn ends(&mut self, end: AttemptEnd<'_>, at_minute: u64) -> Option<ErrorKind> {
        let now = NOW.plus(minutes(at_minute));
        self.last = after(
            self.failing.as_ref(),
            &attempt(end),
            &times(Duration::from_hours(2), now),
            MIDDLE,
            now,
        );
        self.failing.clone_from(&self.last.failing);
        self.last.disable
    }
}

/// The tries after failures in a row of one kind, in minutes.
fn tries(kind: ErrorKind, count: u64) -> Vec<Option<u64>> {
    let mut row = Row::new();
    (0..count)
        .map(|_| {
            row.fails(kind, 0);
            row.last.next_try_at.map(|at| at.since(NOW).as_secs() / 60)
        })
        .collect()
}

#[test]
fn runs_6_again_is_after_1_5_15_then_30_minutes() {
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::Unauthorized,
        ErrorKind::Forbidden,
        ErrorKind::NotFound,
        ErrorKind::Protocol,
        ErrorKind::Host,
        ErrorKind::RateLimited,
    ] {
        let expected = [1, 5, 15, 30, 30, 30].map(Some);
        assert_eq!(tries(kind, 6), expected, "{kind}");
    }
}

#[test]
fn runs_6_a_plugins_fault_is_tried_after_30_minutes() {
    assert_eq!(tries(ErrorKind::Plugin, 4), [30; 4].map(Some));
}

#[test]
fn runs_6_no_try_comes_before_the_schedule_where_none_would_help() {
    for kind in [ErrorKind::InvalidSettings, ErrorKind::Cancelled] {
        let mut row = Row::new();
        row.fails(kind, 0);
        assert_eq!((row.last.next_try_at, row.last.is_due), (None, false), "{kind}");
    }
    let mut row = Row::new();
    row.ends(AttemptEnd::Held { is_resumed: false }, 0);
    assert_eq!(row.last, Aftermath::default());
}

#[test]
fn runs_6_a_run_whose_time_ended_goes_on_at_once() {
    let mut row = Row::new();
    assert_eq!(row.fails(ErrorKind::Deadline, 0), None);
    assert!(row.last.is_due);
    assert_eq!(row.failing.unwrap().failure.kind, ErrorKind::Deadline);
}

#[test]
fn runs_6_a_stopped_service_goes_on_at_its_next_start_and_counts_as_nothing() {
    let mut row = Row::new();
    row.fails(ErrorKind::Unavailable, 0);
    let before = row.failing.clone();
    row.ends(AttemptEnd::Stopped, 1);
    assert!(row.last.is_due);
    assert_eq!(row.failing, before);
}

#[test]
fn runs_6_4_the_next_run_follows_at_once_after_a_resumed_one() {
    let mut row = Row::new();
    row.ends(AttemptEnd::Applied { is_resumed: true }, 0);
    assert!(row.last.is_due);
    row.ends(AttemptEnd::Applied { is_resumed: false }, 1);
    assert!(!row.last.is_due);
}

#[test]
fn runs_6_jitter_moves_a_try_by_at_most_a_fifth() {
    let failure = of(ErrorKind::Unavailable);
    let first = |jitter| {
        let end = AttemptEnd::Failed(&failure);
        let times = times(Duration::from_hours(2), NOW);
        after(None, &attempt(end), &times, Jitter::new(jitter), NOW).next_try_at
    };
    assert_eq!(first(0.0), Some(NOW.plus(Duration::from_secs(48))));
    assert_eq!(first(0.5), Some(NOW.plus(minutes(1))));
    assert_eq!(first(1.0), Some(NOW.plus(Duration::from_secs(72))));
    assert_eq!(first(7.0), first(1.0));
    assert_eq!(first(f64::NAN), first(0.5));
}

#[test]
fn runs_6_a_try_is_never_past_the_schedules_own_time() {
    let failure = of(ErrorKind::Unavailable);
    let end = AttemptEnd::Failed(&failure);
    let began = UnixMillis(NOW.0 - 50_000);
    let next_try = |every: u64| {
        let times = times(Duration::from_secs(every), began);
        after(None, &attempt(end), &times, MIDDLE, NOW).next_try_at
    };
    assert_eq!(next_try(109), None, "the schedule comes first");
    assert_eq!(next_try(10), None, "the schedule is due already");
    assert_eq!(next_try(111), Some(NOW.plus(minutes(1))));
}

/// What comes of a failure that names a time, that many seconds from now by the provider's clock.
fn named(kind: ErrorKind, seconds: i64, host_minus_provider: i64) -> Aftermath {
    let provider_now = NOW.0 / 1000 - host_minus_provider;
    let failure = Failure {
        retry_at: u64::try_from(provider_now + seconds).ok(),
        ..of(kind)
    };
    let attempt = Attempt {
        host_minus_provider_ms: host_minus_provider * 1000,
        ..attempt(AttemptEnd::Failed(&failure))
    };
    after(None, &attempt, &times(Duration::from_hours(2), NOW), MIDDLE, NOW)
}

#[test]
fn runs_6_a_rate_limited_run_is_tried_at_the_time_that_the_provider_named() {
    for host_minus_provider in [0, 3600, -3600] {
        let aftermath = named(ErrorKind::RateLimited, 600, host_minus_provider);
        assert_eq!(aftermath.next_try_at, Some(NOW.plus(minutes(10))));
        let not_before = aftermath.not_before.unwrap();
        assert_eq!(not_before.at, NOW.plus(minutes(10)));
        assert_eq!(not_before.reason, "rate-limited was seen");
    }
}

#[test]
fn runs_6_a_named_time_that_is_past_counts_as_none() {
    let aftermath = named(ErrorKind::RateLimited, -5, 0);
    assert_eq!(aftermath.next_try_at, Some(NOW.plus(minutes(1))));
    assert_eq!(aftermath.not_before, None);
}

#[test]
fn runs_6_the_provider_delays_at_most_to_the_schedules_next_time_but_one() {
    let year = 365 * 24 * 3600;
    let aftermath = named(ErrorKind::RateLimited, year, 0);
    assert_eq!(
        aftermath.not_before.unwrap().at,
        NOW.plus(Duration::from_hours(4))
    );
    assert_eq!(
        aftermath.next_try_at, None,
        "there is no try past the schedule's time"
    );
    let aftermath = named(ErrorKind::Unavailable, year, 0);
    assert_eq!(
        aftermath.not_before.unwrap().at,
        NOW.plus(Duration::from_hours(4))
    );
}

#[test]
fn runs_6_a_plugins_wish_delays_the_next_run_whatever_the_end() {
    let wake = Wake {
        time: u64::try_from(NOW.0 / 1000).unwrap() + 3600,
        reason: "the org is in maintenance".to_owned(),
    };
    let failure = of(ErrorKind::Unavailable);
    for end in [
        AttemptEnd::Applied { is_resumed: true },
        AttemptEnd::Applied { is_resumed: false },
        AttemptEnd::Held { is_resumed: false },
        AttemptEnd::Held { is_resumed: true },
        AttemptEnd::Failed(&failure),
    ] {
        let attempt = Attempt {
            wake: Some(&wake),
            ..attempt(end)
        };
        let aftermath = after(None, &attempt, &times(Duration::from_hours(2), NOW), MIDDLE, NOW);
        let not_before = aftermath.not_before.unwrap();
        assert_eq!(not_before.at, NOW.plus(Duration::from_hours(1)));
        assert_eq!(not_before.reason, wake.reason);
        assert!(!aftermath.is_due, "{end:?}");
    }
}

#[test]
fn runs_6_what_never_disables_never_does() {
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::RateLimited,
        ErrorKind::Deadline,
        ErrorKind::Cancelled,
        ErrorKind::Host,
    ] {
        let mut row = Row::new();
        for hour in 0..200 {
            assert_eq!(row.fails(kind, 60 * hour), None, "{kind}");
        }
        let Some(failing) = row.failing else {
            assert_eq!(kind, ErrorKind::Cancelled, "a cancelled run is no failure");
            continue;
        };
        assert_eq!((failing.since, failing.in_a_row), (NOW, 200));
    }
}

#[test]
fn runs_6_two_runs_ten_minutes_apart_disable() {
    for kind in [ErrorKind::Unauthorized, ErrorKind::InvalidSettings] {
        let mut row = Row::new();
        assert_eq!(row.fails(kind, 0), None, "{kind}");
        assert_eq!(row.fails(kind, 10), Some(kind));

        let mut row = Row::new();
        for (minute, disables) in [(0, None), (1, None), (6, None), (9, None), (10, Some(kind))] {
            assert_eq!(row.fails(kind, minute), disables, "{kind} in minute {minute}");
        }
    }
}

#[test]
fn runs_6_three_runs_and_a_day_disable() {
    const DAY: u64 = 24 * 60;
    for kind in [ErrorKind::Forbidden, ErrorKind::NotFound, ErrorKind::Protocol] {
        let mut row = Row::new();
        for (minute, disables) in [(0, None), (1, None), (DAY - 1, None), (DAY, Some(kind))] {
            assert_eq!(row.fails(kind, minute), disables, "{kind} in minute {minute}");
        }
        let mut row = Row::new();
        for (minute, disables) in [(0, None), (2 * DAY, None), (2 * DAY + 1, Some(kind))] {
            assert_eq!(
                row.fails(kind, minute),
                disables,
                "two runs far apart are no row of three"
            );
        }
    }
}

#[test]
fn runs_6_five_faults_of_the_plugin_in_a_row_disable() {
    let mut row = Row::new();
    for minute in 0..4 {
        assert_eq!(row.fails(ErrorKind::Plugin, minute), None);
    }
    assert_eq!(row.fails(ErrorKind::Plugin, 4), Some(ErrorKind::Plugin));
    assert_eq!(row.last.next_try_at, None);
    assert!(row.last.failing.is_some(), "why it is disabled is shown");
}

#[test]
fn runs_6_what_says_nothing_of_a_fault_neither_counts_in_its_row_nor_breaks_it() {
    for between in [
        ErrorKind::Unavailable,
        ErrorKind::RateLimited,
        ErrorKind::Deadline,
        ErrorKind::Cancelled,
        ErrorKind::Host,
    ] {
        let mut row = Row::new();
        assert_eq!(row.fails(ErrorKind::Unauthorized, 0), None);
        assert_eq!(row.fails(between, 11), None, "{between}");
        let disables = row.fails(ErrorKind::Unauthorized, 12);
        assert_eq!(disables, Some(ErrorKind::Unauthorized), "{between}");
    }
}

#[test]
fn runs_6_another_fault_begins_a_row_of_its_own() {
    let mut row = Row::new();
    row.fails(ErrorKind::Unauthorized, 0);
    assert_eq!(row.fails(ErrorKind::Protocol, 5), None);
    assert_eq!(row.fails(ErrorKind::Unauthorized, 12), None, "one of a new row");
    assert_eq!(
        row.fails(ErrorKind::Unauthorized, 22),
        Some(ErrorKind::Unauthorized)
    );
    assert_eq!(row.failing.unwrap().since, NOW);
}

#[test]
fn runs_6_8_a_success_sets_every_counter_to_zero_and_a_hold_counts_as_one() {
    for end in [
        AttemptEnd::Applied { is_resumed: false },
        AttemptEnd::Held { is_resumed: false },
    ] {
        let mut row = Row::new();
        row.fails(ErrorKind::Unauthorized, 0);
        row.ends(end, 5);
        assert_eq!(row.failing, None);
        assert_eq!(row.fails(ErrorKind::Unauthorized, 20), None);
        assert_eq!(
            row.last.next_try_at,
            Some(NOW.plus(minutes(21))),
            "from one minute on"
        );
    }
}

#[test]
fn runs_6_a_cancelled_run_keeps_what_the_provider_asked_for() {
    let asked = NotBefore {
        at: NOW.plus(minutes(30)),
        reason: "wait".to_owned(),
    };
    let failure = of(ErrorKind::Cancelled);
    let times = Times {
        not_before: Some(asked.clone()),
        ..times(Duration::from_hours(2), NOW)
    };
    let aftermath = after(None, &attempt(AttemptEnd::Failed(&failure)), &times, MIDDLE, NOW);
    assert_eq!(aftermath.not_before, Some(asked));
    assert_eq!(aftermath.next_try_at, None);
}

#[test]
fn runs_6_7_a_row_that_began_ahead_of_now_begins_now() {
    let mut row = Row::new();
    row.fails(ErrorKind::Unauthorized, 600);
    // The clock went back by ten hours.
    assert_eq!(row.fails(ErrorKind::Unauthorized, 0), None);
    let failing = row.failing.clone().unwrap();
    assert_eq!((failing.since, failing.row.unwrap().first), (NOW, NOW));
    assert_eq!(
        row.fails(ErrorKind::Unauthorized, 10),
        Some(ErrorKind::Unauthorized)
    );
}

proptest! {
    #[test]
    fn runs_6_no_row_of_ends_breaks_what_holds_for_each(
        ends in proptest::collection::vec((0..13_usize, 0..600_u64, 0.0..1.0_f64), 1..40),
    ) {
        let mut failing: Option<Failing> = None;
        let mut now = NOW;
        let every = Duration::from_hours(2);
        for (end, wait, jitter) in ends {
            now = now.plus(minutes(wait));
            let failure = KINDS.get(end).map(|kind| of(*kind));
            let end = match &failure {
                Some(failure) => AttemptEnd::Failed(failure),
                None if end == 11 => AttemptEnd::Held { is_resumed: false },
                None => AttemptEnd::Applied { is_resumed: false },
            };
            let times = times(every, now);
            let aftermath = after(failing.as_ref(), &attempt(end), &times, Jitter::new(jitter), now);
            if let Some(at) = aftermath.next_try_at {
                prop_assert!(at > now && at < now.plus(every));
            }
            if let Some(kind) = aftermath.disable {
                let row = aftermath.failing.as_ref().and_then(|failing| failing.row.clone()).unwrap();
                prop_assert_eq!(row.kind, kind);
                prop_assert!(row.count >= 2);
                prop_assert_eq!(Some(kind), failure.as_ref().map(|failure| failure.kind));
            }
            prop_assert_eq!(failure.is_none(), aftermath.failing.is_none() && failure.is_none());
            failing = aftermath.failing;
        }
    }
}
