//! For tests: a host whose time is simulated and which keeps what was put, before a small org.

mod org;
mod staging;

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, UNIX_EPOCH};

pub(crate) use org::{APP, ORG, Org, Reply, START, full, group_row, header, settings, user_row};
pub(crate) use staging::{Staged, owned};

use crate::host::{
    Body, Entity, Group, Headers, Host, HttpRequest, HttpResponse, LogLevel, MembersVerdict, PagePart,
    SigningKey, StoredCounts, TransportError, User,
};

/// A sign of progress: the stage, how much of it is done, and of how much.
pub(crate) type Sign = (String, u64, Option<u64>);

/// The host: time stands still but for sleeping.
pub(crate) struct FakeHost {
    pub(crate) org: RefCell<Org>,
    pub(crate) now: Cell<Duration>,
    /// By how many seconds the host's clock is ahead of the org's.
    pub(crate) ahead_seconds: i64,
    pub(crate) ends_at: Cell<Duration>,
    pub(crate) cancel_after_requests: Cell<Option<usize>>,
    sleepers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    counter: Cell<u64>,
    pub(crate) in_flight: Cell<usize>,
    pub(crate) most_in_flight: Cell<usize>,
    pub(crate) answered: Cell<usize>,
    /// The bodies that are being read.
    pub(crate) bodies: Rc<AtOnce>,
    /// How long an answer takes at least.
    pub(crate) answer_time: Cell<Duration>,
    staged: RefCell<Staged>,
    pub(crate) unchanged_groups: RefCell<HashSet<String>>,
    pub(crate) doubted_groups: RefCell<HashSet<String>>,
    asked_again: RefCell<HashSet<String>>,
    pub(crate) dropped: RefCell<Vec<String>>,
    pub(crate) restarts: RefCell<Vec<Entity>>,
    checkpoint: RefCell<Option<(Staged, Vec<u8>)>>,
    pub(crate) checkpoints: Cell<usize>,
    pub(crate) memory: RefCell<HashMap<String, Vec<u8>>>,
    pub(crate) wakes: RefCell<Vec<u64>>,
    /// When progress was told, and what.
    pub(crate) progress: RefCell<Vec<(Duration, Sign)>>,
}

impl FakeHost {
    pub(crate) fn new(org: Org) -> Self {
        Self {
            org: RefCell::new(org),
            now: Cell::new(Duration::from_secs(7)),
            ahead_seconds: 0,
            ends_at: Cell::new(Duration::from_hours(6)),
            cancel_after_requests: Cell::new(None),
            sleepers: RefCell::default(),
            counter: Cell::new(0),
            in_flight: Cell::new(0),
            most_in_flight: Cell::new(0),
            answered: Cell::new(0),
            bodies: Rc::default(),
            answer_time: Cell::new(Duration::ZERO),
            staged: RefCell::default(),
            unchanged_groups: RefCell::default(),
            doubted_groups: RefCell::default(),
            asked_again: RefCell::default(),
            dropped: RefCell::default(),
            restarts: RefCell::default(),
            checkpoint: RefCell::default(),
            checkpoints: Cell::new(0),
            memory: RefCell::default(),
            wakes: RefCell::default(),
            progress: RefCell::default(),
        }
    }

    /// The org's time in Unix seconds.
    pub(crate) fn okta_seconds(&self) -> u64 {
        START + self.now.get().as_secs()
    }

    /// What was put.
    pub(crate) fn staged(&self) -> Ref<'_, Staged> {
        self.staged.borrow()
    }

    /// What a later run of the directory begins with: what the last checkpoint committed, and its cursor.
    pub(crate) fn roll_back(&self) -> Option<Vec<u8>> {
        self.sleepers.borrow_mut().clear();
        self.asked_again.borrow_mut().clear();
        let (staged, cursor) = self.checkpoint.borrow().clone().unzip();
        self.staged.replace(staged.unwrap_or_default());
        cursor
    }

    fn count(&self) -> u64 {
        self.counter.set(self.counter.get() + 1);
        self.counter.get()
    }

    /// Runs a future; whenever all wait, time goes on to the first that ends its sleep.
    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        self.run_until(future, || false).expect("nothing breaks it off")
    }

    /// Runs a future, unless it is broken off before as if the process were killed.
    pub(crate) fn run_until<F: Future>(&self, future: F, is_killed: impl Fn() -> bool) -> Option<F::Output> {
        struct Flag(AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            while flag.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return Some(output);
                }
                if is_killed() {
                    return None;
                }
            }
            let first = self.sleepers.borrow_mut().pop_first();
            let ((at, _), waker) = first.expect("all wait and nobody sleeps");
            self.now.set(self.now.get().max(at));
            waker.wake();
        }
    }
}

pub(crate) struct FakeBody {
    pieces: Vec<Result<Vec<u8>, TransportError>>,
    _open: Counted,
}

/// How many there are of something at once, and how many there were at most.
#[derive(Default)]
pub(crate) struct AtOnce {
    now: Cell<usize>,
    pub(crate) most: Cell<usize>,
}

/// One of them, until it is dropped.
struct Counted(Rc<AtOnce>);

impl Counted {
    fn one_of(all: &Rc<AtOnce>) -> Self {
        all.now.set(all.now.get() + 1);
        all.most.set(all.most.get().max(all.now.get()));
        Self(Rc::clone(all))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.set(self.0.now.get() - 1);
    }
}

/// Lets others have their turn.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Body for FakeBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        yield_once().await;
        if self.pieces.is_empty() {
            return Ok(None);
        }
        self.pieces.remove(0).map(Some)
    }
}

struct InFlight<'h>(&'h Cell<usize>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Host for FakeHost {
    type Body = FakeBody;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<FakeBody>, TransportError> {
        self.in_flight.set(self.in_flight.get() + 1);
        self.most_in_flight
            .set(self.most_in_flight.get().max(self.in_flight.get()));
        let _in_flight = InFlight(&self.in_flight);
        let reply = self.org.borrow_mut().answer(&request);
        self.sleep(reply.delay.max(self.answer_time.get())).await;
        self.answered.set(self.answered.get() + 1);
        let (status, headers) = reply.result?;
        let date = UNIX_EPOCH + Duration::from_secs(self.okta_seconds());
        let mut headers = headers;
        if !headers.iter().any(|(name, _)| name == "date") {
            headers.push(("date".to_owned(), httpdate::fmt_http_date(date)));
        }
        let mut pieces: Vec<_> = reply
            .body
            .chunks(64 << 10)
            .map(|piece| Ok(piece.to_vec()))
            .collect();
        pieces.extend(reply.body_error.map(Err));
        Ok(HttpResponse {
            status,
            headers: Headers(headers),
            body: FakeBody {
                pieces,
                _open: Counted::one_of(&self.bodies),
            },
        })
    }

    async fn sign(&self, key: SigningKey, claims: &str) -> Result<String, String> {
        let name = match key {
            SigningKey::Directory => "directory",
            SigningKey::Proof => "proof",
        };
        Ok(format!("{name}.{claims}"))
    }

    fn wall_ms(&self) -> i64 {
        (i64::try_from(self.okta_seconds()).unwrap() + self.ahead_seconds) * 1000
    }

    fn monotonic(&self) -> Duration {
        self.now.get()
    }

    async fn sleep(&self, duration: Duration) {
        let key = (self.now.get() + duration, self.count());
        poll_fn(|context| {
            if self.now.get() >= key.0 {
                return Poll::Ready(());
            }
            self.sleepers.borrow_mut().insert(key, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn random(&self) -> [u8; 16] {
        let mixed = u128::from(self.count()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        mixed.to_le_bytes()
    }

    fn time_left(&self) -> Duration {
        self.ends_at.get().saturating_sub(self.now.get())
    }

    fn cancelled(&self) -> bool {
        let after = self.cancel_after_requests.get();
        after.is_some_and(|after| self.org.borrow().asked.len() >= after)
    }

    fn wake_at(&self, unix_seconds: u64, _reason: &str) {
        self.wakes.borrow_mut().push(unix_seconds);
    }

    async fn stored(&self) -> StoredCounts {
        StoredCounts::default()
    }

    async fn put_users(&self, users: &[User<'_>]) {
        let kept = &mut self.staged.borrow_mut().users;
        let named = |user: &User<'_>| (user.external_id.to_string(), owned(user.clone()));
        kept.extend(users.iter().map(named));
    }

    async fn put_groups(&self, groups: &[Group]) -> Vec<bool> {
        let unchanged = self.unchanged_groups.borrow();
        self.staged.borrow_mut().put_groups(groups, &unchanged)
    }

    async fn put_members(
        &self,
        group: &str,
        users: &[&str],
        read_at_ms: u64,
        part: PagePart,
    ) -> MembersVerdict {
        let is_doubted = || {
            self.doubted_groups.borrow().contains(group)
                && self.asked_again.borrow_mut().insert(group.to_owned())
        };
        self.staged
            .borrow_mut()
            .put_members(group, users, read_at_ms, part, is_doubted)
    }

    async fn restart(&self, kind: Entity) {
        self.restarts.borrow_mut().push(kind);
        self.staged.borrow_mut().restart(kind);
    }

    async fn drop_group(&self, group: &str) {
        self.staged.borrow_mut().drop_group(group);
        self.dropped.borrow_mut().push(group.to_owned());
    }

    async fn skip(&self, _kind: Entity, external_id: &str, reason: &str) {
        let skip = (external_id.to_owned(), reason.to_owned());
        self.staged.borrow_mut().skips.push(skip);
    }

    async fn checkpoint(&self, state: Vec<u8>) {
        assert!(state.len() <= 64 << 10, "the host takes no more");
        let staged = self.staged.borrow().clone();
        self.checkpoint.replace(Some((staged, state)));
        self.checkpoints.set(self.checkpoints.get() + 1);
    }

    async fn remember(&self, name: &str, value: Vec<u8>) {
        self.memory.borrow_mut().insert(name.to_owned(), value);
    }

    async fn recall(&self, name: &str) -> Option<Vec<u8>> {
        self.memory.borrow().get(name).cloned()
    }

    fn log(&self, _level: LogLevel, _message: &str, _fields: &[(&str, &str)]) {}

    fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        let sign = (stage.to_owned(), done, total);
        self.progress.borrow_mut().push((self.now.get(), sign));
    }
}
