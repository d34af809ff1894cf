//! Faults of an answer that was good: rows that lack something, links that lead astray, listings that moved.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Link, okta_error};
use crate::faults::{FaultKind, NextTo};

/// Rows that a listing moved by, as the faults of a request say.
pub(crate) fn moved(faults: &[FaultKind]) -> isize {
    faults.iter().fold(0, |moved, fault| match fault {
        FaultKind::RepeatRow => moved - 1,
        FaultKind::MissRow => moved + 1,
        _ => moved,
    })
}

/// Whether a fault has to read the rows of the answer, so that they must not come compressed.
pub(crate) fn needs_rows(faults: &[FaultKind]) -> bool {
    faults.iter().any(|fault| {
        matches!(
            fault,
            FaultKind::WithoutId { .. }
                | FaultKind::WithoutEmbedded { .. }
                | FaultKind::ExtraFields { .. }
                | FaultKind::LongName { .. }
        )
    })
}

/// Spoils an answer.
pub(crate) fn spoil(answer: Answer, faults: &[FaultKind], domain: &str) -> Answer {
    faults
        .iter()
        .fold(answer, |answer, fault| spoil_once(answer, fault, domain))
}

fn spoil_once(mut answer: Answer, fault: &FaultKind, domain: &str) -> Answer {
    match fault {
        FaultKind::EmptyList => {
            (answer.body, answer.is_gzip) = (Bytes::from_static(b"[]"), false);
            if let Some(links) = &mut answer.links {
                links.next = None;
            }
        }
        FaultKind::EmptyPage => (answer.body, answer.is_gzip) = (Bytes::from_static(b"[]"), false),
        FaultKind::HugeHeader { bytes } => answer = answer.with("x-okta-padding", &"p".repeat(*bytes)),
        FaultKind::Next { to } => {
            if let Some(links) = &mut answer.links {
                let this = links.this.clone();
                links.next = Some(astray(
                    links.next.take().unwrap_or(this.clone()),
                    this,
                    *to,
                    domain,
                ));
            }
        }
        FaultKind::DropParameters { names } => {
            if let Some(links) = &mut answer.links {
                for link in [Some(&mut links.this), links.next.as_mut()].into_iter().flatten() {
                    link.query.retain(|(name, _)| !names.contains(name));
                }
            }
        }
        FaultKind::WithoutId { row } => {
            on_row(&mut answer, *row, |row| {
                row.remove("id");
            });
        }
        FaultKind::WithoutEmbedded { row } => {
            on_row(&mut answer, *row, |row| {
                row.remove("_embedded");
            });
        }
        FaultKind::ExtraFields { fields: count } => on_rows(&mut answer, |rows| {
            for row in rows.iter_mut().filter_map(Value::as_object_mut) {
                for n in 0..*count {
                    row.insert(format!("customAttribute{n}"), json!({ "value": n, "note": null }));
                }
            }
        }),
        FaultKind::LongName { bytes } => on_row(&mut answer, 0, |row| {
            // Two bytes each, after one of one byte: no cut at an even number of bytes hits a boundary.
            let name = format!("n{}", "é".repeat(bytes / 2));
            for profile in profiles(row) {
                for field in ["firstName", "lastName", "displayName", "name"] {
                    if profile.contains_key(field) {
                        profile.insert(field.to_owned(), Value::from(name.clone()));
                    }
                }
            }
        }),
        FaultKind::TooLarge { over, status } => {
            let asked = answer.links.as_ref().and_then(|links| {
                links
                    .this
                    .query
                    .iter()
                    .find(|(name, _)| name == "limit")
                    .and_then(|(_, limit)| limit.parse().ok())
            });
            if asked.is_some_and(|limit: usize| limit > *over) {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::GATEWAY_TIMEOUT);
                answer = okta_error(status, "E0000009", "Internal Server Error", &[]);
            }
        }
        _ => {}
    }
    answer
}

fn astray(next: Link, this: Link, to: NextTo, domain: &str) -> Link {
    let instead = |with: &str| Link {
        url: next.url.replacen(&format!("https://{domain}"), with, 1),
        ..next.clone()
    };
    let host = domain.split(':').next().unwrap_or(domain);
    match to {
        NextTo::OtherHost => instead("https://evil.example"),
        NextTo::OtherPort => instead(&format!("https://{host}:1")),
        NextTo::OtherScheme => instead(&format!("http://{domain}")),
        NextTo::Itself => this,
        NextTo::First => Link {
            query: this
                .query
                .into_iter()
                .filter(|(name, _)| name != "after")
                .collect(),
            ..this
        },
        NextTo::Nonsense => Link {
            url: "::not a url::".to_owned(),
            query: Vec::new(),
        },
        NextTo::BadCursor => {
            let mut query: Vec<_> = next
                .query
                .into_iter()
                .filter(|(name, _)| name != "after")
                .collect();
            query.insert(0, ("after".to_owned(), "stale-cursor".to_owned()));
            Link { query, ..next }
        }
    }
}

/// The profile of a row, and of what is embedded in it.
fn profiles(row: &mut serde_json::Map<String, Value>) -> Vec<&mut serde_json::Map<String, Value>> {
    let mut found = Vec::new();
    for (name, value) in row.iter_mut() {
        match name.as_str() {
            "profile" => found.extend(value.as_object_mut()),
            "_embedded" => {
                let inner = value.as_object_mut().into_iter().flat_map(|all| all.values_mut());
                found.extend(inner.filter_map(|one| one.get_mut("profile").and_then(Value::as_object_mut)));
            }
            _ => {}
        }
    }
    found
}

fn on_row(answer: &mut Answer, n: usize, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    on_rows(answer, |rows| {
        if let Some(row) = rows.get_mut(n).and_then(Value::as_object_mut) {
            change(row);
        }
    });
}

fn on_rows(answer: &mut Answer, change: impl FnOnce(&mut Vec<Value>)) {
    if let Ok(Value::Array(mut rows)) = serde_json::from_slice(&answer.body) {
        change(&mut rows);
        answer.body = Value::Array(rows).to_string().into();
    }
}
