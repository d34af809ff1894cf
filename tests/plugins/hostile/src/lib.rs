//! A plugin that misbehaves on request: its setting `behaviour` says how. With `none` it syncs one user and one group.
#![cfg(target_family = "wasm")]

mod behaviour;

#[allow(
    missing_docs,
    clippy::pedantic,
    unsafe_code,
    unused_qualifications,
    reason = "generated code answers to its generator's taste"
)]
mod bindings {
    use super::Hostile;

    wit_bindgen::generate!({
        path: "../../../wit",
        world: "idsync:plugin/provider",
        generate_all,
    });
    export!(Hostile);
}

use bindings::exports::idsync::plugin::directory_sync::{
    Check, Guest, Normalized, Outcome, ProviderDescription, SettingProblem, SettingSpec, SyncRequest,
    SyncSummary, Verification,
};
use bindings::idsync::plugin::types::{Failure, Setting};

struct Hostile;

impl Guest for Hostile {
    fn describe() -> ProviderDescription {
        ProviderDescription {
            id: "hostile".to_owned(),
            name: "Hostile".to_owned(),
            version: "1.0.0".to_owned(),
            settings: vec![
                spec("behaviour", "What it does wrong", "none", "[a-z-]+", true),
                spec("host", "The host that it may reach", "localhost", ".*", false),
                spec(
                    "only_in_sync",
                    "Whether it behaves while it verifies",
                    "yes",
                    "yes",
                    false,
                ),
            ],
            key: None,
            hosts: vec!["{host}".to_owned()],
            permissions: Vec::new(),
            guide: Vec::new(),
            docs_url: None,
        }
    }

    fn normalize(settings: Vec<Setting>) -> Result<Normalized, Vec<SettingProblem>> {
        let settings = settings
            .into_iter()
            .map(|setting| Setting {
                value: setting.value.trim().to_lowercase(),
                name: setting.name,
            })
            .collect();
        Ok(Normalized {
            settings,
            notes: Vec::new(),
        })
    }

    fn verify(settings: Vec<Setting>) -> Verification {
        let behaves = settings.iter().any(|setting| setting.name == "only_in_sync");
        if !behaves {
            let _ = behaviour::show(&settings);
        }
        Verification {
            checks: vec![Check {
                id: "behaviour".to_owned(),
                title: "The plugin behaves".to_owned(),
                outcome: Outcome::Passed,
                detail: String::new(),
                hint: String::new(),
            }],
            org_id: None,
            scope: Vec::new(),
        }
    }

    fn sync(request: SyncRequest) -> Result<SyncSummary, Failure> {
        behaviour::show(&request.settings)
    }

    fn explain(_settings: Vec<Setting>, who: String) -> Result<Vec<Check>, Failure> {
        Ok(vec![Check {
            id: "who".to_owned(),
            title: who,
            outcome: Outcome::Passed,
            detail: String::new(),
            hint: String::new(),
        }])
    }
}

fn spec(name: &str, label: &str, placeholder: &str, pattern: &str, required: bool) -> SettingSpec {
    SettingSpec {
        name: name.to_owned(),
        label: label.to_owned(),
        help: String::new(),
        placeholder: placeholder.to_owned(),
        pattern: pattern.to_owned(),
        required,
        secret: false,
    }
}
