//! Listings, page by page: where one goes on, when it is at its end, and what makes it no listing at all (RUNS §1.2,
//! §1.3). The next page is under way while one is worked on.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::pin::pin;

use futures::future::{Either, select};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::client::{Answer, Ask, Client, Fetched};
use crate::failure::Failure;
use crate::host::Host;
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
    client: &'c Client<'h, H>,
    stage: &'static str,
    /// What is listed, for people.
    what: String,
    bucket: Bucket,
    limit: u32,
    expand: Option<&'static str>,
    next: Option<String>,
    followed: HashSet<u64>,
    is_first: bool,
    /// Whether a page had to be asked for in smaller pieces.
    pub was_shrunk: bool,
}

/// One page.
#[derive(Debug)]
pub struct Page {
    answer: Answer,
    stage: &'static str,
    what: String,
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
        what: impl Into<String>,
        bucket: Bucket,
        path: &str,
        expand: Option<&'static str>,
        limit: u32,
    ) -> Self {
        let mut target = with_parameter(path, "limit", &limit.to_string());
        if let Some(expand) = expand {
            target = with_parameter(&target, "expand", expand);
        }
        Self {
            client,
            stage,
            what: what.into(),
            bucket,
            limit,
            expand,
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
            limit: limit.unwrap_or(self.limit),
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
            let ask = Ask {
                stage: self.stage,
                bucket: self.bucket,
                target: target.clone(),
                may_shrink: self.limit / 2 >= SMALLEST_LIMIT,
            };
            let answer = match self.client.fetch(&ask).await? {
                Fetched::Answer(answer) => answer,
                Fetched::TooMuch(failure) if !ask.may_shrink => return Err(failure),
                Fetched::TooMuch(_) => {
                    self.limit /= 2;
                    self.was_shrunk = true;
                    target = with_parameter(&target, "limit", &self.limit.to_string());
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
                stage: self.stage,
                what: self.what.clone(),
                is_first,
                next: self.next.clone(),
            }));
        }
    }

    /// Where the listing goes on. Okta at times leaves `expand` out of its links; a parameter of the first request that
    /// is missing is put back.
    fn follow(&mut self, answer: &Answer) -> Result<Option<String>, Failure> {
        let broken = |why: String| Failure {
            request_id: answer.error().request_id,
            ..Failure::protocol(
                self.stage,
                format!(
                    "Reading {}, a page can't be followed by the next: {why}.",
                    self.what
                ),
            )
        };
        let Some(url) = next_url(&answer.headers).map_err(broken)? else {
            return Ok(None);
        };
        let mut target = target_within(&url, &self.client.settings.domain)
            .map_err(|why| broken(format!("the link to it is `{}`: {why}", shown(&url))))?;
        if let Some(expand) = self.expand.filter(|_| parameter(&target, "expand").is_none()) {
            target = with_parameter(&target, "expand", expand);
        }
        if parameter(&target, "limit").is_none() {
            target = with_parameter(&target, "limit", &self.limit.to_string());
        }
        if target.len() > LONGEST_TARGET_BYTES {
            return Err(broken(format!("the link to it has {} bytes", target.len())));
        }
        if self.followed.len() >= MOST_PAGES {
            return Err(broken(format!("it has not ended after {MOST_PAGES} pages")));
        }
        if !self.followed.insert(digest(&target)) {
            return Err(broken(format!("the link `{}` was followed before", shown(&url))));
        }
        Ok(Some(target))
    }

    /// Works on each page while the next is under way. A page that was given is worked on to its end, whatever becomes
    /// of the next.
    pub async fn for_each_page(
        &mut self,
        mut work: impl AsyncFnMut(Page) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<End, Failure> {
        let mut turn = self.next_page().await?;
        loop {
            let page = match turn {
                Turn::End => return Ok(End::Complete),
                Turn::Refused { answer, is_first } => return Ok(End::Refused { answer, is_first }),
                Turn::Page(page) => page,
            };
            let (flow, next) = match select(pin!(work(page)), pin!(self.next_page())).await {
                Either::Left((Ok(ControlFlow::Continue(())), next)) => {
                    (ControlFlow::Continue(()), next.await)
                }
                Either::Left((flow, _)) => return flow.map(|_| End::Stopped),
                Either::Right((next, work)) => (work.await?, next),
            };
            if flow.is_break() {
                return Ok(End::Stopped);
            }
            turn = next?;
        }
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
        assert_eq!(host.org.borrow().asked_for(PATH), 3);
    }
}
