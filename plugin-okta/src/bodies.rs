//! The bodies that are read and not yet decoded: no more of them than the component's memory can hold.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::notify::Notify;

/// All bodies together (DESIGN §5).
pub const ALL_BODIES_BYTES: usize = 32 << 20;
/// One body: what the host takes after decompression.
pub const ONE_BODY_BYTES: usize = 16 << 20;

/// Counts the bytes of the bodies that are held.
///
/// The body that was begun first may always grow, up to the whole; the others stop where it would no longer fit beside
/// them. So there is always one that comes to its end, and makes room for the rest.
#[derive(Debug, Default)]
pub struct Bodies {
    held_bytes: Cell<usize>,
    next_ticket: Cell<u64>,
    being_read: RefCell<BTreeSet<u64>>,
    changed: Notify,
}

/// The part of one body in the count; it is given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    bodies: Rc<Bodies>,
    ticket: u64,
    bytes: usize,
}

impl Bodies {
    /// A body is begun.
    pub fn begin(self: &Rc<Self>) -> Reservation {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        self.being_read.borrow_mut().insert(ticket);
        Reservation {
            bodies: Rc::clone(self),
            ticket,
            bytes: 0,
        }
    }

    /// How many bytes are held.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.get()
    }
}

impl Reservation {
    /// Waits until there is room for another piece. It counts from then on.
    pub async fn grow(&mut self, bytes: usize) {
        loop {
            let is_first = self.bodies.being_read.borrow().first() == Some(&self.ticket);
            let limit = if is_first {
                ALL_BODIES_BYTES
            } else {
                ALL_BODIES_BYTES - ONE_BODY_BYTES
            };
            let held = self.bodies.held_bytes.get();
            if held == 0 || held + bytes <= limit {
                self.bodies.held_bytes.set(held + bytes);
                self.bytes += bytes;
                return;
            }
            self.bodies.changed.changed().await;
        }
    }

    /// The body has `bytes` so far: what was counted beyond them is given back. A piece may be far smaller than the room
    /// that was made for it.
    pub fn settle(&mut self, bytes: usize) {
        let held = self.bodies.held_bytes.get();
        self.bodies.held_bytes.set(held + bytes - self.bytes);
        self.bytes = bytes;
        self.bodies.changed.wake_all();
    }

    /// The body has come to its end; `bytes` of it are kept until this is dropped.
    pub fn complete(&mut self, bytes: usize) {
        self.bodies.being_read.borrow_mut().remove(&self.ticket);
        self.settle(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.complete(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn a_body_in_small_pieces_takes_no_more_room_than_it_has() {
        let bodies = Rc::new(Bodies::default());
        let mut body = bodies.begin();
        for pieces in 1..=1024 {
            assert!(body.grow(256 << 10).now_or_never().is_some());
            body.settle(pieces * (16 << 10));
        }
        assert_eq!(bodies.held_bytes(), ONE_BODY_BYTES);
    }

    #[test]
    fn never_more_than_the_whole_is_held_and_the_first_always_goes_on() {
        let bodies = Rc::new(Bodies::default());
        let mut first = bodies.begin();
        let mut others: Vec<Reservation> = (0..15).map(|_| bodies.begin()).collect();
        let piece = 1 << 20;
        for _ in 0..16 {
            for other in &mut others {
                let _ = other.grow(piece).now_or_never();
            }
            assert!(first.grow(piece).now_or_never().is_some());
            assert!(bodies.held_bytes() <= ALL_BODIES_BYTES);
        }
        drop(first);
        assert!(others[0].grow(piece).now_or_never().is_some());
        drop(others);
        assert_eq!(bodies.held_bytes(), 0);
    }
}
