//! For tests: a host whose time is simulated and which keeps what was put, before a small org that answers as Okta does.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::host::{
    Body, Entity, Group, Headers, Host, HttpRequest, HttpResponse, LogLevel, MembersVerdict, PagePart,
    SigningKey, StoredCounts, TransportError, User,
};
use crate::report::{Mode, SyncRequest};
use crate::settings::Settings;

/// The org's time when a test begins, in Unix seconds.
pub(crate) const START: u64 = 1_800_000_000;
pub(crate) const ORG: &str = "00oacme";
pub(crate) const APP: &str = "0oaapp1";

pub(crate) fn settings() -> Settings {
    Settings::read([("okta_domain", "acme.okta.com"), ("client_id", "0oaclient")]).unwrap()
}

pub(crate) fn full() -> SyncRequest {
    SyncRequest {
        mode: Mode::Full,
        resume: None,
        expected_org: Some(ORG.to_owned()),
    }
}

/// What a request gets.
pub(crate) struct Reply {
    pub(crate) result: Result<(u16, Vec<(String, String)>), TransportError>,
    pub(crate) body: Vec<u8>,
    pub(crate) delay: Duration,
    /// The body ends in this.
    pub(crate) body_error: Option<TransportError>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            result: Ok((status, Vec::new())),
            body: body.into(),
            delay: Duration::from_millis(20),
            body_error: None,
        }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string())
    }

    pub(crate) fn broken(error: TransportError) -> Self {
        Self {
            result: Err(error),
            ..Self::new(0, "")
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        if let Ok((_, headers)) = &mut self.result {
            headers.push((name.to_owned(), value.to_string()));
        }
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::json(
            status,
            &json!({"errorCode": code, "errorSummary": "So it is.", "errorId": "oae1"}),
        )
        .header("x-okta-request-id", "req-1")
    }

    pub(crate) fn oauth_error(status: u16, code: &str, text: &str) -> Self {
        Self::json(status, &json!({"error": code, "error_description": text}))
    }
}

/// A fault: the next `times` requests whose method, path and query contain `on` get this reply.
type Fault = (String, u32, Box<dyn Fn() -> Reply>);

/// A small org.
pub(crate) struct Org {
    pub(crate) apps: BTreeMap<String, String>,
    pub(crate) app_users: BTreeMap<String, Vec<Value>>,
    pub(crate) app_groups: BTreeMap<String, Vec<Value>>,
    pub(crate) members: BTreeMap<String, Vec<String>>,
    pub(crate) all_users_visible: bool,
    pub(crate) all_groups_visible: bool,
    pub(crate) scopes: String,
    pub(crate) page: usize,
    pub(crate) drop_expand: bool,
    pub(crate) token_type: &'static str,
    pub(crate) token_seconds: u64,
    pub(crate) valid_tokens: HashSet<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) asked: Vec<HttpRequest>,
    /// Claims of every signed JWT, in order.
    pub(crate) proofs: Vec<Value>,
    pub(crate) assertions: Vec<Value>,
    jtis: HashSet<String>,
    tokens_made: u32,
}

pub(crate) fn user_row(number: usize) -> Value {
    let id = format!("00u{number}");
    json!({"id": id, "_embedded": {"user": {"id": id, "status": "ACTIVE", "profile": {
        "login": format!("User{number}@acme.test"), "email": format!("User{number}@acme.test"),
        "firstName": "U", "lastName": number.to_string()}}}})
}

pub(crate) fn group_row(number: usize) -> Value {
    let id = format!("00g{number}");
    json!({"id": id, "_embedded": {"group": {"id": id, "type": "OKTA_GROUP",
        "lastMembershipUpdated": "2026-01-02T03:04:05.000Z", "profile": {"name": format!("Group {number}")}}}})
}

impl Org {
    /// One app, with users and groups; each group has every user.
    pub(crate) fn new(users: usize, groups: usize) -> Self {
        let ids: Vec<String> = (0..users).map(|number| format!("00u{number}")).collect();
        Self {
            apps: BTreeMap::from([(APP.to_owned(), "ACTIVE".to_owned())]),
            app_users: BTreeMap::from([(APP.to_owned(), (0..users).map(user_row).collect())]),
            app_groups: BTreeMap::from([(APP.to_owned(), (0..groups).map(group_row).collect())]),
            members: (0..groups)
                .map(|number| (format!("00g{number}"), ids.clone()))
                .collect(),
            all_users_visible: true,
            all_groups_visible: true,
            scopes: crate::describe::SCOPES.join(" "),
            page: 2,
            drop_expand: false,
            token_type: "DPoP",
            token_seconds: 3600,
            valid_tokens: HashSet::new(),
            nonce: None,
            faults: Vec::new(),
            asked: Vec::new(),
            proofs: Vec::new(),
            assertions: Vec::new(),
            jtis: HashSet::new(),
            tokens_made: 0,
        }
    }

    pub(crate) fn fault(&mut self, on: &str, times: u32, reply: impl Fn() -> Reply + 'static) {
        self.faults.push((on.to_owned(), times, Box::new(reply)));
    }

    pub(crate) fn asked_for(&self, part: &str) -> usize {
        self.asked
            .iter()
            .filter(|request| request.target.contains(part))
            .count()
    }

    fn answer(&mut self, request: &HttpRequest) -> Reply {
        self.asked.push(request.clone());
        self.check_request(request);
        let line = format!("{} {}", request.method.as_str(), request.target);
        let fault = self
            .faults
            .iter_mut()
            .find(|(on, times, _)| *times > 0 && line.contains(on.as_str()));
        if let Some((_, times, reply)) = fault {
            *times -= 1;
            return reply();
        }
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        if path == "/.well-known/okta-organization" {
            return Reply::json(200, &json!({"id": ORG, "pipeline": "idx"}));
        }
        if path == "/oauth2/v1/token" {
            return self.token();
        }
        let bearer = header(request, "authorization").unwrap_or_default();
        let token = bearer.rsplit(' ').next().unwrap_or_default();
        if !self.valid_tokens.contains(token) {
            return Reply::error(401, "E0000011");
        }
        self.resource(&path, &request.target)
    }

    /// What must hold for every request (RUNS §9).
    fn check_request(&mut self, request: &HttpRequest) {
        assert_eq!(request.authority, "acme.okta.com");
        assert_eq!(header(request, "accept"), Some("application/json"));
        assert!(header(request, "user-agent").unwrap().starts_with("idsync/"));
        assert!(header(request, "cookie").is_none());
        if let Some(proof) = header(request, "dpop") {
            let claims: Value = serde_json::from_str(proof.strip_prefix("proof.").unwrap()).unwrap();
            let path = request.target.split('?').next().unwrap();
            assert_eq!(claims["htu"], format!("https://acme.okta.com{path}"));
            assert_eq!(claims["htm"], request.method.as_str());
            assert_eq!(claims["ath"].is_string(), path.starts_with("/api/"));
            assert!(
                self.jtis.insert(claims["jti"].to_string()),
                "a proof was sent twice"
            );
            self.proofs.push(claims);
        }
        if let Some(body) = &request.body {
            let body = String::from_utf8(body.clone()).unwrap();
            let assertion = body.split("client_assertion=").nth(1).unwrap();
            let claims: Value = serde_json::from_str(assertion.strip_prefix("directory.").unwrap()).unwrap();
            assert!(
                self.jtis.insert(claims["jti"].to_string()),
                "an assertion was sent twice"
            );
            self.assertions.push(claims);
        }
    }

    fn token(&mut self) -> Reply {
        if let Some(nonce) = &self.nonce
            && self.proofs.last().unwrap()["nonce"] != nonce.as_str()
        {
            return Reply::oauth_error(400, "use_dpop_nonce", "Nonce, please.").header("dpop-nonce", nonce);
        }
        self.tokens_made += 1;
        let token = format!("token{}", self.tokens_made);
        self.valid_tokens.insert(token.clone());
        Reply::json(
            200,
            &json!({"token_type": self.token_type, "expires_in": self.token_seconds, "access_token": token,
                    "scope": self.scopes}),
        )
    }

    fn resource(&self, path: &str, target: &str) -> Reply {
        let parts: Vec<&str> = path.trim_start_matches("/api/v1/").split('/').collect();
        let missing = || Reply::error(404, "E0000007");
        match parts.as_slice() {
            ["apps"] => {
                let apps = self
                    .apps
                    .iter()
                    .map(|(id, status)| json!({"id": id, "label": id, "status": status}));
                self.list(target, apps.collect())
            }
            ["apps", app] => match self.apps.get(*app) {
                Some(status) => Reply::json(200, &json!({"id": app, "label": app, "status": status})),
                None => missing(),
            },
            ["apps", app, kind] => {
                let rows = if *kind == "users" {
                    &self.app_users
                } else {
                    &self.app_groups
                };
                rows.get(*app)
                    .map_or_else(missing, |rows| self.list(target, rows.clone()))
            }
            ["apps", app, kind, id] => {
                let rows = if *kind == "users" {
                    &self.app_users
                } else {
                    &self.app_groups
                };
                let row = rows
                    .get(*app)
                    .and_then(|rows| rows.iter().find(|row| row["id"] == *id));
                row.map_or_else(missing, |row| Reply::json(200, row))
            }
            ["groups", group, "users"] => self.members.get(*group).map_or_else(missing, |ids| {
                self.list(
                    target,
                    ids.iter()
                        .map(|id| json!({"id": id, "status": "ACTIVE"}))
                        .collect(),
                )
            }),
            ["users"] if self.all_users_visible => Reply::json(200, &json!([{"id": "00uany"}])),
            ["groups"] if self.all_groups_visible => Reply::json(200, &json!([{"id": "00gany"}])),
            ["users" | "groups"] => Reply::json(200, &json!([])),
            ["users", id] => {
                let rows = self.app_users.values().flatten();
                let mut users = rows.map(|row| &row["_embedded"]["user"]);
                let user = users
                    .find(|user| user["id"] == *id || user["profile"]["login"] == id.replace("%40", "@"));
                user.map_or_else(missing, |user| Reply::json(200, user))
            }
            ["groups", id] => {
                let rows = self.app_groups.values().flatten();
                let mut groups = rows.map(|row| &row["_embedded"]["group"]);
                groups
                    .find(|group| group["id"] == *id)
                    .map_or_else(missing, |group| Reply::json(200, group))
            }
            _ => missing(),
        }
    }

    fn list(&self, target: &str, mut rows: Vec<Value>) -> Reply {
        let parameter = |name: &str| crate::link::parameter(target, name);
        let limit: usize = parameter("limit").map_or(self.page, |limit| limit.parse().unwrap());
        let limit = limit.min(self.page);
        let begin: usize = parameter("after").map_or(0, |after| after.parse().unwrap());
        let expand = parameter("expand");
        if expand.is_none() {
            for row in &mut rows {
                row.as_object_mut().unwrap().remove("_embedded");
            }
        }
        let page: Vec<&Value> = rows.iter().skip(begin).take(limit).collect();
        let reply = Reply::json(200, &json!(page));
        let path = target.split('?').next().unwrap();
        let kept = expand
            .filter(|_| !self.drop_expand)
            .map_or_else(String::new, |expand| format!("&expand={expand}"));
        let reply = reply.header("link", format!("<https://acme.okta.com{target}>; rel=\"self\""));
        if begin + limit >= rows.len() {
            return reply;
        }
        let after = begin + limit;
        reply.header(
            "link",
            format!("<https://acme.okta.com{path}?after={after}&limit={limit}{kept}>; rel=\"next\""),
        )
    }
}

pub(crate) fn header<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    let mut headers = request.headers.iter();
    headers.find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}

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
