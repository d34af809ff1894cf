//! Between the contract's types and those of the model. What people will read is made harmless on the way.

use std::time::Duration;

use idsync_capability::{cleaned, directory_sync as wit, types};
use idsync_model::{
    Check, CheckOutcome, Description, ErrorKind, Failure, GuideStep, KeyAlgorithm, Mode, Normalized,
    Permission, SettingProblem, SettingSpec, Settings, SyncRequest, SyncSummary, Verification,
};

/// Characters of a word: an id, a stage, a code.
const WORD_CHARS: usize = 200;
/// Characters of a sentence or two.
const TEXT_CHARS: usize = 2_000;
/// Characters of the id of an organisation, or of a part of one.
const ORG_ID_CHARS: usize = 255;
/// Parts of an organisation.
const SCOPE_ITEMS: usize = 10_000;
/// Checks and problems of one answer.
const LIST_ITEMS: usize = 1_000;
/// Remarks of one run: they are kept with it.
const NOTES: usize = 100;

fn word(text: &str) -> String {
    cleaned(text, WORD_CHARS)
}

fn text(text: &str) -> String {
    cleaned(text, TEXT_CHARS)
}

fn notes(said: &[String]) -> Vec<String> {
    said.iter().take(NOTES).map(|note| text(note)).collect()
}

pub(crate) fn to_settings(settings: &Settings) -> Vec<types::Setting> {
    settings
        .0
        .iter()
        .map(|(name, value)| types::Setting {
            name: name.clone(),
            value: value.clone(),
        })
        .collect()
}

pub(crate) fn to_request(request: &SyncRequest) -> wit::SyncRequest {
    wit::SyncRequest {
        settings: to_settings(&request.settings),
        mode: match request.mode {
            Mode::Full => wit::Mode::Full,
            Mode::Incremental => wit::Mode::Incremental,
        },
        resume: request.resume.clone(),
        expected_org: request.expected_org.clone(),
    }
}

pub(crate) fn description(said: wit::ProviderDescription) -> Description {
    Description {
        id: said.id,
        name: said.name,
        version: said.version,
        settings: said
            .settings
            .into_iter()
            .map(|setting| SettingSpec {
                name: setting.name,
                label: setting.label,
                help: setting.help,
                placeholder: setting.placeholder,
                pattern: setting.pattern,
                required: setting.required,
                secret: setting.secret,
            })
            .collect(),
        key: said.key.map(|algorithm| match algorithm {
            wit::Algorithm::Rs256 => KeyAlgorithm::Rs256,
            wit::Algorithm::Es256 => KeyAlgorithm::Es256,
        }),
        hosts: said.hosts,
        permissions: said
            .permissions
            .into_iter()
            .map(|permission| Permission {
                name: permission.name,
                why: permission.why,
            })
            .collect(),
        guide: said
            .guide
            .into_iter()
            .map(|step| GuideStep {
                title: step.title,
                text: step.text,
                fills: step.fills,
                shows_public_key: step.shows_public_key,
            })
            .collect(),
        docs_url: said.docs_url,
    }
}

pub(crate) fn normalized(
    said: Result<wit::Normalized, Vec<wit::SettingProblem>>,
) -> Result<Normalized, Vec<SettingProblem>> {
    match said {
        Ok(normalized) => Ok(Normalized {
            settings: normalized
                .settings
                .into_iter()
                .map(|setting| (setting.name, setting.value))
                .collect(),
            notes: notes(&normalized.notes),
        }),
        Err(problems) => Err(problems
            .into_iter()
            .take(LIST_ITEMS)
            .map(|problem| SettingProblem {
                name: word(&problem.name),
                problem: text(&problem.problem),
            })
            .collect()),
    }
}

pub(crate) fn checks(said: Vec<wit::Check>) -> Vec<Check> {
    said.into_iter()
        .take(LIST_ITEMS)
        .map(|check| Check {
            id: word(&check.id),
            title: text(&check.title),
            outcome: match check.outcome {
                wit::Outcome::Passed => CheckOutcome::Passed,
                wit::Outcome::Warning => CheckOutcome::Warning,
                wit::Outcome::Failed => CheckOutcome::Failed,
                wit::Outcome::Skipped => CheckOutcome::Skipped,
            },
            detail: text(&check.detail),
            hint: text(&check.hint),
        })
        .collect()
}

pub(crate) fn verification(said: wit::Verification) -> Verification {
    Verification {
        checks: checks(said.checks),
        org_id: said.org_id.map(|id| cleaned(&id, ORG_ID_CHARS)),
        scope: said
            .scope
            .iter()
            .take(SCOPE_ITEMS)
            .map(|part| cleaned(part, ORG_ID_CHARS))
            .collect(),
    }
}

pub(crate) fn summary(said: &wit::SyncSummary) -> SyncSummary {
    SyncSummary {
        requests: said.requests,
        retries: said.retries,
        waited: Duration::from_millis(said.waited_ms),
        notes: notes(&said.notes),
    }
}

pub(crate) fn failure(said: &types::Failure) -> Failure {
    Failure {
        kind: match said.kind {
            types::ErrorKind::Unauthorized => ErrorKind::Unauthorized,
            types::ErrorKind::Forbidden => ErrorKind::Forbidden,
            types::ErrorKind::InvalidSettings => ErrorKind::InvalidSettings,
            types::ErrorKind::NotFound => ErrorKind::NotFound,
            types::ErrorKind::RateLimited => ErrorKind::RateLimited,
            types::ErrorKind::Unavailable => ErrorKind::Unavailable,
            types::ErrorKind::Protocol => ErrorKind::Protocol,
            types::ErrorKind::Deadline => ErrorKind::Deadline,
            types::ErrorKind::Cancelled => ErrorKind::Cancelled,
        },
        summary: text(&said.summary),
        hint: text(&said.hint),
        stage: word(&said.stage),
        provider_code: said.provider_code.as_deref().map(word),
        request_id: said.request_id.as_deref().map(word),
        retry_at: said.retry_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_an_organisation_and_its_parts_are_bounded_and_harmless() {
        let org_id = |said: &str| {
            let verified = verification(wit::Verification {
                checks: Vec::new(),
                org_id: Some(said.to_owned()),
                scope: vec![said.to_owned(); SCOPE_ITEMS + 1],
            });
            let org_id = verified.org_id.expect("one was said");
            assert_eq!(verified.scope, vec![org_id.clone(); SCOPE_ITEMS]);
            org_id
        };
        assert_eq!(org_id("00o1abcd"), "00o1abcd");
        assert_eq!(org_id(&"x".repeat(1 << 10)).chars().count(), ORG_ID_CHARS);
        assert_eq!(org_id("00o\u{1b}[2J"), "00o\u{fffd}[2J");
    }
}
