//! What `wit/` turns into: the traits that capabilities implement, and the calls that `sandbox` makes. A plugin that is
//! no component calls the same functions by these traits.

#[expect(missing_docs, reason = "the documentation of each item stands in `wit/`")]
#[allow(
    clippy::pedantic,
    unused_qualifications,
    reason = "generated code answers to its generator's taste"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "idsync:plugin/provider",
        imports: {
            // These wait for the store.
            "idsync:plugin/identity-store": async | trappable,
            "idsync:plugin/vault": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:random": wasmtime_wasi::p2::bindings::random,
            "wasi:http": wasmtime_wasi_http::p2::bindings::http,
            "idsync:plugin/key-store.signing-key": crate::keys::SigningKey,
        },
    });
}

pub use generated::exports::idsync::plugin::directory_sync;
pub use generated::idsync::plugin::{identity_store, key_store, log, timer, types, vault};
pub use generated::{Provider, ProviderIndices, ProviderPre};
