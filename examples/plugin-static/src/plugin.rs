//! The provider: what the world `provider` asks of a plugin.

use crate::bindings::exports::idsync::plugin::directory_sync::{
    Check, Guest, GuideStep, Normalized, Outcome, ProviderDescription, SettingProblem, SettingSpec,
    SyncRequest, SyncSummary, Verification,
};
use crate::bindings::idsync::plugin::identity_store::{self, MembersVerdict, PagePart};
use crate::bindings::idsync::plugin::types::{Entity, ErrorKind, Failure, Setting};
use crate::bindings::idsync::plugin::{log, timer, vault};
use crate::document::{Document, User};
use crate::http;
use crate::settings::normalize_host;

/// Where the document lies on its host.
const PATH: &str = "/directory.json";

/// How many rows go over the boundary at once.
const BATCH: usize = 500;

/// The provider.
pub struct StaticDirectory;

impl Guest for StaticDirectory {
    fn describe() -> ProviderDescription {
        let setting = |name: &str, label: &str, help: &str, pattern: &str| SettingSpec {
            name: name.to_owned(),
            label: label.to_owned(),
            help: help.to_owned(),
            placeholder: String::new(),
            pattern: pattern.to_owned(),
            required: false,
            secret: false,
        };
        ProviderDescription {
            id: "static".to_owned(),
            name: "Static directory".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            settings: vec![
                SettingSpec {
                    required: true,
                    placeholder: "directory.example.com".to_owned(),
                    ..setting(
                        "host",
                        "Host",
                        "The web server that has the document at /directory.json.",
                        r"[a-z0-9.-]+(:[0-9]{1,5})?",
                    )
                },
                SettingSpec {
                    secret: true,
                    ..setting(
                        "token",
                        "Token",
                        "Sent as a bearer token, where the server asks for one.",
                        r"[!-~]+",
                    )
                },
            ],
            key: None,
            hosts: vec!["{host}".to_owned()],
            permissions: Vec::new(),
            guide: vec![GuideStep {
                title: "Publish the document".to_owned(),
                text: "Put `directory.json` on a web server that is reached by HTTPS.".to_owned(),
                fills: vec!["host".to_owned(), "token".to_owned()],
                shows_public_key: false,
            }],
            docs_url: None,
        }
    }

    fn normalize(settings: Vec<Setting>) -> Result<Normalized, Vec<SettingProblem>> {
        let mut normalized = Normalized {
            settings: Vec::new(),
            notes: Vec::new(),
        };
        let mut problems = Vec::new();
        for setting in settings {
            if setting.name != "host" {
                normalized.settings.push(setting);
                continue;
            }
            match normalize_host(&setting.value) {
                Ok((value, note)) => {
                    normalized.settings.push(Setting { value, ..setting });
                    normalized.notes.extend(note);
                }
                Err(problem) => problems.push(SettingProblem {
                    name: setting.name,
                    problem,
                }),
            }
        }
        if problems.is_empty() {
            Ok(normalized)
        } else {
            Err(problems)
        }
    }

    fn verify(settings: Vec<Setting>) -> Verification {
        let title = "The directory can be read";
        let check = match fetch(&settings) {
            Ok((document, _)) => Check {
                id: "document".to_owned(),
                title: title.to_owned(),
                outcome: Outcome::Passed,
                detail: format!(
                    "{} users and {} groups",
                    document.users.len(),
                    document.groups.len()
                ),
                hint: String::new(),
            },
            Err(failure) => Check {
                id: "document".to_owned(),
                title: title.to_owned(),
                outcome: Outcome::Failed,
                detail: failure.summary,
                hint: failure.hint,
            },
        };
        Verification {
            checks: vec![check],
            org_id: None,
            scope: Vec::new(),
        }
    }

    fn sync(request: SyncRequest) -> Result<SyncSummary, Failure> {
        let (document, read_at) = fetch(&request.settings)?;
        put_users(&document);
        put_groups(&document, read_at)?;
        Ok(SyncSummary {
            requests: 1,
            retries: 0,
            waited_ms: 0,
            notes: Vec::new(),
        })
    }

    fn explain(settings: Vec<Setting>, who: String) -> Result<Vec<Check>, Failure> {
        let (document, _) = fetch(&settings)?;
        let condition = |id: &str, title: &str, holds: bool, detail: String| Check {
            id: id.to_owned(),
            title: title.to_owned(),
            outcome: if holds { Outcome::Passed } else { Outcome::Failed },
            detail,
            hint: String::new(),
        };
        let user = document.find(&who);
        let mut checks = vec![condition(
            "listed",
            "The document lists this person",
            user.is_some(),
            user.map_or_else(
                || format!("nobody has `{who}` as id or address"),
                |user| format!("id {}", user.id),
            ),
        )];
        if let Some(user) = user {
            checks.push(condition(
                "active",
                "The person is active",
                user.active,
                String::new(),
            ));
            let address = user.address();
            checks.push(condition(
                "address",
                "The person has an address",
                address.is_some(),
                address.unwrap_or_default(),
            ));
        }
        Ok(checks)
    }
}

/// Reads the document, and answers it with the time of the answer.
fn fetch(settings: &[Setting]) -> Result<(Document, u64), Failure> {
    let host = settings
        .iter()
        .find(|setting| setting.name == "host")
        .map(|setting| setting.value.as_str())
        .ok_or_else(|| {
            failure(
                ErrorKind::InvalidSettings,
                "the setting `host` is missing",
                "Set `host`.",
            )
        })?;
    let token = vault::secret("token");
    let answer = http::get(host, PATH, token.as_deref())?;
    match answer.status {
        200 => {}
        401 => {
            return Err(failure(
                ErrorKind::Unauthorized,
                "the server does not take the token",
                "Set `token`.",
            ));
        }
        403 => {
            return Err(failure(
                ErrorKind::Forbidden,
                "the server refuses the document",
                "Allow it to be read.",
            ));
        }
        404 => {
            return Err(failure(
                ErrorKind::NotFound,
                "the server has no document",
                "Publish it at /directory.json.",
            ));
        }
        429 | 500..=599 => {
            let seen = format!("the server answered {}", answer.status);
            return Err(failure(ErrorKind::Unavailable, &seen, ""));
        }
        other => {
            let seen = format!("the server answered {other} in place of the document");
            return Err(failure(
                ErrorKind::Protocol,
                &seen,
                "Check what is served at /directory.json.",
            ));
        }
    }
    let document = Document::read(&answer.body).map_err(|problem| {
        let seen = format!("what the server sent is no directory: {problem}");
        failure(
            ErrorKind::Protocol,
            &seen,
            "Check what is served at /directory.json.",
        )
    })?;
    let read_at = answer.date.ok_or_else(|| {
        failure(
            ErrorKind::Protocol,
            "the server does not say its time in `Date`",
            "",
        )
    })?;
    Ok((document, read_at))
}

fn put_users(document: &Document) {
    for (batch, number) in document.users.chunks(BATCH).zip(0u64..) {
        let users: Vec<_> = batch.iter().filter_map(store_user).collect();
        identity_store::put_users(&users);
        let done = number * BATCH as u64 + batch.len() as u64;
        log::progress("users", done, Some(document.users.len() as u64));
    }
}

/// The user as the host takes it, or nothing when the record can't be synced: one bad record never stops a run.
fn store_user(user: &User) -> Option<identity_store::User> {
    let Some(email) = user.address() else {
        identity_store::skip(Entity::User, &user.id, "has no e-mail address");
        return None;
    };
    Some(identity_store::User {
        external_id: user.id.clone(),
        username: email.clone(),
        email,
        display_name: user.name.clone(),
        given_name: None,
        family_name: None,
        active: user.active,
        provider_status: if user.active { "active" } else { "inactive" }.to_owned(),
    })
}

fn put_groups(document: &Document, read_at: u64) -> Result<(), Failure> {
    for batch in document.groups.chunks(BATCH) {
        if timer::cancelled() {
            return Err(failure(ErrorKind::Cancelled, "the run was asked to end", ""));
        }
        let groups: Vec<_> = batch
            .iter()
            .map(|group| identity_store::Group {
                external_id: group.id.clone(),
                name: group.name.clone(),
                description: None,
                provider_kind: None,
                members_version: None,
            })
            .collect();
        let wanted = identity_store::put_groups(&groups);
        for (group, _) in batch.iter().zip(wanted).filter(|(_, is_wanted)| *is_wanted) {
            let whole = PagePart::FIRST | PagePart::LAST;
            let verdict = identity_store::put_members(&group.id, &group.members, read_at, whole);
            if verdict == MembersVerdict::ReadAgain {
                // The document is one answer: what it said once is what it says.
                identity_store::put_members(&group.id, &group.members, read_at, whole);
            }
        }
    }
    Ok(())
}

fn failure(kind: ErrorKind, summary: &str, hint: &str) -> Failure {
    Failure {
        kind,
        summary: format!("reading the directory failed: {summary}"),
        hint: hint.to_owned(),
        stage: "document".to_owned(),
        provider_code: None,
        request_id: None,
        retry_at: None,
    }
}
