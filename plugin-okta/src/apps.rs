//! The apps whose users and groups are synced: those that the role can see, less what is inactive, and the ones that an
//! earlier run saw (RUNS §1.4, §1.5).

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::client::{Answer, Client};
use crate::failure::{ErrorKind, Failure};
use crate::hints;
use crate::host::{Host, LogLevel};
use crate::link::encoded;
use crate::model;
use crate::pace::Bucket;
use crate::pages::{End, Listing};

/// The stage of what concerns apps.
pub const STAGE: &str = "apps";
/// What is read, for people.
const LIST: &str = "the list of apps";
/// Okta's largest page of apps.
const LIMIT: u32 = 200;
/// Under this name the apps that were seen are kept between runs.
const MEMORY: &str = "apps";
/// How long an app that is gone is still asked for: as long as its users' rows are kept.
const FORGET_AFTER_SECONDS: i64 = 30 * 86_400;
/// No more apps than this are kept, so that the memory stays within its bounds.
const MOST_KEPT: usize = 1_000;
/// Nor more than this of their ids: the memory has room for 64 KiB in all.
const MOST_KEPT_BYTES: usize = 60 << 10;

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its id.
    pub id: String,
    /// Its name for people, or its id.
    pub label: String,
    /// Whether its users may use it.
    pub is_active: bool,
}

impl App {
    fn read(app: &model::App<'_>) -> Self {
        Self {
            id: app.id.0.to_string(),
            label: app.label.trimmed().unwrap_or(&app.id.0).to_owned(),
            is_active: app.status.trimmed() == Some("ACTIVE"),
        }
    }
}

/// An app that an earlier run saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    id: String,
    /// Since when it is gone, in Unix seconds by Okta's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone_since: Option<i64>,
}

/// What asking for one app by its id has told.
#[derive(Debug)]
pub enum ById {
    /// It is there.
    Found(App),
    /// There is no such app.
    Gone(Answer),
    /// The role may not see it.
    Refused(Answer),
}

/// Asks for one app.
pub async fn by_id<H: Host>(client: &Client<'_, H>, id: &str) -> Result<ById, Failure> {
    let what = format!("the app {id}");
    let target = format!("/api/v1/apps/{}", encoded(id));
    let answer = client.get(STAGE, &what, Bucket::Apps, target).await?;
    match answer.status {
        200 => {
            let app: model::App<'_> = answer.json(STAGE, &what)?;
            Ok(ById::Found(App::read(&app)))
        }
        404 => Ok(ById::Gone(answer)),
        403 => Ok(ById::Refused(answer)),
        _ => Err(answer.failure(STAGE, &what)),
    }
}

/// All apps that the role can see.
pub async fn list<H: Host>(client: &Client<'_, H>) -> Result<Result<Vec<App>, Answer>, Failure> {
    let mut listing = Listing::new(client, STAGE, LIST, Bucket::Apps, "/api/v1/apps", None, LIMIT);
    let mut apps: Vec<App> = Vec::new();
    let end = listing
        .for_each_page(async |page| {
            for app in page.rows::<model::App<'_>>()? {
                let app = App::read(&app);
                match apps.iter_mut().find(|known| known.id == app.id) {
                    Some(known) => *known = app, // The later answer wins (RUNS §1.6).
                    None => apps.push(app),
                }
            }
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    match end {
        End::Complete | End::Stopped => Ok(Ok(apps)),
        End::Refused {
            answer,
            is_first: true,
        } if answer.status == 403 => Ok(Err(answer)),
        End::Refused { answer, .. } => Err(answer.failure(STAGE, LIST)),
    }
}

async fn recall<H: Host>(client: &Client<'_, H>) -> Vec<Seen> {
    let kept = client.host.recall(MEMORY).await.unwrap_or_default();
    serde_json::from_slice(&kept).unwrap_or_default()
}

async fn keep<H: Host>(client: &Client<'_, H>, mut seen: Vec<Seen>) {
    seen.truncate(MOST_KEPT);
    while let Ok(value) = serde_json::to_vec(&seen) {
        if value.len() <= MOST_KEPT_BYTES {
            client.host.remember(MEMORY, value).await;
            return;
        }
        // Ids are Okta's, and mostly short.
        seen.truncate(seen.len() / 2);
    }
}

/// The apps of a run: what is to be read, and what to keep in mind when all of it was.
#[derive(Debug)]
pub struct Scope {
    /// The apps that are active.
    pub active: Vec<App>,
    /// Remarks for the admin.
    pub notes: Vec<String>,
    seen: Vec<Seen>,
}

impl Scope {
    /// Keeps the apps for the next run. It is called when all was read; whether the host then applies it is not known,
    /// so that nothing is forgotten here but what has been gone for long.
    pub async fn remember<H: Host>(self, client: &Client<'_, H>) {
        keep(client, self.seen).await;
    }
}

/// Finds the apps of a run.
pub async fn scope<H: Host>(client: &Client<'_, H>) -> Result<Scope, Failure> {
    if let Some(id) = &client.settings.app_id {
        return only(client, id).await;
    }
    let apps = match list(client).await? {
        Ok(apps) => apps,
        Err(answer) => {
            return Err(Failure {
                hint: format!(
                    "{} View applications and their details. {}",
                    hints::ROLE_PERMISSIONS,
                    hints::FOUR_THINGS
                ),
                ..answer.failure(STAGE, LIST)
            });
        }
    };
    with_earlier(client, apps).await
}

async fn only<H: Host>(client: &Client<'_, H>, id: &str) -> Result<Scope, Failure> {
    let app = match by_id(client, id).await? {
        ById::Found(app) => app,
        ById::Gone(answer) => {
            return Err(Failure {
                hint: "Correct `app_id`, or clear it to sync every app that the role can see.".to_owned(),
                ..answer.failure(STAGE, &format!("the app {id}, which the settings name"))
            });
        }
        ById::Refused(answer) => return Err(refused(id, &answer)),
    };
    let seen = vec![Seen {
        id: id.to_owned(),
        gone_since: None,
    }];
    let notes = if app.is_active {
        Vec::new()
    } else {
        vec![format!(
            "The app {} is not active at Okta, so nobody is synced.",
            app.label
        )]
    };
    Ok(Scope {
        active: Some(app).into_iter().filter(|app| app.is_active).collect(),
        notes,
        seen,
    })
}

fn refused(id: &str, answer: &Answer) -> Failure {
    Failure {
        hint: format!(
            "{} the app {id}. If it was taken out on purpose, confirm that with `idsync directory verify ID`.",
            hints::RESOURCE_SET
        ),
        ..answer.failure(STAGE, &format!("the app {id}, which was seen before"))
    }
}

/// Looks for the apps that an earlier run saw and the listing lacks: gone is true, refused is a fault of the role.
async fn with_earlier<H: Host>(client: &Client<'_, H>, mut apps: Vec<App>) -> Result<Scope, Failure> {
    let now = client.clock.now_seconds(client.host);
    let mut seen: Vec<Seen> = Vec::new();
    let mut notes = Vec::new();
    let earlier = recall(client).await;
    for before in &earlier {
        if apps.iter().any(|app| app.id == before.id) {
            continue;
        }
        match by_id(client, &before.id).await? {
            ById::Found(app) => apps.push(app), // The listing missed it; it can be read all the same.
            ById::Refused(answer) => return Err(refused(&before.id, &answer)),
            ById::Gone(_) => {
                let gone_since = before.gone_since.unwrap_or(now);
                if before.gone_since.is_none() {
                    notes.push(format!("The app {} is gone at Okta.", before.id));
                }
                if now - gone_since < FORGET_AFTER_SECONDS {
                    seen.push(Seen {
                        id: before.id.clone(),
                        gone_since: Some(gone_since),
                    });
                }
            }
        }
    }
    if apps.is_empty() && earlier.is_empty() {
        return Err(nothing_visible());
    }
    let listed = apps.iter().map(|app| Seen {
        id: app.id.clone(),
        gone_since: None,
    });
    seen.splice(0..0, listed);
    if seen.len() > MOST_KEPT {
        notes.push(format!(
            "Of {} apps only {MOST_KEPT} are kept in mind: that one of the others goes out of sight is not noticed.",
            seen.len()
        ));
    }
    let active: Vec<App> = apps.into_iter().filter(|app| app.is_active).collect();
    if active.is_empty() {
        notes.push("No app that the role can see is active at Okta, so nobody is synced.".to_owned());
    }
    Ok(Scope { active, notes, seen })
}

/// No app can be seen, and none ever was.
pub fn nothing_visible() -> Failure {
    Failure::new(
        ErrorKind::Forbidden,
        STAGE,
        "Asking Okta for the list of apps, it was empty: the role can see no app.",
        format!("{} the sign-in app under Applications.", hints::RESOURCE_SET),
    )
}

/// When a person verifies the directory: apps seen before that the role may no longer see. From then on they are left
/// alone, because the person was told.
pub async fn confirm<H: Host>(client: &Client<'_, H>, apps: &[App]) -> Result<Vec<String>, Failure> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut refused = Vec::new();
    for before in recall(client).await {
        if apps.iter().any(|app| app.id == before.id) {
            seen.push(Seen {
                gone_since: None,
                ..before
            });
            continue;
        }
        match by_id(client, &before.id).await? {
            ById::Refused(_) if client.settings.app_id.is_none() => refused.push(before.id),
            _ => seen.push(before),
        }
    }
    if !refused.is_empty() {
        client.host.log(
            LogLevel::Warn,
            "apps that were synced before are no longer visible",
            &[("apps", &refused.join(" "))],
        );
        keep(client, seen).await;
    }
    Ok(refused)
}
