//! The Okta provider of idsync: what is assigned to the apps that a service app can see is read and handed to the host.
//!
//! The logic is generic over [`host::Host`]; as a component it is bound to the contract in `wit/`.

pub mod describe;
pub mod domain;
pub mod failure;
pub mod guide;
pub mod host;
pub mod report;
pub mod settings;
pub mod sync;
pub mod verify;
pub mod explain;

#[cfg(target_family = "wasm")]
mod executor;
#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
mod wasm_host;
