//! Reads recorded answers of real orgs with the plugin's own types: `cargo xtask recordings DIR`. Only built natively.
//!
//! A folder holds an `index.json` with `entries`, each naming a `file`, a `category`, the `method`, the `query` and the
//! `status`; each file holds the `response` with its `headers` (names to lists of values) and its `body` or `body_text`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::clock::date_ms;
use crate::domain::Domain;
use crate::host::Headers;
use crate::link::{next_url, target_within};
use crate::model::{App, AppGroup, AppUser, Group, Row, TokenGrant, User};
use crate::okta_error::OktaError;
use crate::pace::RateLimit;
use crate::rows;

/// Why a folder can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum RecordingsError {
    /// A file can't be read.
    #[error("reading {path}: check that the folder holds recordings")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not of the shape of a recording.
    #[error("reading {path} as a recording: check the folder's index.json")]
    Shape {
        /// The file.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// What became of the recordings of one category.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Category {
    /// Answers that were read.
    pub read: u32,
    /// Rows in them.
    pub rows: u64,
    /// Links to a next page that were understood.
    pub next_links: u32,
    /// Answers whose rate-limit headers were read.
    pub rate_limits: u32,
    /// Answers of which the plugin asks for nothing like them, by their categories.
    pub never_met: u32,
    /// Files that failed, and why.
    pub failed: Vec<(String, String)>,
}

/// What became of a folder of recordings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// By category.
    pub categories: BTreeMap<String, Category>,
}

impl Report {
    /// Whether everything that the plugin could meet was read.
    pub fn is_clean(&self) -> bool {
        self.categories
            .values()
            .all(|category| category.failed.is_empty())
    }
}

#[derive(Deserialize)]
struct Index {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    file: String,
    category: String,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    status: u16,
}

#[derive(Deserialize)]
struct Recording {
    request: Request,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    url: String,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    body_text: Option<String>,
}

fn load<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, RecordingsError> {
    let shown = || path.display().to_string();
    let text = fs::read(path).map_err(|source| RecordingsError::Io {
        path: shown(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| RecordingsError::Shape {
        path: shown(),
        source,
    })
}

/// Reads every recording of a folder.
pub fn check(folder: &Path) -> Result<Report, RecordingsError> {
    let index: Index = load(&folder.join("index.json"))?;
    let mut report = Report::default();
    for entry in index.entries {
        let recording: Recording = load(&folder.join(&entry.file))?;
        let category = report.categories.entry(entry.category.clone()).or_default();
        match read(&entry, &recording, category) {
            Ok(()) => category.read += 1,
            Err(why) => category.failed.push((entry.file, why)),
        }
    }
    Ok(report)
}

fn read(entry: &Entry, recording: &Recording, category: &mut Category) -> Result<(), String> {
    let response = &recording.response;
    let headers = Headers(
        response
            .headers
            .iter()
            .flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone())))
            .collect(),
    );
    let body = match (&response.body, &response.body_text) {
        (Some(body), _) => body.to_string().into_bytes(),
        (None, Some(text)) => text.clone().into_bytes(),
        (None, None) => Vec::new(),
    };
    read_headers(&headers, &recording.request.url, category)?;
    if entry.status >= 400 {
        let error = OktaError::read(&headers, &body);
        return match error.code {
            Some(_) => Ok(()),
            None => Err("no error code was found in it".to_owned()),
        };
    }
    match read_body(entry, &body) {
        None => category.never_met += 1,
        Some(Ok(rows)) => category.rows += rows,
        Some(Err(error)) => return Err(error.to_string()),
    }
    Ok(())
}

fn read_headers(headers: &Headers, url: &str, category: &mut Category) -> Result<(), String> {
    if headers.get("date").is_some() && date_ms(headers).is_none() {
        return Err("its date can't be read".to_owned());
    }
    if headers.get("x-rate-limit-limit").is_some() {
        RateLimit::read(headers).ok_or("its rate-limit headers can't be read")?;
        category.rate_limits += 1;
    }
    if let Some(next) = next_url(headers)? {
        // The address of the request was made anonymous in some, and that of the page itself was not.
        let own = headers.all("link").find(|link| link.contains("rel=\"self\""));
        let url = own.map_or(url, |link| link.trim_start_matches('<'));
        let host = url
            .trim_start_matches("https://")
            .split('/')
            .next()
            .unwrap_or_default();
        target_within(&next, &Domain::from_normalized(host))
            .map_err(|why| format!("its next link: {why}"))?;
        category.next_links += 1;
    } else if headers.all("link").any(|link| link.contains("rel=\"next\"")) {
        return Err("its next link was not found".to_owned());
    }
    Ok(())
}

type Rows = Result<u64, serde_json::Error>;

/// The rows of a body, or nothing where the plugin asks for nothing of the kind.
fn read_body(entry: &Entry, body: &[u8]) -> Option<Rows> {
    let expands = entry.query.contains_key("expand");
    Some(match entry.category.as_str() {
        "oauth2-token" => one::<TokenGrant>(body),
        "apps-list" => list::<App<'_>>(body),
        "app-oidc" => one::<App<'_>>(body),
        "app-users-list" if expands => app_users(body),
        "app-groups-list" if expands => list::<AppGroup<'_>>(body),
        "users-list" | "group-users-list" | "resource-call-with-dpop-token" => list::<User<'_>>(body),
        "groups-list" | "user-groups-list" | "groups-list-active-directory" => groups(body),
        // Without `expand` only the ids count; such answers come to a probe, or to `explain`.
        "app-users-list" | "app-groups-list" => list::<Row<'_>>(body),
        "app-user" | "app-group" => one::<Row<'_>>(body),
        "user" => one::<User<'_>>(body),
        "group" => one::<Group<'_>>(body),
        _ => return None,
    })
}

fn one<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Rows {
    serde_json::from_slice::<T>(body).map(|_| 1)
}

fn list<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Rows {
    serde_json::from_slice::<Vec<T>>(body).map(|rows| rows.len() as u64)
}

fn app_users(body: &[u8]) -> Rows {
    let users: Vec<AppUser<'_>> = serde_json::from_slice(body)?;
    for user in &users {
        // A user without an address has no row, and is no fault of the recording.
        let _ = rows::user(&user.id.0, &user.embedded.user);
    }
    Ok(users.len() as u64)
}

fn groups(body: &[u8]) -> Rows {
    let groups: Vec<Group<'_>> = serde_json::from_slice(body)?;
    for group in &groups {
        let row = rows::group(&group.id.0, group);
        if group.last_membership_updated.trimmed().is_some() && row.members_changed_at.is_none() {
            return Err(serde::de::Error::custom("lastMembershipUpdated can't be read"));
        }
    }
    Ok(groups.len() as u64)
}
