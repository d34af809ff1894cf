//! The Okta provider of idsync: what is assigned to the apps that a service app can see is read and handed to the host.
//!
//! The logic is generic over [`host::Host`]; as a component it is bound to the contract in `wit/`.

#![allow(
    clippy::result_large_err,
    reason = "a failure ends the call, so that it is made and moved once"
)]

pub mod apps;
pub mod auth;
pub mod bodies;
pub mod client;
pub mod clock;
pub mod cursor;
pub mod describe;
pub mod domain;
pub mod explain;
pub mod failure;
pub mod guide;
pub mod hints;
pub mod host;
pub mod json;
pub mod link;
pub mod model;
mod notify;
pub mod okta_error;
pub mod org;
pub mod pace;
pub mod pages;
pub mod probe;
#[cfg(not(target_family = "wasm"))]
pub mod recordings;
pub mod report;
pub mod retry;
pub mod rows;
pub mod settings;
pub mod sync;
mod told;
pub mod verify;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

#[cfg(target_family = "wasm")]
mod executor;
#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
mod wasm_error;
#[cfg(target_family = "wasm")]
mod wasm_host;
