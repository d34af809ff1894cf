//! The bodies that are read and not yet decoded: no more of them than the component's memory can hold.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::notify::Notify;

/// All bodies together (DESIGN §5).
pub const ALL_BODIES_BYTES: usize = 32 << 20;
/// One body: what the host takes after decompression.
pub const ONE_BODY_BYTES: usize = 16 << 20;
/// Before a piece of a body is read, room is made for this much.
pub const PIECE_BYTES: usize = 256 << 10;
/// All bodies but the one that was begun first: beside them there is always room for it, also for the piece that makes it
/// too large and the one that might follow.
const OTHER_BODIES_BYTES: usize = ALL_BODIES_BYTES - ONE_BODY_BYTES - 2 * PIECE_BYTES;

/// Counts the bytes of the bodies that are held.
///
/// The body that was begun first may always grow, up to the whole; the others stop where it would no longer fit beside
/// them. So there is always one that comes to its end, and makes room for the rest.
#[derive(Debug, Default)]
pub struct Bodies {
    held_bytes: Cell<usize>,
    next_ticket: Cell<u64>,
    being_read: RefCell<BTreeSet<u64>>,
    /// By stage, the room that its next body is likely to need.
    likely_bytes: RefCell<BTreeMap<&'static str, usize>>,
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

    /// The room for a body of this stage, judging by those before it. None is known before there was a large one.
    fn likely_bytes(&self, stage: &'static str) -> usize {
        self.likely_bytes.borrow().get(stage).copied().unwrap_or(0)
    }

    /// Learns from a body. The next may be somewhat larger: it would be moved for the sake of a few bytes. One that is
    /// much smaller, such as a listing's last page, says little of those that follow.
    fn learn(&self, stage: &'static str, bytes: usize) {
        let before = self.likely_bytes(stage);
        let likely = (bytes + bytes / 8).max(before - before / 8).min(ONE_BODY_BYTES);
        self.likely_bytes.borrow_mut().insert(stage, likely);
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
                OTHER_BODIES_BYTES
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

/// A body that comes in pieces.
///
/// What counts is the room that it has, not how much of that is filled, and room is waited for before it is taken: so all
/// bodies stay within their bound however much is reserved for them. Only what a body is moved out of does not count, for as
/// long as that takes, and no two bodies are moved at once. Of one that is as large as those before it, that is one piece.
#[derive(Debug)]
pub struct Gathering {
    bytes: Vec<u8>,
    pieces: usize,
    stage: &'static str,
    reservation: Reservation,
}

impl Gathering {
    /// Nothing yet of a body of this stage.
    pub fn begin(bodies: &Rc<Bodies>, stage: &'static str) -> Self {
        Self {
            bytes: Vec::new(),
            pieces: 0,
            stage,
            reservation: bodies.begin(),
        }
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing so far.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Waits until another piece may be read.
    pub async fn make_room(&mut self) {
        self.reservation.grow(PIECE_BYTES).await;
    }

    /// Adds a piece for which room was made. The first is taken as it is, which for most bodies is all. The second is given
    /// room for all that is likely to come, so that what came before is moved once rather than again and again.
    pub async fn add(&mut self, piece: Vec<u8>) {
        self.pieces += 1;
        if self.bytes.is_empty() {
            self.bytes = piece;
        } else {
            self.make_room_for(piece.len()).await;
            self.bytes.extend_from_slice(&piece);
        }
        self.reservation.settle(self.bytes.capacity());
    }

    async fn make_room_for(&mut self, more: usize) {
        let (needed, had) = (self.bytes.len() + more, self.bytes.capacity());
        if needed <= had {
            return;
        }
        let likely = self.reservation.bodies.likely_bytes(self.stage);
        let room = likely.max(2 * had).min(ONE_BODY_BYTES).max(needed);
        self.reservation.grow(room - had).await;
        self.bytes.reserve_exact(room - self.bytes.len());
    }

    /// The body has come to its end. It counts until the reservation is dropped.
    pub fn complete(mut self) -> (Vec<u8>, Reservation) {
        if self.pieces > 1 {
            self.reservation.bodies.learn(self.stage, self.bytes.len());
        }
        self.reservation.complete(self.bytes.capacity());
        (self.bytes, self.reservation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    const STAGE: &str = "users";

    /// Adds a piece; says whether there was room for it.
    fn add(body: &mut Gathering, bytes: usize) -> bool {
        body.make_room().now_or_never().is_some() && body.add(vec![b' '; bytes]).now_or_never().is_some()
    }

    fn gathered(bodies: &Rc<Bodies>, pieces: usize) -> Gathering {
        let mut body = Gathering::begin(bodies, STAGE);
        for _ in 0..pieces {
            assert!(add(&mut body, 64 << 10));
        }
        body
    }

    #[test]
    fn a_body_of_one_piece_is_that_piece() {
        let bodies = Rc::new(Bodies::default());
        let mut body = Gathering::begin(&bodies, STAGE);
        let piece = vec![b'x'; 5000];
        let place = piece.as_ptr();
        assert!(body.add(piece).now_or_never().is_some());
        let (bytes, reservation) = body.complete();
        assert_eq!((bytes.as_ptr(), bodies.held_bytes()), (place, bytes.capacity()));
        drop(reservation);
        assert_eq!(bodies.held_bytes(), 0);
    }

    #[test]
    fn a_body_like_the_one_before_it_is_moved_once() {
        let bodies = Rc::new(Bodies::default());
        drop(gathered(&bodies, 20).complete());
        let mut body = gathered(&bodies, 2);
        let room = body.bytes.capacity();
        for _ in 2..22 {
            assert!(add(&mut body, 64 << 10));
        }
        assert_eq!((body.bytes.capacity(), bodies.held_bytes()), (room, room));
        assert!(room < 25 * (64 << 10), "{room}");
        // Small ones say nothing of the large ones.
        drop(gathered(&bodies, 1).complete());
        drop(gathered(&bodies, 2).complete());
        assert!(gathered(&bodies, 2).bytes.capacity() > 17 * (64 << 10));
    }

    #[test]
    fn room_that_is_not_filled_counts_and_the_first_still_always_goes_on() {
        let bodies = Rc::new(Bodies::default());
        drop(gathered(&bodies, 20).complete());
        let mut first = gathered(&bodies, 1);
        let mut others: Vec<Gathering> = (0..15).map(|_| Gathering::begin(&bodies, STAGE)).collect();
        for _ in 0..40 {
            for other in &mut others {
                let _ = add(other, 64 << 10);
            }
            let room = |body: &Gathering| body.bytes.capacity();
            assert!(others.iter().map(room).sum::<usize>() <= OTHER_BODIES_BYTES);
        }
        while first.len() < ONE_BODY_BYTES {
            assert!(add(&mut first, 64 << 10));
            assert!(bodies.held_bytes() <= ALL_BODIES_BYTES);
        }
        drop((first, others));
        assert_eq!(bodies.held_bytes(), 0);
    }

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
