//! How fast requests may go: Okta's rate limits, each bucket by the headers of its own answers, and the number of
//! requests that run side by side (RUNS §9.6; Okta, Rate limits).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::host::Headers;
use crate::notify::Notify;

/// Never more requests at once to one org.
pub const MAX_CONCURRENT: u32 = 16;
/// What a reset is taken as that lies in the past or hours ahead (RUNS §6.2): Okta's windows last a minute.
const USUAL_WINDOW: Duration = Duration::from_mins(1);
/// A reset further ahead than this is not believed.
const LONGEST_WINDOW: Duration = Duration::from_hours(1);
/// Answers are slow when they take this much longer than the quickest of their bucket, and this many times as long.
const SLOW_BY: Duration = Duration::from_secs(1);
const SLOW_TIMES: u32 = 3;

/// What Okta counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Public documents.
    Open,
    /// Tokens.
    Token,
    /// Apps with their users and groups.
    Apps,
    /// Groups with their members.
    Groups,
    /// Users.
    Users,
}

/// How many of them there are.
pub(crate) const BUCKETS: usize = 5;

/// The pace of one run.
#[derive(Debug)]
pub struct Pace {
    share_percent: u32,
    /// How many requests may run at once, in hundredths, so that it can grow slowly.
    allowed_hundredths: Cell<u32>,
    in_flight: Cell<u32>,
    ahead: Cell<u32>,
    buckets: RefCell<[State; BUCKETS]>,
    pub(crate) changed: Notify,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    limits: Limits,
    in_flight: u32,
    /// Requests of ours in the present window.
    used: u32,
    /// After a 429: nothing is sent before.
    held_until: Option<Duration>,
    quickest: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Limits {
    /// No answer yet: one request goes ahead alone.
    #[default]
    Unknown,
    /// Answers carry no limits.
    None,
    Window(Window),
}

#[derive(Debug, Clone, Copy)]
struct Window {
    limit: u32,
    remaining: u32,
    reset: i64,
    ends_at: Duration,
}

/// Whether a request may be sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Go(Permit),
    /// Not before this moment of the monotonic clock: a limit of Okta's.
    NotBefore(Duration),
    /// Not before another request has ended.
    Full,
}

/// A request that counts as running until this is dropped.
#[derive(Debug)]
pub struct Permit {
    pace: Rc<Pace>,
    bucket: Bucket,
}

impl PartialEq for Permit {
    fn eq(&self, other: &Self) -> bool {
        self.bucket == other.bucket
    }
}

impl Eq for Permit {}

/// A page that is asked for before its turn to be worked on, until this is dropped.
#[derive(Debug)]
pub struct Ahead {
    pace: Rc<Pace>,
}

/// The three rate-limit headers of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many requests a window allows.
    pub limit: u32,
    /// How many are left.
    pub remaining: u32,
    /// When the next window begins, in Unix seconds by Okta's clock.
    pub reset: i64,
}

impl RateLimit {
    /// Reads them, when all three are there and are numbers.
    pub fn read(headers: &Headers) -> Option<Self> {
        let number = |name: &'static str| headers.get(name)?.trim().parse::<i64>().ok();
        Some(Self {
            limit: u32::try_from(number("x-rate-limit-limit")?).ok()?,
            remaining: u32::try_from(number("x-rate-limit-remaining")?).ok()?,
            reset: number("x-rate-limit-reset")?,
        })
    }

    /// From now until the reset. `okta_seconds` is Okta's time.
    fn wait(self, okta_seconds: i64) -> Duration {
        match u64::try_from(self.reset - okta_seconds) {
            Ok(seconds) if seconds <= LONGEST_WINDOW.as_secs() => Duration::from_secs(seconds),
            _ => USUAL_WINDOW,
        }
    }
}

impl Pace {
    /// A pace that uses this share of each limit.
    pub fn new(share_percent: u32) -> Rc<Self> {
        Rc::new(Self {
            share_percent: share_percent.clamp(1, 100),
            allowed_hundredths: Cell::new(MAX_CONCURRENT * 100),
            in_flight: Cell::new(0),
            ahead: Cell::new(0),
            buckets: RefCell::default(),
            changed: Notify::default(),
        })
    }

    /// How many requests may run at once now.
    pub fn allowed(&self) -> u32 {
        self.allowed_hundredths.get() / 100
    }

    /// Notes that a page is asked for ahead.
    pub fn ahead(self: &Rc<Self>) -> Ahead {
        self.ahead.set(self.ahead.get() + 1);
        Ahead {
            pace: Rc::clone(self),
        }
    }

    /// Whether another listing may begin beside so many that run. Those that run come first: pages that they ask for
    /// ahead count as listings, so that a long one, whose pages follow each other, is not the last to end.
    pub fn has_room_beside(&self, running: usize) -> bool {
        running + (self.ahead.get() as usize) < MAX_CONCURRENT as usize
    }

    /// Asks for a turn.
    pub fn turn(self: &Rc<Self>, bucket: Bucket, now: Duration) -> Turn {
        if self.in_flight.get() >= self.allowed() {
            return Turn::Full;
        }
        let mut buckets = self.buckets.borrow_mut();
        let state = &mut buckets[bucket as usize];
        if let Some(until) = state.held_until {
            if now < until {
                return Turn::NotBefore(until);
            }
            state.held_until = None;
        }
        match &mut state.limits {
            Limits::Unknown if state.in_flight > 0 => return Turn::Full,
            Limits::Unknown | Limits::None => {}
            Limits::Window(window) => {
                if now >= window.ends_at {
                    // The next answer says what the new window is; until then it is taken to be like the last.
                    window.remaining = window.limit.saturating_sub(state.in_flight);
                    window.ends_at = now + USUAL_WINDOW;
                    state.used = state.in_flight;
                }
                let ours = (window.limit * self.share_percent / 100).max(1);
                let reserve = if self.share_percent < 100 {
                    window.limit / 20
                } else {
                    0
                };
                let left = window.remaining.saturating_sub(state.in_flight);
                if state.used >= ours || left <= reserve {
                    if state.in_flight > 0 && state.used < ours {
                        return Turn::Full;
                    }
                    return Turn::NotBefore(window.ends_at);
                }
            }
        }
        state.in_flight += 1;
        state.used += 1;
        self.in_flight.set(self.in_flight.get() + 1);
        Turn::Go(Permit {
            pace: Rc::clone(self),
            bucket,
        })
    }

    /// Learns from the head of an answer. `okta_seconds` is Okta's time in it, `latency` how long it took.
    pub fn learn(
        &self,
        bucket: Bucket,
        status: u16,
        headers: &Headers,
        okta_seconds: i64,
        now: Duration,
        latency: Duration,
    ) {
        let rate_limit = RateLimit::read(headers);
        if is_about_concurrency(status, rate_limit) {
            let halved = (self.allowed_hundredths.get() / 2).max(100);
            self.allowed_hundredths.set(halved);
            return;
        }
        let mut buckets = self.buckets.borrow_mut();
        let state = &mut buckets[bucket as usize];
        match rate_limit {
            Some(rate_limit) if rate_limit.limit > 0 => state.learn(rate_limit, okta_seconds, now),
            _ if matches!(state.limits, Limits::Unknown) && status < 400 => state.limits = Limits::None,
            _ => {}
        }
        if (200..300).contains(&status) {
            self.follow_latency(state, latency);
        }
        drop(buckets);
        self.changed.wake_all();
    }

    /// Grows slowly while answers come as quickly as they can, shrinks while they take much longer.
    fn follow_latency(&self, state: &mut State, latency: Duration) {
        let quickest = state.quickest.map_or(latency, |quickest| quickest.min(latency));
        state.quickest = Some(quickest);
        let is_slow = latency > quickest + SLOW_BY && latency > quickest * SLOW_TIMES;
        let allowed = self.allowed_hundredths.get();
        self.allowed_hundredths.set(if is_slow {
            (allowed - allowed / 8).max(200).min(allowed)
        } else {
            (allowed + 25).min(MAX_CONCURRENT * 100)
        });
    }

    /// After a 429: how long this bucket must be left alone, when its headers say so.
    pub fn reset_after(headers: &Headers, okta_seconds: i64) -> Option<Duration> {
        match RateLimit::read(headers) {
            Some(rate_limit) if rate_limit.limit > 0 => Some(rate_limit.wait(okta_seconds)),
            Some(_) => None,
            None => {
                let seconds = headers.get("retry-after")?.trim().parse::<u64>().ok()?;
                let after = Duration::from_secs(seconds);
                Some(if after <= LONGEST_WINDOW {
                    after
                } else {
                    USUAL_WINDOW
                })
            }
        }
    }

    /// Holds a bucket back until then.
    pub fn hold(&self, bucket: Bucket, until: Duration) {
        let mut buckets = self.buckets.borrow_mut();
        let held = &mut buckets[bucket as usize].held_until;
        *held = Some(held.map_or(until, |before| before.max(until)));
    }
}

/// A 429 whose limit and remaining are both 0 is about requests at once, and not about a window (Okta, Rate limits).
pub fn is_about_concurrency(status: u16, rate_limit: Option<RateLimit>) -> bool {
    status == 429 && rate_limit.is_some_and(|limit| limit.limit == 0 && limit.remaining == 0)
}

impl State {
    fn learn(&mut self, told: RateLimit, okta_seconds: i64, now: Duration) {
        let fresh = Window {
            limit: told.limit,
            remaining: told.remaining,
            reset: told.reset,
            ends_at: now + told.wait(okta_seconds),
        };
        let Limits::Window(window) = &mut self.limits else {
            self.limits = Limits::Window(fresh);
            return;
        };
        if told.reset < window.reset {
            return; // An answer of an earlier window that came late.
        }
        // `Date` has whole seconds, so that a window may end up to a second earlier than it was thought to.
        let is_new = told.reset > window.reset
            && (now + Duration::from_secs(1) >= window.ends_at || told.remaining > window.remaining);
        if is_new {
            self.used = self.in_flight;
            *window = fresh;
        } else {
            window.limit = told.limit;
            window.remaining = window.remaining.min(told.remaining);
            if told.reset > window.reset {
                window.reset = told.reset;
                window.ends_at = fresh.ends_at;
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.pace.ahead.set(self.pace.ahead.get() - 1);
        self.pace.changed.wake_all();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.pace.in_flight.set(self.pace.in_flight.get() - 1);
        self.pace.buckets.borrow_mut()[self.bucket as usize].in_flight -= 1;
        self.pace.changed.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);
    const OKTA: i64 = 1_800_000_000;

    fn headers(limit: i64, remaining: i64, reset: i64) -> Headers {
        Headers(vec![
            ("x-rate-limit-limit".to_owned(), limit.to_string()),
            ("X-Rate-Limit-Remaining".to_owned(), remaining.to_string()),
            ("x-rate-limit-reset".to_owned(), reset.to_string()),
        ])
    }

    fn go(pace: &Rc<Pace>, bucket: Bucket, now: Duration) -> Permit {
        match pace.turn(bucket, now) {
            Turn::Go(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the answer ends the request")]
    fn answer(pace: &Rc<Pace>, permit: Permit, status: u16, headers: &Headers, now: Duration) {
        let okta = OKTA + i64::try_from(now.saturating_sub(NOW).as_secs()).unwrap();
        pace.learn(
            permit.bucket,
            status,
            headers,
            okta,
            now,
            Duration::from_millis(100),
        );
    }

    #[test]
    fn the_first_request_of_a_bucket_goes_alone() {
        let pace = Pace::new(50);
        let first = go(&pace, Bucket::Apps, NOW);
        assert_eq!(pace.turn(Bucket::Apps, NOW), Turn::Full);
        let _other_bucket = go(&pace, Bucket::Groups, NOW);
        answer(&pace, first, 200, &Headers::default(), NOW);
        let _many: Vec<Permit> = (0..15).map(|_| go(&pace, Bucket::Apps, NOW)).collect();
        assert_eq!(pace.turn(Bucket::Apps, NOW), Turn::Full, "16 at once");
    }

    #[test]
    fn runs_9_6_no_more_than_the_share_of_a_limit_is_used_in_a_window() {
        let pace = Pace::new(50);
        for sent in 1..=10 {
            let permit = go(&pace, Bucket::Groups, NOW);
            answer(&pace, permit, 200, &headers(20, 20 - sent, OKTA + 60), NOW);
        }
        let end = NOW + Duration::from_mins(1);
        assert_eq!(pace.turn(Bucket::Groups, NOW), Turn::NotBefore(end));
        let _next_window = go(&pace, Bucket::Groups, end);
    }

    #[test]
    fn a_bucket_that_others_have_used_up_is_not_emptied() {
        let pace = Pace::new(50);
        let permit = go(&pace, Bucket::Users, NOW);
        answer(&pace, permit, 200, &headers(100, 5, OKTA + 30), NOW);
        assert_eq!(
            pace.turn(Bucket::Users, NOW),
            Turn::NotBefore(NOW + Duration::from_secs(30))
        );
    }

    #[test]
    fn runs_6_2_a_reset_in_the_past_or_hours_ahead_is_taken_as_a_minute() {
        for reset in [OKTA - 5, OKTA + 7200] {
            assert_eq!(
                Pace::reset_after(&headers(100, 0, reset), OKTA),
                Some(Duration::from_mins(1))
            );
        }
        assert_eq!(
            Pace::reset_after(&headers(100, 0, OKTA + 7), OKTA),
            Some(Duration::from_secs(7))
        );
        assert_eq!(Pace::reset_after(&Headers::default(), OKTA), None);
    }

    #[test]
    fn runs_9_6_a_429_about_concurrency_halves_it() {
        let pace = Pace::new(50);
        let permit = go(&pace, Bucket::Apps, NOW);
        answer(&pace, permit, 429, &headers(0, 0, OKTA), NOW);
        assert_eq!(pace.allowed(), 8);
        for _ in 0..10 {
            pace.learn(Bucket::Apps, 429, &headers(0, 0, OKTA), OKTA, NOW, Duration::ZERO);
        }
        assert_eq!(pace.allowed(), 1);
    }

    #[test]
    fn runs_9_6_fewer_run_at_once_while_answers_slow_down() {
        let pace = Pace::new(100);
        let none = Headers::default();
        pace.learn(Bucket::Apps, 200, &none, OKTA, NOW, Duration::from_millis(200));
        for _ in 0..8 {
            pace.learn(Bucket::Apps, 200, &none, OKTA, NOW, Duration::from_secs(5));
        }
        let slow = pace.allowed();
        assert!(slow < 8, "{slow}");
        for _ in 0..80 {
            pace.learn(Bucket::Apps, 200, &none, OKTA, NOW, Duration::from_millis(250));
        }
        assert_eq!(pace.allowed(), 16);
    }

    #[test]
    fn a_held_bucket_waits_and_the_others_do_not() {
        let pace = Pace::new(50);
        let until = NOW + Duration::from_secs(9);
        pace.hold(Bucket::Groups, until);
        pace.hold(Bucket::Groups, NOW);
        assert_eq!(pace.turn(Bucket::Groups, NOW), Turn::NotBefore(until));
        let _apps = go(&pace, Bucket::Apps, NOW);
        let _groups = go(&pace, Bucket::Groups, until);
    }

    #[test]
    fn a_reset_that_moves_with_every_answer_opens_no_new_window() {
        let pace = Pace::new(50);
        for sent in 0..10 {
            let now = NOW + Duration::from_secs(sent);
            let permit = go(&pace, Bucket::Groups, now);
            let shown = headers(
                20,
                19 - i64::try_from(sent).unwrap(),
                OKTA + 60 + i64::try_from(sent).unwrap(),
            );
            answer(&pace, permit, 200, &shown, now);
        }
        assert!(matches!(
            pace.turn(Bucket::Groups, NOW + Duration::from_secs(10)),
            Turn::NotBefore(_)
        ));
    }
}
