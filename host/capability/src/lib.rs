//! What a plugin is given, and nothing besides: egress, keys, vault, timer, staging, log, and a little of WASI.
//!
//! Each capability is one module of one shape: a context for one call (`…Ctx`), the view by which a wasmtime store's
//! state lends it (`…View`), the bindings' `Host` trait over it, its limits, `add_to_linker`. [`add_all_to_linker`] is
//! the whole list; [`Granted`] holds the contexts of one call.

pub mod bindings;
mod boundary;
mod call;
pub mod egress;
mod error;
pub mod keys;
pub mod log;
mod powers;
pub mod staging;
mod text;
pub mod timer;
pub mod vault;
pub mod wasi;

pub use bindings::{Provider, ProviderIndices, ProviderPre, directory_sync, types};
pub use call::CallKind;
pub use error::CapabilityError;
pub use powers::{Granted, Powers, add_all_to_linker};
pub use text::{cleaned, is_harmless};
