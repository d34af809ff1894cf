//! Runs over the real store, with a provider that reads an org made for the test.

#![expect(
    clippy::unwrap_used,
    reason = "the whole crate is tests: what they need and lack fails them"
)]

mod aftermath;
mod answered;
mod clock;
mod ends;
mod guarded;
mod leases;
mod looks;
mod meanwhile;
mod modes;
mod org;
mod properties;
mod reads;
mod records;
mod resumed;
mod rows;
mod schedule;
mod scheduler;
mod sequences;
mod service;
mod setup;
mod world;
