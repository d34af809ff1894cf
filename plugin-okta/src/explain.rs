//! Why one person or group is or is not here: the conditions, in the order in which they decide.

use crate::apps::{self, App};
use crate::client::Client;
use crate::failure::Failure;
use crate::host::Host;
use crate::link::encoded;
use crate::model::{Group, User};
use crate::org;
use crate::pace::Bucket;
use crate::report::{Check, Outcome};
use crate::rows::{self, ACTIVE_STATUSES};
use crate::settings::Settings;

const STAGE: &str = "explain";
/// So many people who share an address are explained.
const MOST_FOUND: usize = 5;
/// So many apps are asked for the assignment.
const MOST_APPS: usize = 100;

/// A user or group that was found.
enum Found {
    User {
        id: String,
        name: String,
        status: String,
        /// Why it can't be shown, whatever its status.
        defect: Option<&'static str>,
    },
    Group {
        id: String,
        name: String,
    },
}

/// Explains a user (by id, login or e-mail) or a group (by id or name).
pub async fn explain<H: Host>(host: &H, settings: Settings, who: &str) -> Result<Vec<Check>, Failure> {
    let client = Client::new(host, settings);
    let who = who.trim();
    org::check(&client, None).await?;
    client.check_scopes().await?;
    let found = find(&client, who).await?;
    if found.is_empty() {
        return Ok(vec![Check::failed(
            "exists",
            "Okta knows this user or group",
            format!(
                "Okta shows no user with this id, login or e-mail, and no group with this id or name: {who}."
            ),
            "Check the spelling. If it is right at Okta, the resource set lacks it: add All users and All groups.",
        )]);
    }
    let scope = apps::scope(&client).await?;
    let mut checks = Vec::new();
    for one in &found {
        explain_one(&client, one, &scope.active, &mut checks).await?;
    }
    Ok(checks)
}

async fn find<H: Host>(client: &Client<'_, H>, who: &str) -> Result<Vec<Found>, Failure> {
    if who.is_empty() {
        return Ok(Vec::new());
    }
    let what = "the user";
    let target = format!("/api/v1/users/{}", encoded(who));
    let answer = client.get(STAGE, what, Bucket::Users, target).await?;
    if answer.status == 200 {
        let user: User<'_> = answer.json(STAGE, what)?;
        return Ok(vec![found_user(&user)]);
    }
    if !matches!(answer.status, 400 | 404) {
        return Err(answer.failure(STAGE, what));
    }
    let quoted = who.replace('\\', "\\\\").replace('"', "\\\"");
    let search = |field: &str| encoded(&format!("{field} eq \"{quoted}\""));
    if who.contains('@') {
        let target = format!(
            "/api/v1/users?limit={MOST_FOUND}&search={}",
            search("profile.email")
        );
        let what = "users with this e-mail";
        let answer = client.get(STAGE, what, Bucket::Users, target).await?;
        if answer.status != 200 {
            return Err(answer.failure(STAGE, what));
        }
        let users: Vec<User<'_>> = answer.json(STAGE, what)?;
        // What Okta finds is looked at once more: a search that is not understood must not name someone else.
        let is_asked_for = |user: &&User<'_>| {
            user.profile
                .0
                .email
                .trimmed()
                .is_some_and(|email| is_same(email, who))
        };
        return Ok(users.iter().filter(is_asked_for).map(found_user).collect());
    }
    let what = "the group";
    let target = format!("/api/v1/groups/{}", encoded(who));
    let answer = client.get(STAGE, what, Bucket::Groups, target).await?;
    match answer.status {
        200 => {
            let group: Group<'_> = answer.json(STAGE, what)?;
            return Ok(vec![found_group(&group)]);
        }
        400 | 404 => {}
        _ => return Err(answer.failure(STAGE, what)),
    }
    let target = format!(
        "/api/v1/groups?limit={MOST_FOUND}&search={}",
        search("profile.name")
    );
    let what = "groups with this name";
    let answer = client.get(STAGE, what, Bucket::Groups, target).await?;
    if answer.status != 200 {
        return Err(answer.failure(STAGE, what));
    }
    let groups: Vec<Group<'_>> = answer.json(STAGE, what)?;
    let is_asked_for = |group: &&Group<'_>| {
        group
            .profile
            .0
            .name
            .trimmed()
            .is_some_and(|name| is_same(name, who))
    };
    Ok(groups.iter().filter(is_asked_for).map(found_group).collect())
}

/// Okta's `eq` does not tell upper from lower case.
fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.trim().to_lowercase()
}

fn found_user(user: &User<'_>) -> Found {
    let profile = &user.profile.0;
    let name = profile.login.trimmed().or(profile.email.trimmed());
    Found::User {
        id: user.id.0.to_string(),
        name: name.unwrap_or(&user.id.0).to_owned(),
        status: user.status.trimmed().unwrap_or("unknown").to_owned(),
        defect: rows::defect(user),
    }
}

fn found_group(group: &Group<'_>) -> Found {
    Found::Group {
        id: group.id.0.to_string(),
        name: group.profile.0.name.trimmed().unwrap_or(&group.id.0).to_owned(),
    }
}

async fn explain_one<H: Host>(
    client: &Client<'_, H>,
    one: &Found,
    active: &[App],
    checks: &mut Vec<Check>,
) -> Result<(), Failure> {
    let begin = checks.len();
    let (id, kind) = match one {
        Found::User {
            id,
            name,
            status,
            defect,
        } => {
            checks.push(Check::passed(
                "exists",
                "Okta knows this user",
                format!("{name} is the user {id}."),
            ));
            checks.push(status_check(status));
            checks.push(email_check(*defect));
            (id, "users")
        }
        Found::Group { id, name } => {
            checks.push(Check::passed(
                "exists",
                "Okta knows this group",
                format!("{name} is the group {id}."),
            ));
            (id, "groups")
        }
    };
    checks.push(assignment_check(client, id, kind, active).await?);
    let is_synced = checks[begin..]
        .iter()
        .all(|check| check.outcome == Outcome::Passed);
    checks.push(if is_synced {
        Check::passed(
            "synced",
            "It is synced",
            "All conditions are met; a sync brings it, or has brought it.",
        )
    } else {
        Check::failed(
            "synced",
            "It is synced",
            "A condition above is not met, so it is not here, or the next sync takes it away.",
            "",
        )
    });
    Ok(())
}

fn email_check(defect: Option<&'static str>) -> Check {
    const TITLE: &str = "The user has an e-mail";
    match defect {
        None => Check::passed("email", TITLE, "The profile has a primary email."),
        Some(why @ rows::NO_EMAIL) => Check::failed("email", TITLE, "The profile has no primary email.", why),
        Some(why) => Check::failed(
            "email",
            TITLE,
            "The primary email or the login can't be used.",
            why,
        ),
    }
}

fn status_check(status: &str) -> Check {
    const TITLE: &str = "The user's status is one that is synced";
    if rows::is_active(status) {
        return Check::passed("status", TITLE, format!("The status is {status}."));
    }
    Check::failed(
        "status",
        TITLE,
        format!(
            "The status is {status}; synced are {}.",
            ACTIVE_STATUSES.join(", ")
        ),
        "Unsuspend or activate the user at Okta: Directory \u{2192} People.",
    )
}

async fn assignment_check<H: Host>(
    client: &Client<'_, H>,
    id: &str,
    kind: &str,
    active: &[App],
) -> Result<Check, Failure> {
    const TITLE: &str = "It is assigned to an app that is synced";
    let mut labels = Vec::new();
    for app in active.iter().take(MOST_APPS) {
        let target = format!("/api/v1/apps/{}/{kind}/{}", encoded(&app.id), encoded(id));
        let what = format!("the assignment to the app {}", app.label);
        let answer = client.get(STAGE, &what, Bucket::Apps, target).await?;
        match answer.status {
            200 => labels.push(app.label.as_str()),
            404 => {}
            _ => return Err(answer.failure(STAGE, &what)),
        }
    }
    if !labels.is_empty() {
        return Ok(Check::passed(
            "assigned",
            TITLE,
            format!("Assigned to {}.", labels.join(", ")),
        ));
    }
    let looked_at: Vec<&str> = active.iter().take(5).map(|app| app.label.as_str()).collect();
    Ok(Check::failed(
        "assigned",
        TITLE,
        format!(
            "It is assigned to none of the {} synced apps ({}).",
            active.len(),
            looked_at.join(", ")
        ),
        "At Okta open Applications \u{2192} Applications, the sign-in app, Assignments, and assign it, or a group that \
         the user is in.",
    ))
}
