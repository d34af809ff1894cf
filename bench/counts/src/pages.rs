//! The plugin's reading of pages, natively: whole syncs of orgs that have many rows of one kind and few of the others.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use plugin_okta::report::{Mode, SyncRequest};
use plugin_okta::settings::Settings;

use crate::host::{CountedHost, DOMAIN, Pages, Put};
use crate::org;
use crate::stretch::{Stretch, ends};

/// Rows of Okta's largest pages.
const USERS_PAGE: usize = 500;
const GROUPS_PAGE: usize = 200;
const MEMBERS_PAGE: usize = 1_000;

const APP: &str = "0oaapp1";
const BASE: &str = "https://acme.okta.com/api/v1";
const CREATED: &str = "2026-01-02T03:04:05.000Z";

/// What one sync reads.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    users: usize,
    /// Fields of each user's profile that the plugin does not know.
    more_fields: usize,
    /// The length of each user's first name.
    name_bytes: usize,
    groups: usize,
    /// Members of each group; their lists are asked for where there is one.
    per_group: usize,
}

/// Pages of users, of groups and of members.
pub fn usual() -> Result<()> {
    let users = Size {
        users: 5_000,
        ..Size::default()
    };
    sync(users, |_| Stretch::Kept("10 pages of users"))?;
    let groups = Size {
        groups: 5_000,
        ..Size::default()
    };
    sync(groups, |_| Stretch::Kept("25 pages of groups"))?;
    let members = Size {
        groups: 10,
        per_group: 2_000,
        ..Size::default()
    };
    sync(members, |_| Stretch::Kept("20 pages of members"))
}

/// Pages that were made to be slow, and lists without end, each with twice of it.
pub fn growth() -> Result<()> {
    for more_fields in [600, 1_200] {
        let size = Size {
            users: 200,
            more_fields,
            ..Size::default()
        };
        sync(size, |bytes| {
            Stretch::Growth("reading users with 600 fields", bytes)
        })?;
    }
    for name_bytes in [50 << 10, 100 << 10] {
        let size = Size {
            users: 50,
            name_bytes,
            ..Size::default()
        };
        sync(size, |bytes| Stretch::Growth("reading names of 100 KiB", bytes))?;
    }
    for n in [10_000, 20_000] {
        let size = Size {
            groups: 1,
            per_group: n,
            ..Size::default()
        };
        sync(size, |bytes| {
            Stretch::Growth("reading a group with all users", bytes)
        })?;
    }
    for n in [2_500, 5_000] {
        let size = Size {
            groups: n,
            per_group: 1,
            ..Size::default()
        };
        sync(size, |bytes| {
            Stretch::Growth("reading a user in all groups", bytes)
        })?;
    }
    Ok(())
}

/// Syncs an org of this size, and ends the stretch that is made of the bytes of its pages.
fn sync(size: Size, stretch: impl FnOnce(usize) -> Stretch) -> Result<()> {
    let pages = pages(size);
    let bytes = pages.values().flatten().map(|page| page.len()).sum();
    let host = CountedHost::new(pages, size.per_group > 0);
    let settings = Settings::read([("okta_domain", DOMAIN), ("client_id", "0oaclient")])
        .map_err(|failure| anyhow!("the settings were refused: {}", failure.summary))?;
    let request = SyncRequest {
        mode: Mode::Full,
        resume: None,
        expected_org: None,
    };
    ends(&Stretch::Before);
    let ended = host.run(plugin_okta::sync::sync(&host, settings, request));
    ends(&stretch(bytes));
    ended
        .context("running the sync")?
        .map_err(|failure| anyhow!("the sync failed: {}", failure.summary))?;
    let read = Put {
        users: size.users,
        groups: size.groups,
        memberships: size.groups * size.per_group,
    };
    ensure!(host.put() == read, "{:?} was read, and not {read:?}", host.put());
    Ok(())
}

fn pages(size: Size) -> Pages {
    let token = r#"{"token_type":"DPoP","expires_in":3600,"access_token":"token",
        "scope":"okta.apps.read okta.groups.read okta.users.read"}"#;
    let one = |text: &str| vec![Arc::from(text.as_bytes())];
    let mut pages = Pages::from([
        (
            "/.well-known/okta-organization".to_owned(),
            one(r#"{"id":"00oacme"}"#),
        ),
        ("/oauth2/v1/token".to_owned(), one(token)),
        (
            "/api/v1/apps".to_owned(),
            one(&format!(r#"[{{"id":"{APP}","label":"Acme","status":"ACTIVE"}}]"#)),
        ),
        // What an empty listing is asked about: there is one that the app does not have.
        ("/api/v1/users".to_owned(), one(r#"[{"id":"00uother"}]"#)),
        ("/api/v1/groups".to_owned(), one(r#"[{"id":"00gother"}]"#)),
        (
            format!("/api/v1/apps/{APP}/users"),
            listing(size.users, USERS_PAGE, |n| app_user(n, size)),
        ),
        (
            format!("/api/v1/apps/{APP}/groups"),
            listing(size.groups, GROUPS_PAGE, app_group),
        ),
    ]);
    if size.per_group > 0 {
        let members = listing(size.per_group, MEMBERS_PAGE, |n| user(n, size));
        for n in 0..size.groups {
            let path = format!("/api/v1/groups/{}/users", org::group_id(n));
            pages.insert(path, members.clone());
        }
    }
    pages
}

/// A listing in pages: an empty one has one of them.
fn listing(rows: usize, page: usize, row: impl Fn(usize) -> String) -> Vec<Arc<[u8]>> {
    let rows: Vec<usize> = (0..rows).collect();
    let body = |rows: &[usize]| {
        let rows: Vec<String> = rows.iter().map(|n| row(*n)).collect();
        Arc::from(format!("[{}]", rows.join(",")).into_bytes())
    };
    if rows.is_empty() {
        return vec![body(&[])];
    }
    rows.chunks(page).map(body).collect()
}

/// A user as Okta sends one.
fn user(n: usize, size: Size) -> String {
    let id = org::user_id(n);
    let first_name = if size.name_bytes == 0 {
        "Grace".to_owned()
    } else {
        "x".repeat(size.name_bytes)
    };
    let more: Vec<String> = (0..size.more_fields)
        .map(|field| format!(r#","extra_{field}":"{field}""#))
        .collect();
    let more = more.concat();
    format!(
        r#"{{"id":"{id}","status":"ACTIVE","created":"{CREATED}","activated":"{CREATED}","statusChanged":"{CREATED}","lastLogin":null,"lastUpdated":"{CREATED}","passwordChanged":null,"type":{{"id":"otyuwlw0oDefaultT5d7"}},"profile":{{"firstName":"{first_name}","lastName":"Hopper {n}","mobilePhone":null,"secondEmail":null,"login":"Grace.Hopper.{n}@acme.example","email":"Grace.Hopper.{n}@acme.example"{more}}},"credentials":{{"provider":{{"type":"OKTA","name":"OKTA"}}}},"_links":{{"self":{{"href":"{BASE}/users/{id}"}}}}}}"#
    )
}

fn app_user(n: usize, size: Size) -> String {
    let id = org::user_id(n);
    let user = user(n, size);
    format!(
        r#"{{"id":"{id}","externalId":null,"created":"{CREATED}","lastUpdated":"{CREATED}","scope":"GROUP","status":"ACTIVE","statusChanged":"{CREATED}","passwordChanged":null,"syncState":"DISABLED","credentials":{{"userName":"Grace.Hopper.{n}@acme.example"}},"profile":{{}},"_links":{{"app":{{"href":"{BASE}/apps/{APP}"}},"user":{{"href":"{BASE}/users/{id}"}}}},"_embedded":{{"user":{user}}}}}"#
    )
}

fn app_group(n: usize) -> String {
    let id = org::group_id(n);
    format!(
        r#"{{"id":"{id}","lastUpdated":"{CREATED}","priority":0,"profile":{{}},"_links":{{"app":{{"href":"{BASE}/apps/{APP}"}},"group":{{"href":"{BASE}/groups/{id}"}}}},"_embedded":{{"group":{{"id":"{id}","created":"{CREATED}","lastUpdated":"{CREATED}","lastMembershipUpdated":"{CREATED}","objectClass":["okta:user_group"],"type":"OKTA_GROUP","profile":{{"name":"Group {n}","description":null}},"_links":{{"users":{{"href":"{BASE}/groups/{id}/users"}}}}}}}}}}"#
    )
}
