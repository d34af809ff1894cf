//! What the host offers: all that the logic can reach, so that it runs as a component, natively and in tests alike.

use std::borrow::Cow;
use std::time::Duration;

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Asks for a token.
    Post,
}

impl Method {
    /// As in the request line, and in a proof's `htm` (RFC 9449, section 4.2).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One HTTPS request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// How.
    pub method: Method,
    /// Host, and port where it is not 443.
    pub authority: String,
    /// Path and query, beginning with `/`.
    pub target: String,
    /// Headers, with names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent along.
    pub body: Option<Vec<u8>>,
}

/// Why a request has no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Name resolution, connecting, TLS or the connection failed, or took too long. May work when tried again.
    #[error("{0}")]
    Broken(String),
    /// The answer's body is larger than the host takes. What is asked for in smaller pieces may pass.
    #[error("{0}")]
    TooLarge(String),
    /// Something else is larger than the host takes, so that smaller pieces do not help.
    #[error("{0}")]
    OverLimit(String),
    /// The host refuses the address.
    #[error("{0}")]
    AddressRefused(String),
    /// The answer, or the request, breaks what HTTP or the host allow.
    #[error("{0}")]
    Refused(String),
}

/// The headers of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a header; names are compared without case.
    pub fn get(&self, name: &'static str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a header.
    pub fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct HttpResponse<B> {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The body.
    pub body: B,
}

/// The body of an answer, read piece by piece.
#[expect(
    async_fn_in_trait,
    reason = "one thread runs all of it, so no future need be `Send`"
)]
pub trait Body {
    /// The next piece, or nothing at the end.
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, TransportError>;
}

/// Which key signs, and with it what the JWT's header holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningKey {
    /// The directory's key, RS256: `typ` `JWT`, with `kid` (RFC 7523, section 3).
    Directory,
    /// An ES256 key made for this call alone: `typ` `dpop+jwt`, with `jwk` (RFC 9449, section 4.2).
    Proof,
}

/// The kinds of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entity {
    /// A person.
    User,
    /// A named set of users.
    Group,
    /// That one user belongs to one group.
    Membership,
}

/// A user as Okta shows it; the fields are those of the contract's `user`. What needs no mending is borrowed from the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User<'p> {
    /// Okta's id.
    pub external_id: Cow<'p, str>,
    /// The primary address, trimmed and in lower case.
    pub email: Cow<'p, str>,
    /// The login, trimmed and in lower case.
    pub username: Cow<'p, str>,
    /// The name to show.
    pub display_name: Option<Cow<'p, str>>,
    /// The given name.
    pub given_name: Option<Cow<'p, str>>,
    /// The family name.
    pub family_name: Option<Cow<'p, str>>,
    /// Whether readers shall see the user.
    pub active: bool,
    /// Okta's word for the status.
    pub provider_status: Cow<'p, str>,
}

/// A group as Okta shows it; the fields are those of the contract's `group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Okta's id.
    pub external_id: String,
    /// The name to show.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Okta's word for the kind of group.
    pub provider_kind: Option<String>,
    /// `lastMembershipUpdated` in Unix milliseconds.
    pub members_changed_at: Option<u64>,
}

/// Which part of a member list a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagePart {
    /// The first page.
    pub first: bool,
    /// The last page.
    pub last: bool,
}

/// Whether a member list is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembersVerdict {
    /// It is.
    Taken,
    /// Okta is to be asked once more.
    ReadAgain,
}

/// How many rows readers see now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredCounts {
    /// Users.
    pub users: u64,
    /// Groups.
    pub groups: u64,
    /// Memberships.
    pub memberships: u64,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What helps to find a fault.
    Debug,
    /// What an operator likes to know.
    Info,
    /// What may need someone's attention.
    Warn,
}

/// What the host offers. Faults of the host itself are not the logic's concern: in the component they end the call,
/// and a native host keeps them, answers `cancelled` with true, and reports them in place of what the logic returns.
#[expect(
    async_fn_in_trait,
    reason = "one thread runs all of it, so no future need be `Send`"
)]
pub trait Host {
    /// The body of an answer.
    type Body: Body;

    /// Sends a request and waits for the answer's head.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse<Self::Body>, TransportError>;
    /// Signs `claims`, the text of a JSON object, as a compact JWT (RFC 7519). The error is the host's reason.
    async fn sign(&self, key: SigningKey, claims: &str) -> Result<String, String>;

    /// The host's time of day in Unix milliseconds. It may be off, and may jump.
    fn wall_ms(&self) -> i64;
    /// Time since some fixed moment.
    fn monotonic(&self) -> Duration;
    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
    /// Random bytes that nobody can guess.
    fn random(&self) -> [u8; 16];

    /// Until when the call must be done, from now.
    fn time_left(&self) -> Duration;
    /// Whether the call is to end soon.
    fn cancelled(&self) -> bool;
    /// Asks that the next run start no earlier than `unix_seconds` by Okta's clock.
    fn wake_at(&self, unix_seconds: u64, reason: &str);

    /// What the last applied run left.
    async fn stored(&self) -> StoredCounts;
    /// Puts users.
    async fn put_users(&self, users: &[User<'_>]);
    /// Puts groups; answers for each whether its members must be fetched.
    async fn put_groups(&self, groups: &[Group]) -> Vec<bool>;
    /// Puts one page of a group's members, read at `read_at_ms` by Okta's clock.
    async fn put_members(
        &self,
        group: &str,
        users: &[&str],
        read_at_ms: u64,
        part: PagePart,
    ) -> MembersVerdict;
    /// Drops what this run has staged of a kind.
    async fn restart(&self, kind: Entity);
    /// Leaves a group out that is gone.
    async fn drop_group(&self, group: &str);
    /// Records a row that could not be synced.
    async fn skip(&self, kind: Entity, external_id: &str, reason: &str);
    /// Commits what was put, with a cursor.
    async fn checkpoint(&self, state: Vec<u8>);

    /// Keeps a value for later runs; an empty one removes the name.
    async fn remember(&self, name: &str, value: Vec<u8>);
    /// What was last kept under a name.
    async fn recall(&self, name: &str) -> Option<Vec<u8>>;

    /// Writes a line to the host's log.
    fn log(&self, level: LogLevel, message: &str, fields: &[(&str, &str)]);
    /// Says how far the work is.
    fn progress(&self, stage: &str, done: u64, total: Option<u64>);
}
