//! What the plugin's logic reaches: an org whose pages lie ready, and a staging that forgets.
//!
//! Time stands still. Where all of the plugin waits, it goes on to the first that ends its sleep.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use anyhow::{Result, bail};
use plugin_okta::host::{
    Body, Entity, Group, Headers, Host, HttpRequest, HttpResponse, LogLevel, MembersVerdict, PagePart,
    SigningKey, StoredCounts, TransportError, User,
};

/// Where the org is.
pub const DOMAIN: &str = "acme.okta.com";
/// The time of day, in Unix milliseconds, and as the org tells it.
const NOW_MS: i64 = 1_800_000_000_000;
const NOW: &str = "Fri, 15 Jan 2027 08:00:00 GMT";
/// Bodies come in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// The pages of listings and documents, by path.
pub type Pages = BTreeMap<String, Vec<Arc<[u8]>>>;

/// What was put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Put {
    /// Users.
    pub users: usize,
    /// Groups.
    pub groups: usize,
    /// Memberships.
    pub memberships: usize,
}

/// The host of one sync.
pub struct CountedHost {
    pages: Pages,
    /// Whether the members of groups are wanted.
    wants_members: bool,
    now: Cell<Duration>,
    sleepers: RefCell<Vec<(Duration, Waker)>>,
    drawn: Cell<u64>,
    put: Cell<Put>,
}

impl CountedHost {
    /// A host before an org with these pages.
    pub fn new(pages: Pages, wants_members: bool) -> Self {
        Self {
            pages,
            wants_members,
            now: Cell::new(Duration::from_secs(1)),
            sleepers: RefCell::default(),
            drawn: Cell::new(0),
            put: Cell::default(),
        }
    }

    /// What was put.
    pub fn put(&self) -> Put {
        self.put.get()
    }

    /// Runs a future to its end.
    pub fn run<F: Future>(&self, future: F) -> Result<F::Output> {
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
                    return Ok(output);
                }
            }
            let sleepers = self.sleepers.take();
            let Some(first) = sleepers.iter().map(|(until, _)| *until).min() else {
                bail!("the plugin waits for nothing");
            };
            self.now.set(self.now.get().max(first));
            // Those that are not done sleep on.
            for (_, waker) in sleepers {
                waker.wake();
            }
        }
    }

    fn count(&self, more: impl FnOnce(&mut Put)) {
        let mut put = self.put.get();
        more(&mut put);
        self.put.set(put);
    }
}

/// A body that lies ready.
pub struct ReadyBody {
    bytes: Arc<[u8]>,
    read: usize,
}

impl Body for ReadyBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let rest = &self.bytes[self.read..];
        let piece = &rest[..rest.len().min(PIECE_BYTES)];
        self.read += piece.len();
        Ok((!piece.is_empty()).then(|| piece.to_vec()))
    }
}

impl Host for CountedHost {
    type Body = ReadyBody;

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<ReadyBody>, TransportError> {
        let target = request.target.as_str();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let page = query
            .split('&')
            .find_map(|part| part.strip_prefix("after=")?.parse().ok())
            .unwrap_or(0);
        let Some(pages) = self.pages.get(path) else {
            return Err(TransportError::Refused(format!("the org has no {path}")));
        };
        let bytes = pages.get(page).cloned().unwrap_or_default();
        let mut headers = vec![
            ("date".to_owned(), NOW.to_owned()),
            ("content-type".to_owned(), "application/json".to_owned()),
        ];
        if page + 1 < pages.len() {
            let next = format!("<https://{DOMAIN}{path}?after={}>; rel=\"next\"", page + 1);
            headers.push(("link".to_owned(), next));
        }
        Ok(HttpResponse {
            status: 200,
            headers: Headers(headers),
            body: ReadyBody { bytes, read: 0 },
        })
    }

    async fn sign(&self, _key: SigningKey, claims: &str) -> Result<String, String> {
        Ok(format!("proof.{claims}"))
    }

    fn wall_ms(&self) -> i64 {
        NOW_MS
    }

    fn monotonic(&self) -> Duration {
        self.now.get()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now.get() + duration;
        poll_fn(|context| {
            if self.now.get() >= until {
                return Poll::Ready(());
            }
            self.sleepers.borrow_mut().push((until, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn random(&self) -> [u8; 16] {
        self.drawn.set(self.drawn.get() + 1);
        u128::from(self.drawn.get())
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            .to_le_bytes()
    }

    fn time_left(&self) -> Duration {
        Duration::from_hours(1)
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn wake_at(&self, _unix_seconds: u64, _reason: &str) {}

    async fn stored(&self) -> StoredCounts {
        StoredCounts::default()
    }

    async fn put_users(&self, users: &[User<'_>]) {
        self.count(|put| put.users += users.len());
    }

    async fn put_groups(&self, groups: &[Group]) -> Vec<bool> {
        self.count(|put| put.groups += groups.len());
        vec![self.wants_members; groups.len()]
    }

    async fn put_members(
        &self,
        _group: &str,
        users: &[&str],
        _read_at_ms: u64,
        _part: PagePart,
    ) -> MembersVerdict {
        self.count(|put| put.memberships += users.len());
        MembersVerdict::Taken
    }

    async fn restart(&self, _kind: Entity) {}

    async fn drop_group(&self, _group: &str) {}

    async fn skip(&self, _kind: Entity, _external_id: &str, _reason: &str) {}

    async fn checkpoint(&self, _state: Vec<u8>) {}

    async fn remember(&self, _name: &str, _value: Vec<u8>) {}

    async fn recall(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }

    fn log(&self, _level: LogLevel, _message: &str, _fields: &[(&str, &str)]) {}

    fn progress(&self, _stage: &str, _done: u64, _total: Option<u64>) {}
}
