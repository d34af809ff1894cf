//! Binds the logic to the contract: the component's exports.

#[allow(clippy::all, clippy::pedantic, reason = "generated from wit/")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "idsync:plugin/provider",
        // What is handed to the host is read where it lies: ids and names of a page stay in the page.
        ownership: Borrowing { duplicate_if_necessary: false },
        generate_all,
    });
}

pub(crate) use bindings::{idsync, wasi};

use bindings::exports::idsync::plugin::directory_sync as contract;
use bindings::idsync::plugin::types;

use crate::describe;
use crate::executor::block_on;
use crate::failure::{ErrorKind, Failure};
use crate::report::{Check, Mode, Outcome, SyncRequest};
use crate::settings::{self, Settings};
use crate::wasm_host::WasmHost;

struct Okta;

#[expect(unsafe_code, reason = "generated: the functions that the component exports")]
mod exported {
    use super::{Okta, bindings};
    bindings::export!(Okta with_types_in bindings);
}

fn pairs(settings: &[types::Setting]) -> impl Iterator<Item = (&str, &str)> {
    settings
        .iter()
        .map(|setting| (setting.name.as_str(), setting.value.as_str()))
}

impl contract::Guest for Okta {
    fn describe() -> contract::ProviderDescription {
        let description = describe::describe();
        contract::ProviderDescription {
            id: description.id.into(),
            name: description.name.into(),
            version: description.version.into(),
            settings: description
                .settings
                .into_iter()
                .map(|spec| contract::SettingSpec {
                    name: spec.name.into(),
                    label: spec.label.into(),
                    help: spec.help.into(),
                    placeholder: spec.placeholder.into(),
                    pattern: spec.pattern.into(),
                    required: spec.required,
                    secret: false,
                })
                .collect(),
            key: Some(contract::Algorithm::Rs256),
            hosts: description.hosts.map(String::from).into(),
            permissions: description
                .permissions
                .into_iter()
                .map(|permission| contract::Permission {
                    name: permission.name.into(),
                    why: permission.why.into(),
                })
                .collect(),
            guide: description
                .guide
                .into_iter()
                .map(|step| contract::GuideStep {
                    title: step.title.into(),
                    text: step.text.into(),
                    fills: step.fills.iter().map(|name| (*name).into()).collect(),
                    shows_public_key: step.shows_public_key,
                })
                .collect(),
            docs_url: Some(description.docs_url.into()),
        }
    }

    fn normalize(given: Vec<types::Setting>) -> Result<contract::Normalized, Vec<contract::SettingProblem>> {
        match settings::normalize(pairs(&given)) {
            Ok(normalized) => Ok(contract::Normalized {
                settings: normalized
                    .settings
                    .into_iter()
                    .map(|(name, value)| types::Setting { name, value })
                    .collect(),
                notes: normalized.notes,
            }),
            Err(problems) => Err(problems
                .into_iter()
                .map(|problem| contract::SettingProblem {
                    name: problem.name,
                    problem: problem.problem,
                })
                .collect()),
        }
    }

    fn verify(given: Vec<types::Setting>) -> contract::Verification {
        let host = WasmHost::new();
        let verification = block_on(crate::verify::verify(&host, Settings::read(pairs(&given))));
        contract::Verification {
            checks: verification.checks.into_iter().map(Into::into).collect(),
            org_id: verification.org_id,
            scope: verification.scope,
        }
    }

    fn sync(request: contract::SyncRequest) -> Result<contract::SyncSummary, types::Failure> {
        let settings = Settings::read(pairs(&request.settings))?;
        let order = SyncRequest {
            mode: match request.mode {
                contract::Mode::Full => Mode::Full,
                contract::Mode::Incremental => Mode::Incremental,
            },
            resume: request.resume,
            expected_org: request.expected_org,
        };
        let host = WasmHost::new();
        let summary = block_on(crate::sync::sync(&host, settings, order))?;
        Ok(contract::SyncSummary {
            requests: summary.requests,
            retries: summary.retries,
            waited_ms: summary.waited_ms,
            notes: summary.notes,
        })
    }

    fn explain(given: Vec<types::Setting>, who: String) -> Result<Vec<contract::Check>, types::Failure> {
        let settings = Settings::read(pairs(&given))?;
        let host = WasmHost::new();
        let checks = block_on(crate::explain::explain(&host, settings, &who))?;
        Ok(checks.into_iter().map(Into::into).collect())
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            kind: match failure.kind {
                ErrorKind::Unauthorized => types::ErrorKind::Unauthorized,
                ErrorKind::Forbidden => types::ErrorKind::Forbidden,
                ErrorKind::InvalidSettings => types::ErrorKind::InvalidSettings,
                ErrorKind::NotFound => types::ErrorKind::NotFound,
                ErrorKind::RateLimited => types::ErrorKind::RateLimited,
                ErrorKind::Unavailable => types::ErrorKind::Unavailable,
                ErrorKind::Protocol => types::ErrorKind::Protocol,
                ErrorKind::Deadline => types::ErrorKind::Deadline,
                ErrorKind::Cancelled => types::ErrorKind::Cancelled,
            },
            summary: failure.summary,
            hint: failure.hint,
            stage: failure.stage.into(),
            provider_code: failure.provider_code,
            request_id: failure.request_id,
            retry_at: failure.retry_at,
        }
    }
}

impl From<Check> for contract::Check {
    fn from(check: Check) -> Self {
        Self {
            id: check.id.into(),
            title: check.title,
            outcome: match check.outcome {
                Outcome::Passed => contract::Outcome::Passed,
                Outcome::Warning => contract::Outcome::Warning,
                Outcome::Failed => contract::Outcome::Failed,
                Outcome::Skipped => contract::Outcome::Skipped,
            },
            detail: check.detail,
            hint: check.hint,
        }
    }
}
