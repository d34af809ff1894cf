//! Wakes tasks that wait for something to change.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A place to wait. Waking is broad: whoever is woken looks again whether what it waits for is there.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    waiting: RefCell<Vec<Waker>>,
}

impl Notify {
    /// Wakes all that wait.
    pub(crate) fn wake_all(&self) {
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Waits for the next `wake_all`; may return early.
    pub(crate) async fn changed(&self) {
        let mut is_registered = false;
        poll_fn(|context| {
            if is_registered {
                return Poll::Ready(());
            }
            is_registered = true;
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
