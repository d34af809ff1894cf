//! A run from start to end: lease, mode, reading into staging or going on with it, plan, guard, apply or hold.
//!
//! [`Sync::run`] is the whole way; the stages in between are types, so that only what was read to its end is planned
//! and only what was planned and let through is applied. What a plugin puts is judged in [`staging`], what a plan may
//! delete in [`guard`].

pub mod again;
pub mod due;
mod error;
pub mod guard;
mod halt;
mod interrupt;
pub mod lease;
mod mend;
pub mod mode;
mod operations;
pub mod pick;
mod reading;
pub mod resume;
mod run;
pub mod scheduler;
mod spent;
mod stages;
pub mod staging;
mod text;
mod verify;

pub use error::EngineError;
pub use interrupt::Pulse;
pub use operations::{Cancel, PLAN_LASTS, PURGE_EVERY, approve, cancel, purge_if_due};
pub use run::{Random, ReadLimits, RunOrder, RunSignals, Sync};
pub use verify::{VerifyOrder, verify};
