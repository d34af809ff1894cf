//! The control API: plain HTTP on loopback, JSON in and out. What it offers is in the README.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::change::Change;
use crate::changing;
use crate::expected;
use crate::faults::Fault;
use crate::ids::Dice;
use crate::org::Org;
use crate::sim::{SimInfo, keys, warm};
use crate::state::{State, lock, read, write};

/// Serves the control API until `stop` says so.
pub(crate) async fn run(
    listener: TcpListener,
    state: Arc<State>,
    info: SimInfo,
    mut stop: watch::Receiver<bool>,
) {
    let info = Arc::new(info);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|is_over| *is_over) => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (state, info, mut stop) = (Arc::clone(&state), Arc::clone(&info), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| respond(Arc::clone(&state), Arc::clone(&info), request));
            let builder = auto::Builder::new(TokioExecutor::new());
            tokio::select! {
                _ = builder.serve_connection(TokioIo::new(stream), service) => {}
                _ = stop.wait_for(|is_over| *is_over) => {}
            }
        });
    }
}

/// What a control request answers.
enum Told {
    Json(Value),
    Lines(String),
    Done,
    /// What was wrong with the request.
    Refused(String),
    NoSuchPath,
}

async fn respond(
    state: Arc<State>,
    info: Arc<SimInfo>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let told = tell(
        &state,
        &info,
        parts.method.as_str(),
        parts.uri.path(),
        query,
        &body,
    );
    let (status, kind, body) = match told.unwrap_or_else(Told::Refused) {
        Told::Json(value) => (StatusCode::OK, "application/json", value.to_string()),
        Told::Lines(lines) => (StatusCode::OK, "application/x-ndjson", lines),
        Told::Done => (
            StatusCode::OK,
            "application/json",
            json!({ "done": true }).to_string(),
        ),
        Told::Refused(why) => (
            StatusCode::BAD_REQUEST,
            "application/json",
            json!({ "error": why }).to_string(),
        ),
        Told::NoSuchPath => {
            let why = json!({ "error": "no such path of the control API: see tests/sim/README.md" });
            (StatusCode::NOT_FOUND, "application/json", why.to_string())
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static(kind));
    Ok(response)
}

/// Either one thing or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    More(Vec<T>),
    One(T),
}

impl<T> OneOrMore<T> {
    fn all(self) -> Vec<T> {
        match self {
            Self::More(more) => more,
            Self::One(one) => vec![one],
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    skew_secs: Option<i64>,
    freeze_at: Option<i64>,
    advance_secs: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation {
    seed: u64,
    steps: usize,
}

fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body)
        .map_err(|error| format!("reading the body: {error}; see tests/sim/README.md"))
}

fn shown(value: impl serde::Serialize) -> Result<Told, String> {
    serde_json::to_value(value)
        .map(Told::Json)
        .map_err(|error| format!("writing the answer: {error}"))
}

fn tell(
    state: &State,
    info: &SimInfo,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
) -> Result<Told, String> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (method, parts.as_slice()) {
        ("GET", ["info"]) => shown(info),
        ("PUT" | "POST", ["jwk"]) => {
            let text = std::str::from_utf8(body).map_err(|_| "reading the key: it is no text".to_owned())?;
            let mut new = keys(text).map_err(|error| format!("{error:#}"))?;
            let mut held = write(&state.keys);
            if method == "PUT" {
                held.clear();
            }
            held.append(&mut new);
            Ok(Told::Done)
        }
        ("DELETE", ["jwk"]) => {
            write(&state.keys).clear();
            Ok(Told::Done)
        }
        ("GET", ["settings"]) => shown(state.settings()),
        ("PATCH" | "PUT", ["settings"]) => {
            let wanted: Value = parsed(body)?;
            let patched = state.settings().patched(&wanted);
            let patched = patched.map_err(|error| format!("setting: {error}; see tests/sim/README.md"))?;
            state.set(|held| held.clone_from(&patched));
            shown(patched)
        }
        ("GET", ["users"]) => shown(users(&read(&state.org), query)),
        ("GET", ["groups"]) => shown(groups(&read(&state.org))),
        ("GET", ["apps"]) => shown(apps(&read(&state.org))),
        ("POST", ["changes"]) => {
            let changes: OneOrMore<Change> = parsed(body)?;
            let ids: Result<Vec<_>, _> = changes
                .all()
                .iter()
                .map(|change| changing::apply(state, change))
                .collect();
            let ids = ids.map_err(|error| error.to_string())?;
            Ok(Told::Json(json!({ "ids": ids })))
        }
        ("POST", ["mutate"]) => {
            let Mutation { seed, steps } = parsed(body)?;
            shown(changing::mutate(state, &mut Dice::new(seed), steps))
        }
        ("GET", ["expected"]) => Ok(Told::Lines(expected::lines(&read(&state.org), &state.settings()))),
        ("GET", ["requests"]) => shown(lock(&state.log).requests()),
        ("GET", ["counters"]) => shown(lock(&state.log).counters()),
        ("DELETE", ["requests" | "counters"]) => {
            lock(&state.log).clear();
            Ok(Told::Done)
        }
        ("PUT" | "POST", ["clock"]) => {
            let change: ClockChange = parsed(body)?;
            if let Some(seconds) = change.skew_secs {
                state.clock.skew(seconds * 1000);
            }
            if let Some(unix) = change.freeze_at {
                state.clock.freeze(unix * 1000);
            }
            if let Some(seconds) = change.advance_secs {
                state.clock.advance(seconds * 1000);
            }
            Ok(Told::Json(json!({ "now": state.clock.now() })))
        }
        ("GET", ["clock"]) => Ok(Told::Json(json!({ "now": state.clock.now() }))),
        _ => actions(state, method, &parts, body),
    }
}

/// What goes wrong, and what is forgotten.
fn actions(state: &State, method: &str, parts: &[&str], body: &[u8]) -> Result<Told, String> {
    match (method, parts) {
        ("GET", ["faults"]) => shown(lock(&state.faults).all()),
        ("POST", ["faults"]) => {
            let faults: OneOrMore<Fault> = parsed(body)?;
            let mut set = lock(&state.faults);
            let ids: Vec<u64> = faults.all().into_iter().map(|fault| set.add(fault)).collect();
            Ok(Told::Json(json!({ "ids": ids })))
        }
        ("DELETE", ["faults"]) => {
            lock(&state.faults).clear();
            state.release();
            Ok(Told::Done)
        }
        ("DELETE", ["faults", id]) => {
            let id = id
                .parse()
                .map_err(|_| format!("removing a fault: {id:?} is no number"))?;
            let was_there = lock(&state.faults).remove(id);
            state.release();
            if was_there {
                Ok(Told::Done)
            } else {
                Err(format!("removing a fault: there is none with number {id}"))
            }
        }
        ("POST", ["tokens", "expire"]) => {
            lock(&state.tokens).expire();
            Ok(Told::Done)
        }
        ("POST", ["nonce", "rotate"]) => {
            lock(&state.nonces).rotate();
            Ok(Told::Done)
        }
        ("POST", ["nonce", "expire"]) => {
            lock(&state.nonces).expire();
            Ok(Told::Done)
        }
        ("POST", ["limits", "refill"]) => {
            lock(&state.limits).clear();
            Ok(Told::Done)
        }
        ("POST", ["warm"]) => {
            warm(state);
            Ok(Told::Done)
        }
        _ => Ok(Told::NoSuchPath),
    }
}

/// Users as the org holds them: `?limit=` of them, 100 when not said.
fn users(org: &Org, query: &str) -> Vec<Value> {
    let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "limit");
    let limit = asked.and_then(|(_, value)| value.parse().ok()).unwrap_or(100);
    let app = &org.apps[org.sign_in];
    let shown = |(place, user): (usize, &crate::org::User)| {
        json!({
            "id": user.id,
            "login": user.login,
            "email": user.email,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "display_name": user.display_name,
            "status": user.status,
            "assigned": app.find_user(crate::org::at(place)).is_ok(),
        })
    };
    org.users
        .iter()
        .enumerate()
        .filter(|(_, user)| !user.is_deleted)
        .take(limit)
        .map(shown)
        .collect()
}

fn groups(org: &Org) -> Vec<Value> {
    let app = &org.apps[org.sign_in];
    let shown = |(place, group): (usize, &crate::org::Group)| {
        json!({
            "id": group.id,
            "name": group.name,
            "description": group.description,
            "type": group.kind,
            "members": group.members.len(),
            "last_membership_updated": group.membership_updated,
            "assigned": app.find_group(crate::org::at(place)).is_ok(),
        })
    };
    org.groups
        .iter()
        .enumerate()
        .filter(|(_, group)| !group.is_deleted)
        .map(shown)
        .collect()
}

fn apps(org: &Org) -> Vec<Value> {
    let shown = |(place, app): (usize, &crate::org::App)| {
        json!({
            "id": app.id,
            "label": app.label,
            "active": app.is_active,
            "sign_in": place == org.sign_in,
            "users": app.users.len(),
            "groups": app.groups.len(),
        })
    };
    org.apps
        .iter()
        .enumerate()
        .filter(|(_, app)| !app.is_deleted)
        .map(shown)
        .collect()
}
