//! A component that exports `directory-sync` of another version of the contract.
#![cfg(target_family = "wasm")]

#[allow(
    missing_docs,
    clippy::pedantic,
    unsafe_code,
    unused_qualifications,
    reason = "generated code answers to its generator's taste"
)]
mod bindings {
    use super::FromTheFuture;

    wit_bindgen::generate!({
        inline: "
            package idsync:plugin@0.9.0;
            interface directory-sync {
                describe: func() -> string;
            }
            world provider {
                export directory-sync;
            }
        ",
    });
    export!(FromTheFuture);
}

struct FromTheFuture;

impl bindings::exports::idsync::plugin::directory_sync::Guest for FromTheFuture {
    fn describe() -> String {
        "from the future".to_owned()
    }
}
