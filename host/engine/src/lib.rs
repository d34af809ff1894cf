//! A run from start to end: lock, mode, reading into staging, plan, guard, apply or hold.
//!
//! [`Sync::run`] is the whole way; the stages in between are types, so that only what was read to its end is planned
//! and only what was planned and let through is applied. What a plugin puts is judged in [`staging`], what a plan may
//! delete in [`guard`].

pub mod again;
pub mod due;
mod error;
pub mod guard;
mod halt;
pub mod lock;
mod mend;
pub mod mode;
pub mod pick;
mod reading;
mod remove;
mod run;
mod stages;
pub mod staging;
mod text;
mod verify;

pub use error::EngineError;
pub use remove::remove;
pub use run::{ReadLimits, RunOrder, RunSignals, Sync};
pub use verify::{VerifyOrder, verify};
