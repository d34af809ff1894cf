//! Runs one future to its end over `wasi:io/poll`: tasks wait for pollables, and the component sleeps in the host
//! until one of them is ready.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::wasm::wasi::io::poll::{Pollable, poll};

#[expect(clippy::struct_field_names, reason = "a task that is waited for is a task")]
struct Waiting {
    pollable: Rc<Pollable>,
    is_ready: Rc<Cell<bool>>,
    task: Waker,
}

#[derive(Default)]
struct Waiters {
    next_key: u64,
    by_key: BTreeMap<u64, Waiting>,
}

thread_local! {
    static WAITERS: RefCell<Waiters> = RefCell::default();
}

/// Ends when the pollable is ready. The pollable lives as long as this future.
pub(crate) struct Ready {
    // Before `pollable`, so that nothing refers to it any more when it is dropped.
    key: Option<u64>,
    is_ready: Rc<Cell<bool>>,
    pollable: Rc<Pollable>,
}

/// Waits for a pollable.
pub(crate) fn ready(pollable: Pollable) -> Ready {
    Ready {
        key: None,
        is_ready: Rc::new(Cell::new(false)),
        pollable: Rc::new(pollable),
    }
}

impl Future for Ready {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_ready.get() {
            return Poll::Ready(());
        }
        WAITERS.with_borrow_mut(|waiters| {
            let key = self.key.unwrap_or_else(|| {
                waiters.next_key += 1;
                waiters.next_key
            });
            self.key = Some(key);
            waiters.by_key.insert(
                key,
                Waiting {
                    pollable: Rc::clone(&self.pollable),
                    is_ready: Rc::clone(&self.is_ready),
                    task: context.waker().clone(),
                },
            );
        });
        Poll::Pending
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            WAITERS.with_borrow_mut(|waiters| waiters.by_key.remove(&key));
        }
    }
}

struct RootWaker {
    is_woken: AtomicBool,
}

impl Wake for RootWaker {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Relaxed);
    }
}

/// Runs a future to its end.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let root = Arc::new(RootWaker {
        is_woken: AtomicBool::new(true),
    });
    let waker = Waker::from(Arc::clone(&root));
    let mut context = Context::from_waker(&waker);
    loop {
        while root.is_woken.swap(false, Ordering::Relaxed) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
        }
        wait_for_any();
    }
}

fn wait_for_any() {
    let (keys, pollables): (Vec<u64>, Vec<Rc<Pollable>>) = WAITERS.with_borrow(|waiters| {
        waiters
            .by_key
            .iter()
            .map(|(key, waiter)| (*key, Rc::clone(&waiter.pollable)))
            .unzip()
    });
    assert!(
        !pollables.is_empty(),
        "a task waits for something that nothing will ever wake"
    );
    let borrowed: Vec<&Pollable> = pollables.iter().map(Rc::as_ref).collect();
    let ready = poll(&borrowed);
    drop(pollables);
    for index in ready {
        let waiter = WAITERS.with_borrow_mut(|waiters| waiters.by_key.remove(&keys[index as usize]));
        if let Some(waiter) = waiter {
            waiter.is_ready.set(true);
            waiter.task.wake();
        }
    }
}
