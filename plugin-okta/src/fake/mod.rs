//! For tests: a host whose time is simulated and which keeps what was put, before a small org.

mod org;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, UNIX_EPOCH};

pub(crate) use org::{APP, ORG, Org, Reply, START, full, group_row, header, settings, user_row};

use crate::host::{
    Body, Entity, Group, Headers, Host, HttpRequest, HttpResponse, LogLevel, MembersVerdict, PagePart,
    SigningKey, StoredCounts, TransportError, User,
};

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
    pub(crate) users: RefCell<BTreeMap<String, User>>,
    pub(crate) groups: RefCell<BTreeMap<String, Group>>,
    pub(crate) members: RefCell<BTreeMap<String, BTreeSet<String>>>,
    pub(crate) closed: RefCell<BTreeSet<String>>,
    pub(crate) read_at: RefCell<HashMap<String, u64>>,
    pub(crate) unchanged_groups: RefCell<HashSet<String>>,
    pub(crate) doubted_groups: RefCell<HashSet<String>>,
    pub(crate) skips: RefCell<Vec<(String, String)>>,
    pub(crate) dropped: RefCell<Vec<String>>,
    pub(crate) restarts: Cell<u32>,
    pub(crate) checkpoints: RefCell<Vec<Vec<u8>>>,
    pub(crate) memory: RefCell<HashMap<String, Vec<u8>>>,
    pub(crate) wakes: RefCell<Vec<u64>>,
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
            users: RefCell::default(),
            groups: RefCell::default(),
            members: RefCell::default(),
            closed: RefCell::default(),
            read_at: RefCell::default(),
            unchanged_groups: RefCell::default(),
            doubted_groups: RefCell::default(),
            skips: RefCell::default(),
            dropped: RefCell::default(),
            restarts: Cell::new(0),
            checkpoints: RefCell::default(),
            memory: RefCell::default(),
            wakes: RefCell::default(),
        }
    }

    /// The org's time in Unix seconds.
    pub(crate) fn okta_seconds(&self) -> u64 {
        START + self.now.get().as_secs()
    }

    fn count(&self) -> u64 {
        self.counter.set(self.counter.get() + 1);
        self.counter.get()
    }

    /// Runs a future; whenever all wait, time goes on to the first that ends its sleep.
    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
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
                    return output;
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
}

impl Body for FakeBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
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
        self.sleep(reply.delay).await;
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
            body: FakeBody { pieces },
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

    async fn put_users(&self, users: Vec<User>) {
        let mut kept = self.users.borrow_mut();
        kept.extend(users.into_iter().map(|user| (user.external_id.clone(), user)));
    }

    async fn put_groups(&self, groups: Vec<Group>) -> Vec<bool> {
        let unchanged = self.unchanged_groups.borrow();
        let answers = groups
            .iter()
            .map(|group| !unchanged.contains(&group.external_id))
            .collect();
        let mut kept = self.groups.borrow_mut();
        kept.extend(groups.into_iter().map(|group| (group.external_id.clone(), group)));
        answers
    }

    async fn put_members(
        &self,
        group: &str,
        users: Vec<String>,
        read_at_ms: u64,
        part: PagePart,
    ) -> MembersVerdict {
        assert!(
            self.groups.borrow().contains_key(group),
            "the group must have been put"
        );
        let mut members = self.members.borrow_mut();
        let list = members.entry(group.to_owned()).or_default();
        if part.first {
            list.clear();
        }
        list.extend(users);
        self.read_at.borrow_mut().insert(group.to_owned(), read_at_ms);
        if part.last {
            self.closed.borrow_mut().insert(group.to_owned());
            if list.is_empty() && self.doubted_groups.borrow_mut().remove(group) {
                return MembersVerdict::ReadAgain;
            }
        }
        MembersVerdict::Taken
    }

    async fn restart(&self, _kind: Entity) {
        self.restarts.set(self.restarts.get() + 1);
    }

    async fn drop_group(&self, group: &str) {
        self.groups.borrow_mut().remove(group);
        self.members.borrow_mut().remove(group);
        self.dropped.borrow_mut().push(group.to_owned());
    }

    async fn skip(&self, _kind: Entity, external_id: &str, reason: &str) {
        self.skips
            .borrow_mut()
            .push((external_id.to_owned(), reason.to_owned()));
    }

    async fn checkpoint(&self, state: Vec<u8>) {
        self.checkpoints.borrow_mut().push(state);
    }

    async fn remember(&self, name: &str, value: Vec<u8>) {
        self.memory.borrow_mut().insert(name.to_owned(), value);
    }

    async fn recall(&self, name: &str) -> Option<Vec<u8>> {
        self.memory.borrow().get(name).cloned()
    }

    fn log(&self, _level: LogLevel, _message: &str, _fields: &[(&str, &str)]) {}

    fn progress(&self, _stage: &str, _done: u64, _total: Option<u64>) {}
}
