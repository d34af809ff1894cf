//! Work of a known size, whose instructions `cargo xtask counts` counts.
//!
//! A program of this kind does the same whenever it runs: no clock, no random number, no other process. It says what it
//! has done by [`stretch`], which is where valgrind looks.

pub mod org;
pub mod pages;
pub mod store;
pub mod stretch;

mod host;
