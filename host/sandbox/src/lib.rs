//! Runs plugins as WASI components on wasmtime, and is the port `Provider` over them.
//!
//! A [`Sandbox`] is one engine with its pool of instances and its cache of compiled components. It loads a [`Plugin`]
//! from a file: what is no component, imports what no plugin is given, was built against another world or describes
//! itself wrongly is refused there. [`Plugin::bind`] makes it the provider of one directory; each call then has an
//! instance, a store and [`Limits`] of its own, and whatever becomes of it ends that call and nothing else.
//!
//! What a run is for, and what becomes of the rows, is not known here.

mod bound;
mod cache;
mod call;
mod compile;
mod contract;
mod convert;
mod describe;
mod digest;
mod engine;
mod error;
mod fault;
mod limiter;
mod limits;
mod load;
mod meter;
mod plugin;
mod sandbox;
pub mod settings;
mod ticker;

pub use bound::{BoundPlugin, Grants};
pub use compile::{COMPILE_ARG, Compiling, compile_child_main};
pub use digest::Digest;
pub use error::{FileKind, SandboxError};
pub use fault::Fault;
pub use limits::{Limits, Pool};
pub use load::PLUGIN_BYTES;
pub use plugin::{Inspection, Plugin};
pub use sandbox::{Sandbox, Setup};
