//! Listings, page by page: where one goes on, when it is at its end, and what makes it no listing at all (RUNS §1.2,
//! §1.3). The next pages are under way while one is read and worked on (`ahead`).

mod ahead;

use std::collections::HashSet;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use self::ahead::Pages;
use crate::client::{Answer, Client, Fetched};
use crate::failure::Failure;
use crate::host::{Headers, Host};
use crate::link::{next_url, parameter, target_within, with_parameter};
use crate::okta_error::shown;
use crate::pace::Bucket;

/// A page that is too much is not asked for in smaller pieces than this.
const SMALLEST_LIMIT: u32 = 10;
/// Okta's own links have a few hundred bytes; what is longer is none of its.
const LONGEST_TARGET_BYTES: usize = 8 << 10;
/// A run reads no more pages of a listing than this: one that goes on is linked on for ever. They are half the requests
/// that the host grants a run, so that it ends with what is wrong, and twice as many as hold all rows that a run may
/// stage, where they are full. Refused with it are listings of more than 5,000,000 rows all of whose pages had to be of
/// the smallest size. What is kept of so many links takes some 10 MiB.
const MOST_PAGES: usize = 500_000;

/// One listing.
pub struct Listing<'c, 'h, H: Host> {
    source: Source<'c, 'h, H>,
    /// What is listed, for people.
    what: Rc<str>,
    next: Option<String>,
    under_way: Pages<'c>,
    followed: HashSet<u64>,
    is_first: bool,
    /// Whether a page had to be asked for in smaller pieces.
    pub was_shrunk: bool,
}

/// How the pages of a listing are asked for.
struct Source<'c, 'h, H: Host> {
    client: &'c Client<'h, H>,
    stage: &'static str,
    bucket: Bucket,
    limit: u32,
    expand: Option<&'static str>,
    /// Whether more than one page is asked for at once: when one of this size was not too much.
    reads_ahead: bool,
}

/// One page.
#[derive(Debug)]
pub struct Page {
    answer: Answer,
    stage: &'static str,
    what: Rc<str>,
    /// Whether it is the first.
    pub is_first: bool,
    /// Where the listing goes on; nothing after the last page.
    pub next: Option<String>,
}

/// What comes next in a listing.
#[derive(Debug)]
pub enum Turn {
    /// A page.
    Page(Page),
    /// Okta refused it.
    Refused {
        /// With this answer.
        answer: Answer,
        /// Whether it was the first page.
        is_first: bool,
    },
    /// Nothing.
    End,
}

/// How a listing ended.
#[derive(Debug)]
pub enum End {
    /// All pages were read.
    Complete,
    /// Whoever works on the pages wants no more of them.
    Stopped,
    /// Okta refused a page.
    Refused {
        /// With this answer.
        answer: Answer,
        /// Whether it was the first page.
        is_first: bool,
    },
}

impl<'c, 'h, H: Host> Listing<'c, 'h, H> {
    /// A listing of `path`, with the largest page that Okta allows.
    pub fn new(
        client: &'c Client<'h, H>,
        stage: &'static str,
        what: &str,
        bucket: Bucket,
        path: &str,
        expand: Option<&'static str>,
        limit: u32,
    ) -> Self {
        let mut target = with_parameter(path, "limit", &limit.to_string());
        if let Some(expand) = expand {
            target = with_parameter(&target, "expand", expand);
        }
        let what: Rc<str> = what.into();
        Self {
            source: Source {
                client,
                stage,
                bucket,
                limit,
                expand,
                reads_ahead: false,
            },
            under_way: Pages::of(Rc::clone(&what)),
            what,
            followed: HashSet::from([digest(&target)]),
            next: Some(target),
            is_first: true,
            was_shrunk: false,
        }
    }

    /// The same listing from a page in its middle, where an earlier run left it.
    #[must_use]
    pub fn going_on_at(self, target: String) -> Self {
        let limit = parameter(&target, "limit").and_then(|limit| limit.parse().ok());
        Self {
            source: Source {
                limit: limit.unwrap_or(self.source.limit),
                ..self.source
            },
            followed: HashSet::from([digest(&target)]),
            next: Some(target),
            is_first: false,
            ..self
        }
    }

    /// The next page. After a page it is known at once whether it was the last.
    pub async fn next_page(&mut self) -> Result<Turn, Failure> {
        let Some(mut target) = self.next.take() else {
            return Ok(Turn::End);
        };
        loop {
            self.under_way.begin(self.source, &target);
            let answer = match self.under_way.front(self.source).await? {
                Fetched::Answer(answer) => answer,
                Fetched::TooMuch(failure) if !self.source.may_shrink() => return Err(failure),
                Fetched::TooMuch(_) => {
                    self.source.limit /= 2;
                    self.source.reads_ahead = false;
                    self.was_shrunk = true;
                    target = with_parameter(&target, "limit", &self.source.limit.to_string());
                    continue;
                }
            };
            let is_first = std::mem::replace(&mut self.is_first, false);
            if answer.status != 200 {
                return Ok(Turn::Refused { answer, is_first });
            }
            self.next = self.follow(&answer)?;
            return Ok(Turn::Page(Page {
                answer,
                stage: self.source.stage,
                what: Rc::clone(&self.what),
                is_first,
                next: self.next.clone(),
            }));
        }
    }

    /// Where the listing goes on; the place counts as followed then.
    fn follow(&mut self, answer: &Answer) -> Result<Option<String>, Failure> {
        let next = self.source.goes_on_at(&answer.headers).and_then(|next| {
            let Some(target) = next else {
                return Ok(None);
            };
            if self.followed.len() >= MOST_PAGES {
                return Err(format!("it has not ended after {MOST_PAGES} pages"));
            }
            if !self.followed.insert(digest(&target)) {
                return Err(format!("the link `{}` was followed before", shown(&target)));
            }
            Ok(Some(target))
        });
        next.map_err(|why| Failure {
            request_id: answer.error().request_id,
            ..Failure::protocol(
                self.source.stage,
                format!(
                    "Reading {}, a page can't be followed by the next: {why}.",
                    self.what
                ),
            )
        })
    }

    /// Works on each page while the next ones are under way. A page that was given is worked on to its end, whatever
    /// becomes of the next.
    pub async fn for_each_page(
        &mut self,
        mut work: impl AsyncFnMut(Page) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<End, Failure> {
        loop {
            let page = match self.next_page().await? {
                Turn::End => return Ok(End::Complete),
                Turn::Refused { answer, is_first } => return Ok(End::Refused { answer, is_first }),
                Turn::Page(page) => page,
            };
            self.source.reads_ahead = true;
            if let Some(next) = &self.next {
                self.under_way.begin(self.source, next);
            }
            let mut work = pin!(work(page));
            let flow = poll_fn(|context| {
                self.under_way.go_on(self.source, context);
                work.as_mut().poll(context)
            });
            if flow.await?.is_break() {
                self.under_way.give_up();
                return Ok(End::Stopped);
            }
        }
    }
}

impl<H: Host> Clone for Source<'_, '_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: Host> Copy for Source<'_, '_, H> {}

impl<H: Host> Source<'_, '_, H> {
    fn may_shrink(&self) -> bool {
        self.limit / 2 >= SMALLEST_LIMIT
    }

    /// Where a page says that its listing goes on, or why that is no place. Okta at times leaves `expand` out of its
    /// links; a parameter of the first request that is missing is put back.
    fn goes_on_at(&self, head: &Headers) -> Result<Option<String>, String> {
        let Some(url) = next_url(head)? else {
            return Ok(None);
        };
        let mut target = target_within(&url, &self.client.settings.domain)
            .map_err(|why| format!("the link to it is `{}`: {why}", shown(&url)))?;
        if let Some(expand) = self.expand.filter(|_| parameter(&target, "expand").is_none()) {
            target = with_parameter(&target, "expand", expand);
        }
        if parameter(&target, "limit").is_none() {
            target = with_parameter(&target, "limit", &self.limit.to_string());
        }
        if target.len() > LONGEST_TARGET_BYTES {
            return Err(format!("the link to it has {} bytes", target.len()));
        }
        Ok(Some(target))
    }
}

/// What is kept of a target that was followed: an org that links on for ever fills no memory with its links. That two of
/// so few have the same is too unlikely to happen.
fn digest(target: &str) -> u64 {
    let digest = Sha256::digest(target.as_bytes());
    let first_bytes = digest.iter().take(size_of::<u64>());
    first_bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Page {
    /// Whether it is the last.
    pub fn is_last(&self) -> bool {
        self.next.is_none()
    }

    /// The rows of the page: a JSON array of this shape.
    pub fn rows<'a, T: Deserialize<'a>>(&'a self) -> Result<Vec<T>, Failure> {
        self.answer.json(self.stage, &self.what)
    }

    /// When the page was given, by Okta's clock, in Unix milliseconds.
    pub fn read_at_ms(&self) -> u64 {
        u64::try_from(self.answer.date_ms).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::failure::ErrorKind;
    use crate::fake::{FakeHost, Org, Reply, settings};
    use crate::model::Row;

    const PATH: &str = "/api/v1/apps/0oaapp1/users";

    /// An org whose listing leads on for ever, to a page never seen before.
    fn leads_on_for_ever() -> FakeHost {
        let mut org = Org::new(5, 3);
        let pages = Cell::new(0);
        org.fault(PATH, u32::MAX, move || {
            let page = pages.get() + 1;
            pages.set(page);
            Reply::json(200, &json!([])).after(Duration::ZERO).header(
                "link",
                format!("<https://acme.okta.com{PATH}?after={page}>; rel=\"next\""),
            )
        });
        FakeHost::new(org)
    }

    fn ids_read(host: &FakeHost) -> Vec<String> {
        let client = Client::new(host, settings());
        let mut listing = Listing::new(&client, "users", "the users", Bucket::Apps, PATH, None, 500);
        let mut ids = Vec::new();
        let end = host.run(listing.for_each_page(async |page| {
            let rows = page.rows::<Row<'_>>()?;
            ids.extend(rows.iter().map(|row| row.id.0.to_string()));
            Ok(ControlFlow::Continue(()))
        }));
        assert!(matches!(end.unwrap(), End::Complete));
        ids
    }

    #[test]
    fn pages_are_under_way_side_by_side_and_worked_on_in_their_order() {
        let mut org = Org::new(120, 0);
        org.delay = Duration::ZERO;
        let host = FakeHost::new(org);
        let expected: Vec<String> = (0..120).map(|user| format!("00u{user}")).collect();
        assert_eq!(ids_read(&host), expected);
        assert_eq!(host.org.borrow().asked_for(PATH), 60);
        assert_eq!(host.bodies.most.get(), 16);
    }

    #[test]
    fn pages_behind_one_that_broke_off_are_given_up_and_asked_for_again() {
        let mut org = Org::new(120, 0);
        org.delay = Duration::ZERO;
        org.breaks_off = Some("after=40".to_owned());
        let host = FakeHost::new(org);
        let expected: Vec<String> = (0..120).map(|user| format!("00u{user}")).collect();
        assert_eq!(ids_read(&host), expected);
        let asked = host.org.borrow().asked_for(PATH);
        assert!((61..=61 + 15).contains(&asked), "{asked}");
    }

    #[test]
    fn runs_1_2_a_listing_that_leads_on_for_ever_is_given_up_before_the_hosts_limit_of_requests() {
        let host = leads_on_for_ever();
        let client = Client::new(&host, settings());
        let mut listing = Listing::new(&client, "users", "the users", Bucket::Apps, PATH, None, 500);
        // As after all pages but three, which would take minutes to ask for.
        let others = (0..).filter(|digest| !listing.followed.contains(digest));
        let read: HashSet<u64> = others.take(MOST_PAGES - 3).collect();
        listing.followed.extend(read);

        let read = listing.for_each_page(async |_| Ok(ControlFlow::Continue(())));
        let failure = host.run(read).unwrap_err();

        assert_eq!(failure.kind, ErrorKind::Protocol);
        let told = "it has not ended after 500000 pages";
        assert!(failure.summary.contains(told), "{}", failure.summary);
        // The third is one too many; those that it leads to were under way.
        let asked = host.org.borrow().asked_for(PATH);
        assert!((3..20).contains(&asked), "{asked}");
    }
}
