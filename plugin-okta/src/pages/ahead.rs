//! The pages of a listing that are under way, in their order. The head of an answer says where the listing goes on, so
//! that the next page is asked for while the body before it is still read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Source;
use crate::client::{Ask, Fetched};
use crate::failure::Failure;
use crate::host::{Headers, Host};
use crate::pace::{Ahead, MAX_CONCURRENT};

/// So many pages of a listing are under way, or wait for the one before them. A page of users has about a megabyte.
const MOST_UNDER_WAY: usize = MAX_CONCURRENT as usize;

type Outcome = Result<Fetched, Failure>;

/// The pages under way, the first in front.
///
/// A page is among them only while the head of the one before it stands: when that is asked for again, those behind it
/// are given up. So no body that is held waits for one that is still to be begun, which might find no room (`bodies`).
pub(super) struct Pages<'c> {
    /// What is listed, for people.
    what: Rc<str>,
    under_way: VecDeque<UnderWay<'c>>,
}

struct UnderWay<'c> {
    target: String,
    /// Where the listing goes on, once its head has said so.
    next: Rc<RefCell<Option<String>>>,
    fetch: Pin<Box<dyn Future<Output = Outcome> + 'c>>,
    outcome: Option<Outcome>,
    /// While it is asked for beside the one in front.
    ahead: Option<Ahead>,
}

impl<'c> Pages<'c> {
    /// None yet of this listing.
    pub(super) fn of(what: Rc<str>) -> Self {
        Self {
            what,
            under_way: VecDeque::new(),
        }
    }

    pub(super) fn give_up(&mut self) {
        self.under_way.clear();
    }

    /// Puts a page in front. The others stay where it is the one that was expected.
    pub(super) fn begin<H: Host>(&mut self, source: Source<'c, '_, H>, target: &str) {
        if self.under_way.front().is_none_or(|front| front.target != target) {
            self.under_way.clear();
            self.under_way
                .push_back(UnderWay::begin(source, &self.what, target.to_owned()));
        }
    }

    /// What came of the page in front, which must have been begun. It is no longer among them then.
    pub(super) async fn front<H: Host>(&mut self, source: Source<'c, '_, H>) -> Outcome {
        poll_fn(|context| {
            self.go_on(source, context);
            let outcome = self.under_way.front_mut().and_then(|front| front.outcome.take());
            let Some(outcome) = outcome else {
                return Poll::Pending;
            };
            self.under_way.pop_front();
            Poll::Ready(outcome)
        })
        .await
    }

    /// Lets all go on, and begins those that are known by now.
    pub(super) fn go_on<H: Host>(&mut self, source: Source<'c, '_, H>, context: &mut Context<'_>) {
        let mut at = 0;
        while let Some(page) = self.under_way.get_mut(at) {
            page.go_on(context, at == 0);
            let next = Rc::clone(&page.next);
            at += 1;
            let next = next.borrow();
            if self.under_way.get(at).map(|behind| &behind.target) == next.as_ref() {
                continue;
            }
            self.under_way.truncate(at);
            if let Some(target) = &*next
                && source.reads_ahead
                && at < MOST_UNDER_WAY
            {
                self.under_way
                    .push_back(UnderWay::begin(source, &self.what, target.clone()));
            }
        }
    }
}

impl<'c> UnderWay<'c> {
    fn begin<H: Host>(source: Source<'c, '_, H>, what: &Rc<str>, target: String) -> Self {
        let next = Rc::<RefCell<Option<String>>>::default();
        let told = Rc::clone(&next);
        let ask = Ask {
            stage: source.stage,
            what: Rc::clone(what),
            bucket: source.bucket,
            target: target.clone(),
            may_shrink: source.may_shrink(),
        };
        let fetch = async move {
            // A head that can't be followed is told of when its page is worked on.
            let on_head = |head: Option<&Headers>| {
                told.replace(head.and_then(|head| source.goes_on_at(head).ok()?));
            };
            source.client.fetch(&ask, &on_head).await
        };
        Self {
            target,
            next,
            fetch: Box::pin(fetch),
            outcome: None,
            ahead: Some(source.client.pace.ahead()),
        }
    }

    fn go_on(&mut self, context: &mut Context<'_>, is_in_front: bool) {
        if self.outcome.is_none()
            && let Poll::Ready(outcome) = self.fetch.as_mut().poll(context)
        {
            self.outcome = Some(outcome);
        }
        if is_in_front || self.outcome.is_some() {
            self.ahead = None;
        }
    }
}
