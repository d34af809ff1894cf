//! An example of a provider: a directory that is one JSON document on a web server. `docs/plugin-authors.md` walks
//! through it.

pub mod document;
pub mod settings;

#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod http;
#[cfg(target_family = "wasm")]
mod plugin;
