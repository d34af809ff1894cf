//! The checklist: each thing that must be right at Okta for syncing to work, with what to do where it is not.

use crate::apps::{self, App, ById};
use crate::auth::TOKEN_STAGE;
use crate::client::{Answer, Client};
use crate::describe::SCOPES;
use crate::failure::{ErrorKind, Failure};
use crate::hints;
use crate::host::Host;
use crate::link::encoded;
use crate::model::{AppGroup, AppUser};
use crate::org;
use crate::pace::Bucket;
use crate::pages::{Listing, Turn};
use crate::probe::{self, Kind, Seen};
use crate::report::{Check, Outcome, Verification};
use crate::rows;
use crate::settings::Settings;

/// A clock that is off by more is worth a warning (RUNS §6.2).
const CLOCK_WARNING_SECONDS: u64 = 60;
/// The first pages of this many apps are counted.
const APPS_COUNTED: usize = 5;

const DOMAIN: (&str, &str) = ("domain", "An Okta org answers at the domain");
const CLOCK: (&str, &str) = ("clock", "This host's clock agrees with Okta's");
const TOKEN: (&str, &str) = ("token", "Okta knows the client and its key, and issues a token");
const SCOPE_CHECKS: [(&str, &str, &str); 3] = [
    (
        "scope-okta.apps.read",
        "The scope okta.apps.read is granted",
        SCOPES[0],
    ),
    (
        "scope-okta.groups.read",
        "The scope okta.groups.read is granted",
        SCOPES[1],
    ),
    (
        "scope-okta.users.read",
        "The scope okta.users.read is granted",
        SCOPES[2],
    ),
];
const ROLE: (&str, &str) = ("role", "A role is assigned to the service app");
const APPS: (&str, &str) = ("apps", "The role can see the sign-in app");
const USERS: (&str, &str) = ("users", "The role can see users");
const GROUPS: (&str, &str) = ("groups", "The role can see groups");
const COUNT: (&str, &str) = ("count", "There are users and groups to sync");

/// Looks at everything that must be right.
pub async fn verify<H: Host>(host: &H, settings: Result<Settings, Failure>) -> Verification {
    let mut list = Checklist::default();
    let mut org_id = None;
    let mut apps = Vec::new();
    match settings {
        Ok(settings) => {
            let client = Client::new(host, settings);
            org_id = look_at_all(&client, &mut list, &mut apps).await;
        }
        Err(failure) => list.fail(DOMAIN, failure.summary, failure.hint),
    }
    list.skip_the_rest();
    Verification {
        checks: list.checks,
        org_id,
        // The inactive ones too: they are read as soon as they are active.
        scope: apps.into_iter().map(|app| app.id).collect(),
    }
}

#[derive(Default)]
struct Checklist {
    checks: Vec<Check>,
}

impl Checklist {
    fn pass(&mut self, (id, title): (&'static str, &str), detail: impl Into<String>) {
        self.checks.push(Check::passed(id, title, detail));
    }

    fn warn(
        &mut self,
        (id, title): (&'static str, &str),
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.checks
            .push(Check::new(id, title, Outcome::Warning, detail, hint));
    }

    fn fail(
        &mut self,
        (id, title): (&'static str, &str),
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.checks.push(Check::failed(id, title, detail, hint));
    }

    fn skip(&mut self, (id, title): (&'static str, &str), because: &str) {
        self.checks
            .push(Check::new(id, title, Outcome::Skipped, because, ""));
    }

    /// A check that an unexpected failure kept from being made.
    fn fail_with(&mut self, check: (&'static str, &str), failure: Failure) {
        let request = failure
            .request_id
            .map_or_else(String::new, |id| format!(" Okta's id of the request: {id}."));
        self.fail(check, format!("{}{request}", failure.summary), failure.hint);
    }

    /// Every check stands in every list: the ones that were not made say so.
    fn skip_the_rest(&mut self) {
        let scopes = SCOPE_CHECKS.map(|(id, title, _)| (id, title));
        let all = [DOMAIN, CLOCK, TOKEN]
            .into_iter()
            .chain(scopes)
            .chain([ROLE, APPS, USERS, GROUPS, COUNT]);
        for check in all {
            if !self.checks.iter().any(|made| made.id == check.0) {
                self.skip(check, "Not looked at, because of what failed before.");
            }
        }
    }
}

/// Says which org answers, and which apps of it can be seen.
async fn look_at_all<H: Host>(
    client: &Client<'_, H>,
    list: &mut Checklist,
    apps: &mut Vec<App>,
) -> Option<String> {
    let org_id = match org::org_id(client).await {
        Ok(org_id) => org_id,
        Err(failure) => {
            list.fail_with(DOMAIN, failure);
            return None;
        }
    };
    list.pass(
        DOMAIN,
        format!("{} is the Okta org {org_id}.", client.settings.domain),
    );
    look_at_clock(client, list);
    if look_at_token(client, list).await {
        look_at_role(client, list, apps).await;
    }
    Some(org_id)
}

fn look_at_clock<H: Host>(client: &Client<'_, H>, list: &mut Checklist) {
    match client.clock.host_ahead_seconds() {
        None => list.skip(CLOCK, "Okta's answer had no date."),
        Some(ahead) if ahead.unsigned_abs() > CLOCK_WARNING_SECONDS => list.warn(
            CLOCK,
            format!(
                "This host's clock is {} seconds {} Okta's.",
                ahead.unsigned_abs(),
                if ahead > 0 { "ahead of" } else { "behind" }
            ),
            "Set this host's clock, best by NTP. Until then requests are signed in Okta's time, so syncing works.",
        ),
        Some(_) => list.pass(CLOCK, "They differ by no more than a minute."),
    }
}

/// Says whether there is a token, whatever it may do.
async fn look_at_token<H: Host>(client: &Client<'_, H>, list: &mut Checklist) -> bool {
    let token = match client.token().await {
        Ok(token) => token,
        Err(failure) => {
            let is_for_scopes = failure.kind == ErrorKind::Forbidden && failure.stage == TOKEN_STAGE;
            list.fail_with(TOKEN, failure);
            if is_for_scopes {
                for (id, title, scope) in SCOPE_CHECKS {
                    list.fail((id, title), "Okta grants none of the scopes.", scope_hint(scope));
                }
            }
            return false;
        }
    };
    let kind = if token.is_bound() { "with" } else { "without" };
    list.pass(
        TOKEN,
        format!("Okta issued a token {kind} proof of possession (DPoP)."),
    );
    for (id, title, scope) in SCOPE_CHECKS {
        if token.has_scope(scope) {
            list.pass((id, title), "The token has it.");
        } else {
            list.fail((id, title), "The token lacks it.", scope_hint(scope));
        }
    }
    true
}

fn scope_hint(scope: &str) -> String {
    format!("{} `{scope}`.", hints::SCOPE)
}

/// What one look at the apps, users or groups has told.
enum Look {
    Fine(String),
    Warning(String, String),
    Empty(String, String),
    Refused(Answer),
    Failed(Failure),
    NotGranted,
}

async fn look_at_role<H: Host>(client: &Client<'_, H>, list: &mut Checklist, visible: &mut Vec<App>) {
    let Some(token) = client.present_token() else {
        return;
    };
    let apps = if token.has_scope(SCOPES[0]) {
        look_at_apps(client, visible).await
    } else {
        Look::NotGranted
    };
    let mut looks = vec![(
        APPS,
        apps,
        format!("{} View applications and their details.", hints::ROLE_PERMISSIONS),
    )];
    for (kind, check, scope) in [(Kind::Users, USERS, SCOPES[2]), (Kind::Groups, GROUPS, SCOPES[1])] {
        let look = if token.has_scope(scope) {
            look_at(client, kind).await
        } else {
            Look::NotGranted
        };
        looks.push((check, look, kind.permission_hint()));
    }
    let asked = looks
        .iter()
        .filter(|(_, look, _)| !matches!(look, Look::NotGranted))
        .count();
    let refused = looks
        .iter()
        .filter(|(_, look, _)| matches!(look, Look::Refused(_)))
        .count();
    if asked > 1 && refused == asked {
        let what = looks.iter().find_map(|(_, look, _)| match look {
            Look::Refused(answer) => Some(answer.error().quoted()),
            _ => None,
        });
        let what = what.unwrap_or_default();
        list.fail(
            ROLE,
            format!("Okta refuses all that was asked for{what}."),
            hints::ROLE_ASSIGNED,
        );
        return;
    }
    if asked > refused {
        list.pass(ROLE, "The service app may see something.");
    }
    let mut is_fine = true;
    for (check, look, permission_hint) in looks {
        is_fine &= matches!(look, Look::Fine(_) | Look::Warning(..));
        match look {
            Look::Fine(detail) => list.pass(check, detail),
            Look::Warning(detail, hint) => list.warn(check, detail, hint),
            Look::Empty(detail, hint) => list.fail(check, detail, hint),
            Look::Refused(answer) => {
                let failure = answer.failure(check.0, check.0);
                list.fail_with(
                    check,
                    Failure {
                        hint: permission_hint,
                        ..failure
                    },
                );
            }
            Look::Failed(failure) => list.fail_with(check, failure),
            Look::NotGranted => list.skip(check, "Not looked at, because its scope is not granted."),
        }
    }
    if is_fine {
        let active: Vec<&App> = visible.iter().filter(|app| app.is_active).collect();
        match count(client, &active).await {
            Ok((detail, true)) => list.pass(COUNT, detail),
            Ok((detail, false)) => list.warn(
                COUNT,
                detail,
                "At Okta open Applications \u{2192} Applications, the sign-in app, Assignments, and assign users or groups.",
            ),
            Err(failure) => list.fail_with(COUNT, failure),
        }
    }
}

async fn look_at_apps<H: Host>(client: &Client<'_, H>, visible: &mut Vec<App>) -> Look {
    *visible = match &client.settings.app_id {
        Some(id) => match apps::by_id(client, id).await {
            Ok(ById::Found(app)) => vec![app],
            Ok(ById::Gone(answer)) => {
                return Look::Empty(
                    format!(
                        "The app {id}, which `app_id` names, is not there{}.",
                        answer.error().quoted()
                    ),
                    format!(
                        "Correct `app_id`, or clear it to sync every app that the role can see. If it is right: {} it \
                         under Applications.",
                        hints::RESOURCE_SET
                    ),
                );
            }
            Ok(ById::Refused(answer)) => return Look::Refused(answer),
            Err(failure) => return Look::Failed(failure),
        },
        None => match apps::list(client).await {
            Ok(Ok(visible)) => visible,
            Ok(Err(answer)) => return Look::Refused(answer),
            Err(failure) => return Look::Failed(failure),
        },
    };
    if visible.is_empty() {
        let failure = apps::nothing_visible();
        return Look::Empty(failure.summary, failure.hint);
    }
    let active: Vec<&App> = visible.iter().filter(|app| app.is_active).collect();
    let labels: Vec<&str> = active
        .iter()
        .take(APPS_COUNTED)
        .map(|app| app.label.as_str())
        .collect();
    if active.is_empty() {
        let all: Vec<&str> = visible
            .iter()
            .take(APPS_COUNTED)
            .map(|app| app.label.as_str())
            .collect();
        return Look::Empty(
            format!("None of the visible apps is active: {}.", all.join(", ")),
            "At Okta open Applications \u{2192} Applications, the sign-in app, and activate it.".to_owned(),
        );
    }
    let detail = format!("Visible and active: {} ({}).", active.len(), labels.join(", "));
    match apps::confirm(client, visible).await {
        Ok(refused) if refused.is_empty() => Look::Fine(detail),
        Ok(refused) => Look::Warning(
            format!(
                "{detail} No longer visible, though it was seen before: {}.",
                refused.join(", ")
            ),
            format!(
                "The next sync takes away who is here only through it. If that is not meant: {} it under Applications, \
                 before you sync.",
                hints::RESOURCE_SET
            ),
        ),
        Err(failure) => Look::Failed(failure),
    }
}

async fn look_at<H: Host>(client: &Client<'_, H>, kind: Kind) -> Look {
    match probe::look(client, kind).await {
        Ok(Seen::Some) => Look::Fine(format!("Okta shows {}.", kind.word())),
        Ok(Seen::None) => Look::Empty(
            format!("Okta's list of {} is empty for this role.", kind.word()),
            kind.resource_hint(),
        ),
        Ok(Seen::Refused(answer)) => Look::Refused(answer),
        Err(failure) => Look::Failed(failure),
    }
}

/// How many users and groups would sync, by the first page of each, and whether there are any.
async fn count<H: Host>(client: &Client<'_, H>, active: &[&App]) -> Result<(String, bool), Failure> {
    let (mut users, mut groups) = (0, 0);
    let mut has_more = active.len() > APPS_COUNTED;
    for app in active.iter().take(APPS_COUNTED) {
        let path = format!("/api/v1/apps/{}/", encoded(&app.id));
        let what = format!("the users of the app {}", app.label);
        let mut listing = Listing::new(
            client,
            COUNT.0,
            &what,
            Bucket::Apps,
            &format!("{path}users"),
            Some("user"),
            500,
        );
        match listing.next_page().await? {
            Turn::Page(page) => {
                has_more |= !page.is_last();
                let rows = page.rows::<AppUser<'_>>()?;
                let synced = |row: &&AppUser<'_>| {
                    rows::user(&row.id.0, &row.embedded.user).is_ok_and(|user| user.active)
                };
                users += rows.iter().filter(synced).count();
            }
            Turn::Refused { answer, .. } => return Err(answer.failure(COUNT.0, &what)),
            Turn::End => {}
        }
        let what = format!("the groups of the app {}", app.label);
        let mut listing = Listing::new(
            client,
            COUNT.0,
            &what,
            Bucket::Apps,
            &format!("{path}groups"),
            Some("group"),
            200,
        );
        match listing.next_page().await? {
            Turn::Page(page) => {
                has_more |= !page.is_last();
                groups += page.rows::<AppGroup<'_>>()?.len();
            }
            Turn::Refused { answer, .. } => return Err(answer.failure(COUNT.0, &what)),
            Turn::End => {}
        }
    }
    let at_least = if has_more { "at least " } else { "" };
    Ok((
        format!("A sync would bring {at_least}{users} users and {at_least}{groups} groups."),
        users + groups > 0 || has_more,
    ))
}
