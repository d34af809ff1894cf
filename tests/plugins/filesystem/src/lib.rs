//! A plugin that reads a file of the host: it imports the file system, and so is never loaded.
#![cfg(target_family = "wasm")]

#[allow(
    missing_docs,
    clippy::pedantic,
    unsafe_code,
    unused_qualifications,
    reason = "generated code answers to its generator's taste"
)]
mod bindings {
    use super::Curious;

    wit_bindgen::generate!({
        path: "../../../wit",
        world: "idsync:plugin/provider",
        generate_all,
    });
    export!(Curious);
}

use bindings::exports::idsync::plugin::directory_sync::{
    Check, Guest, Normalized, ProviderDescription, SettingProblem, SyncRequest, SyncSummary, Verification,
};
use bindings::idsync::plugin::types::{Failure, Setting};

struct Curious;

impl Guest for Curious {
    fn describe() -> ProviderDescription {
        ProviderDescription {
            id: "curious".to_owned(),
            name: std::fs::read_to_string("/etc/hostname").unwrap_or_default(),
            version: "1.0.0".to_owned(),
            settings: Vec::new(),
            key: None,
            hosts: Vec::new(),
            permissions: Vec::new(),
            guide: Vec::new(),
            docs_url: None,
        }
    }

    fn normalize(settings: Vec<Setting>) -> Result<Normalized, Vec<SettingProblem>> {
        Ok(Normalized {
            settings,
            notes: Vec::new(),
        })
    }

    fn verify(_settings: Vec<Setting>) -> Verification {
        Verification {
            checks: Vec::new(),
            org_id: None,
            scope: Vec::new(),
        }
    }

    fn sync(_request: SyncRequest) -> Result<SyncSummary, Failure> {
        Ok(SyncSummary {
            requests: 0,
            retries: 0,
            waited_ms: 0,
            notes: Vec::new(),
        })
    }

    fn explain(_settings: Vec<Setting>, _who: String) -> Result<Vec<Check>, Failure> {
        Ok(Vec::new())
    }
}
