//! A small org that answers as Okta does, and holds each request to what must be true of all.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::host::{HttpRequest, TransportError};
use crate::report::{Mode, SyncRequest};
use crate::settings::Settings;

/// The org's time when a test begins, in Unix seconds.
pub(crate) const START: u64 = 1_800_000_000;
pub(crate) const ORG: &str = "00oacme";
pub(crate) const APP: &str = "0oaapp1";

pub(crate) fn settings() -> Settings {
    Settings::read([("okta_domain", "acme.okta.com"), ("client_id", "0oaclient")]).unwrap()
}

pub(crate) fn full() -> SyncRequest {
    SyncRequest {
        mode: Mode::Full,
        resume: None,
        expected_org: Some(ORG.to_owned()),
    }
}

/// How long an answer takes.
const DELAY: Duration = Duration::from_millis(20);

/// What a request gets.
pub(crate) struct Reply {
    pub(crate) result: Result<(u16, Vec<(String, String)>), TransportError>,
    pub(crate) body: Vec<u8>,
    pub(crate) delay: Duration,
    /// The body ends in this.
    pub(crate) body_error: Option<TransportError>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            result: Ok((status, Vec::new())),
            body: body.into(),
            delay: DELAY,
            body_error: None,
        }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string())
    }

    pub(crate) fn broken(error: TransportError) -> Self {
        Self {
            result: Err(error),
            ..Self::new(0, "")
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        if let Ok((_, headers)) = &mut self.result {
            headers.push((name.to_owned(), value.to_string()));
        }
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::json(
            status,
            &json!({"errorCode": code, "errorSummary": "So it is.", "errorId": "oae1"}),
        )
        .header("x-okta-request-id", "req-1")
    }

    pub(crate) fn oauth_error(status: u16, code: &str, text: &str) -> Self {
        Self::json(status, &json!({"error": code, "error_description": text}))
    }
}

/// A fault: the next `times` requests whose method, path and query contain `on` get this reply.
type Fault = (String, u32, Box<dyn Fn() -> Reply>);

/// A small org.
pub(crate) struct Org {
    pub(crate) apps: BTreeMap<String, String>,
    pub(crate) app_users: BTreeMap<String, Vec<Value>>,
    pub(crate) app_groups: BTreeMap<String, Vec<Value>>,
    pub(crate) members: BTreeMap<String, Vec<String>>,
    pub(crate) all_users_visible: bool,
    pub(crate) all_groups_visible: bool,
    pub(crate) scopes: String,
    pub(crate) page: usize,
    pub(crate) drop_expand: bool,
    pub(crate) token_type: &'static str,
    pub(crate) token_seconds: u64,
    pub(crate) valid_tokens: HashSet<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) faults: Vec<Fault>,
    /// After so many requests it answers no more but that it is down.
    pub(crate) fails_after: Option<usize>,
    /// The body of the next answer to a request whose method, path and query contain this breaks off.
    pub(crate) breaks_off: Option<String>,
    /// How long the head of an answer takes that is no fault.
    pub(crate) delay: Duration,
    pub(crate) asked: Vec<HttpRequest>,
    /// Claims of every signed JWT, in order.
    pub(crate) proofs: Vec<Value>,
    pub(crate) assertions: Vec<Value>,
    jtis: HashSet<String>,
    tokens_made: u32,
}

pub(crate) fn user_row(number: usize) -> Value {
    let id = format!("00u{number}");
    json!({"id": id, "_embedded": {"user": {"id": id, "status": "ACTIVE", "profile": {
        "login": format!("User{number}@acme.test"), "email": format!("User{number}@acme.test"),
        "firstName": "U", "lastName": number.to_string()}}}})
}

pub(crate) fn group_row(number: usize) -> Value {
    let id = format!("00g{number}");
    json!({"id": id, "_embedded": {"group": {"id": id, "type": "OKTA_GROUP",
        "lastMembershipUpdated": "2026-01-02T03:04:05.000Z", "profile": {"name": format!("Group {number}")}}}})
}

impl Org {
    /// One app, with users and groups; each group has every user.
    pub(crate) fn new(users: usize, groups: usize) -> Self {
        let ids: Vec<String> = (0..users).map(|number| format!("00u{number}")).collect();
        Self {
            apps: BTreeMap::from([(APP.to_owned(), "ACTIVE".to_owned())]),
            app_users: BTreeMap::from([(APP.to_owned(), (0..users).map(user_row).collect())]),
            app_groups: BTreeMap::from([(APP.to_owned(), (0..groups).map(group_row).collect())]),
            members: (0..groups)
                .map(|number| (format!("00g{number}"), ids.clone()))
                .collect(),
            all_users_visible: true,
            all_groups_visible: true,
            scopes: crate::describe::SCOPES.join(" "),
            page: 2,
            drop_expand: false,
            token_type: "DPoP",
            token_seconds: 3600,
            valid_tokens: HashSet::new(),
            nonce: None,
            faults: Vec::new(),
            fails_after: None,
            breaks_off: None,
            delay: DELAY,
            asked: Vec::new(),
            proofs: Vec::new(),
            assertions: Vec::new(),
            jtis: HashSet::new(),
            tokens_made: 0,
        }
    }

    pub(crate) fn fault(&mut self, on: &str, times: u32, reply: impl Fn() -> Reply + 'static) {
        self.faults.push((on.to_owned(), times, Box::new(reply)));
    }

    pub(crate) fn asked_for(&self, part: &str) -> usize {
        self.asked
            .iter()
            .filter(|request| request.target.contains(part))
            .count()
    }

    pub(super) fn answer(&mut self, request: &HttpRequest) -> Reply {
        self.asked.push(request.clone());
        self.check_request(request);
        if self.fails_after.is_some_and(|most| self.asked.len() > most) {
            return Reply::error(503, "E0000009");
        }
        let line = format!("{} {}", request.method.as_str(), request.target);
        let fault = self
            .faults
            .iter_mut()
            .find(|(on, times, _)| *times > 0 && line.contains(on.as_str()));
        if let Some((_, times, reply)) = fault {
            *times -= 1;
            return reply();
        }
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        if path == "/.well-known/okta-organization" {
            return Reply::json(200, &json!({"id": ORG, "pipeline": "idx"}));
        }
        if path == "/oauth2/v1/token" {
            return self.token();
        }
        let bearer = header(request, "authorization").unwrap_or_default();
        let token = bearer.rsplit(' ').next().unwrap_or_default();
        if !self.valid_tokens.contains(token) {
            return Reply::error(401, "E0000011");
        }
        let reply = self.resource(&path, &request.target).after(self.delay);
        match self.breaks_off.take_if(|on| line.contains(on.as_str())) {
            Some(_) => Reply {
                body_error: Some(TransportError::Broken("the connection broke".to_owned())),
                ..reply
            },
            None => reply,
        }
    }

    /// What must hold for every request (RUNS §9).
    fn check_request(&mut self, request: &HttpRequest) {
        assert_eq!(request.authority, "acme.okta.com");
        assert_eq!(header(request, "accept"), Some("application/json"));
        assert!(header(request, "user-agent").unwrap().starts_with("idsync/"));
        assert!(header(request, "cookie").is_none());
        if let Some(proof) = header(request, "dpop") {
            let claims: Value = serde_json::from_str(proof.strip_prefix("proof.").unwrap()).unwrap();
            let path = request.target.split('?').next().unwrap();
            assert_eq!(claims["htu"], format!("https://acme.okta.com{path}"));
            assert_eq!(claims["htm"], request.method.as_str());
            assert_eq!(claims["ath"].is_string(), path.starts_with("/api/"));
            assert!(
                self.jtis.insert(claims["jti"].to_string()),
                "a proof was sent twice"
            );
            self.proofs.push(claims);
        }
        if let Some(body) = &request.body {
            let body = String::from_utf8(body.clone()).unwrap();
            let assertion = body.split("client_assertion=").nth(1).unwrap();
            let claims: Value = serde_json::from_str(assertion.strip_prefix("directory.").unwrap()).unwrap();
            assert!(
                self.jtis.insert(claims["jti"].to_string()),
                "an assertion was sent twice"
            );
            self.assertions.push(claims);
        }
    }

    fn token(&mut self) -> Reply {
        if let Some(nonce) = &self.nonce
            && self.proofs.last().unwrap()["nonce"] != nonce.as_str()
        {
            return Reply::oauth_error(400, "use_dpop_nonce", "Nonce, please.").header("dpop-nonce", nonce);
        }
        self.tokens_made += 1;
        let token = format!("token{}", self.tokens_made);
        self.valid_tokens.insert(token.clone());
        Reply::json(
            200,
            &json!({"token_type": self.token_type, "expires_in": self.token_seconds, "access_token": token,
                    "scope": self.scopes}),
        )
    }

    fn resource(&self, path: &str, target: &str) -> Reply {
        let parts: Vec<&str> = path.trim_start_matches("/api/v1/").split('/').collect();
        let missing = || Reply::error(404, "E0000007");
        match parts.as_slice() {
            ["apps"] => {
                let apps = self
                    .apps
                    .iter()
                    .map(|(id, status)| json!({"id": id, "label": id, "status": status}));
                self.list(target, apps.collect())
            }
            ["apps", app] => match self.apps.get(*app) {
                Some(status) => Reply::json(200, &json!({"id": app, "label": app, "status": status})),
                None => missing(),
            },
            ["apps", app, kind] => {
                let rows = if *kind == "users" {
                    &self.app_users
                } else {
                    &self.app_groups
                };
                rows.get(*app)
                    .map_or_else(missing, |rows| self.list(target, rows.clone()))
            }
            ["apps", app, kind, id] => {
                let rows = if *kind == "users" {
                    &self.app_users
                } else {
                    &self.app_groups
                };
                let row = rows
                    .get(*app)
                    .and_then(|rows| rows.iter().find(|row| row["id"] == *id));
                row.map_or_else(missing, |row| Reply::json(200, row))
            }
            ["groups", group, "users"] => self.members.get(*group).map_or_else(missing, |ids| {
                self.list(
                    target,
                    ids.iter()
                        .map(|id| json!({"id": id, "status": "ACTIVE"}))
                        .collect(),
                )
            }),
            ["users"] if self.all_users_visible => Reply::json(200, &json!([{"id": "00uany"}])),
            ["groups"] if self.all_groups_visible => Reply::json(200, &json!([{"id": "00gany"}])),
            ["users" | "groups"] => Reply::json(200, &json!([])),
            ["users", id] => {
                let rows = self.app_users.values().flatten();
                let mut users = rows.map(|row| &row["_embedded"]["user"]);
                let user = users
                    .find(|user| user["id"] == *id || user["profile"]["login"] == id.replace("%40", "@"));
                user.map_or_else(missing, |user| Reply::json(200, user))
            }
            ["groups", id] => {
                let rows = self.app_groups.values().flatten();
                let mut groups = rows.map(|row| &row["_embedded"]["group"]);
                groups
                    .find(|group| group["id"] == *id)
                    .map_or_else(missing, |group| Reply::json(200, group))
            }
            _ => missing(),
        }
    }

    fn list(&self, target: &str, mut rows: Vec<Value>) -> Reply {
        let parameter = |name: &str| crate::link::parameter(target, name);
        let limit: usize = parameter("limit").map_or(self.page, |limit| limit.parse().unwrap());
        let limit = limit.min(self.page);
        let begin: usize = parameter("after").map_or(0, |after| after.parse().unwrap());
        let expand = parameter("expand");
        if expand.is_none() {
            for row in &mut rows {
                row.as_object_mut().unwrap().remove("_embedded");
            }
        }
        let page: Vec<&Value> = rows.iter().skip(begin).take(limit).collect();
        let reply = Reply::json(200, &json!(page));
        let path = target.split('?').next().unwrap();
        let kept = expand
            .filter(|_| !self.drop_expand)
            .map_or_else(String::new, |expand| format!("&expand={expand}"));
        let reply = reply.header("link", format!("<https://acme.okta.com{target}>; rel=\"self\""));
        if begin + limit >= rows.len() {
            return reply;
        }
        let after = begin + limit;
        reply.header(
            "link",
            format!("<https://acme.okta.com{path}?after={after}&limit={limit}{kept}>; rel=\"next\""),
        )
    }
}

pub(crate) fn header<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    let mut headers = request.headers.iter();
    headers.find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}
