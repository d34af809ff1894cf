//! idsync: the crates of the host put together.
//!
//! [`app::App`] opens a data directory and lends the rest what it needs; [`operation`] has one function for each thing
//! that can be done; [`cli`] reads arguments, calls an operation and prints its answer.

pub mod app;
pub mod binding;
pub mod cli;
mod duration;
pub mod error;
pub mod operation;
pub mod serve;
mod vault;

pub use idsync_sandbox::{COMPILE_ARG, compile_child_main};
