//! End-to-end tests: the real binary runs the real component against a simulated org over TLS. One binary for all, so
//! that it is linked once.
//!
//! They need what `cargo xtask build` makes; `cargo xtask test` builds it first.

mod harness;

mod approvals;
mod bad_input;
mod broken_answers;
mod command_line;
mod crash;
mod example_plugin;
mod following;
mod guard;
mod hostile_plugins;
mod isolation;
mod keeping;
mod replaced_plugins;
mod rides_out;
mod secrets;
mod service;
mod setup;
mod syncing;
