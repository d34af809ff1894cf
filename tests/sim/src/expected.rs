//! What a right sync of the org holds, written as `idsync export` writes it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::org::{App, Group, Org, User};
use crate::settings::Settings;

/// Names are cut at so many characters.
const LONGEST_NAME: usize = 1_024;

/// The lines: users, groups, memberships, each ordered by the bytes of their ids.
pub(crate) fn lines(org: &Org, settings: &Settings) -> String {
    let only = settings.resource_set.apps.as_ref();
    let is_seen = |app: &&App| {
        let is_in_set = only.is_none_or(|ids| ids.iter().any(|id| id == app.id.as_str()));
        app.is_active && !app.is_deleted && is_in_set
    };
    let apps: Vec<&App> = org.apps.iter().filter(is_seen).collect();
    // Places ascend as ids do.
    let users: BTreeSet<u32> = apps
        .iter()
        .flat_map(|app| app.users.iter().map(|row| row.user))
        .filter(|place| is_synced(org.user(*place)))
        .collect();
    let groups: BTreeSet<u32> = apps
        .iter()
        .flat_map(|app| app.groups.iter().map(|row| row.group))
        .filter(|place| !org.group(*place).is_deleted)
        .collect();

    let mut out = String::new();
    for place in &users {
        let _ = writeln!(out, "{}", user(org.user(*place)));
    }
    for place in &groups {
        let _ = writeln!(out, "{}", group(org.group(*place)));
    }
    for place in &groups {
        let group = org.group(*place);
        for member in group.members.iter().filter(|member| users.contains(member)) {
            let row = json!({ "type": "membership", "group": group.id, "user": org.user(*member).id });
            let _ = writeln!(out, "{row}");
        }
    }
    out
}

/// Whether readers see a user.
fn is_synced(user: &User) -> bool {
    !user.is_deleted
        && user.status.is_synced()
        && user
            .email
            .as_deref()
            .is_some_and(|email| !email.trim().is_empty())
}

fn cut(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}

/// A name as it is kept: trimmed, cut, and none when nothing is left.
fn name(name: Option<&str>) -> Option<String> {
    name.map(str::trim).filter(|name| !name.is_empty()).map(cut)
}

fn user(user: &User) -> Value {
    let login = user.login.trim().to_lowercase();
    let (given, family) = (name(user.first_name.as_deref()), name(user.last_name.as_deref()));
    let both: Vec<&str> = [&given, &family]
        .into_iter()
        .filter_map(|part| part.as_deref())
        .collect();
    let both = (!both.is_empty()).then(|| cut(&both.join(" ")));
    let display = name(user.display_name.as_deref())
        .or(both)
        .unwrap_or_else(|| login.clone());
    json!({
        "type": "user",
        "external_id": user.id,
        "email": user.email.as_deref().unwrap_or_default().trim().to_lowercase(),
        "username": login,
        "display_name": display,
        "given_name": given,
        "family_name": family,
        "status": user.status.as_str(),
    })
}

fn group(group: &Group) -> Value {
    let description = group.description.as_deref().filter(|text| !text.is_empty());
    json!({
        "type": "group",
        "external_id": group.id,
        "name": name(Some(&group.name)).unwrap_or_else(|| group.id.to_string()),
        "description": description,
    })
}
