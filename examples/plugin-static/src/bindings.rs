//! What wit-bindgen makes of `wit/`, and the export of the provider.
#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    missing_docs,
    unsafe_code,
    unused_qualifications,
    reason = "the code is generated"
)]

use crate::plugin::StaticDirectory;

wit_bindgen::generate!({ path: "../../wit", world: "provider", generate_all });

export!(StaticDirectory);
