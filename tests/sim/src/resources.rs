//! The resource endpoints: which path is which, what each needs, and what it answers.

use http::StatusCode;
use serde_json::json;

use crate::answer::{Answer, Link, Links, forbidden, not_found, okta_error};
use crate::org::Org;
use crate::pages::{Cut, Limit, Listing};
use crate::rows::{self, Detail};
use crate::search::Search;
use crate::settings::{DropsExpand, Refusal, Settings};
use crate::state::{State, lock, read};

/// An endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Token,
    Organization,
    Apps,
    App,
    AppUsers,
    AppUser,
    AppGroups,
    AppGroup,
    Groups,
    Group,
    Members,
    Users,
    User,
    GroupsOf,
    Unknown,
}

impl Endpoint {
    /// The endpoint of a path, and the ids in the path.
    pub(crate) fn of(method: &str, path: &str) -> (Self, Vec<String>) {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let endpoint = match (method, parts.as_slice()) {
            ("POST", ["oauth2", "v1", "token"]) => Self::Token,
            ("GET", [".well-known", "okta-organization"]) => Self::Organization,
            ("GET", ["api", "v1", rest @ ..]) => match rest {
                ["apps"] => Self::Apps,
                ["apps", _] => Self::App,
                ["apps", _, "users"] => Self::AppUsers,
                ["apps", _, "users", _] => Self::AppUser,
                ["apps", _, "groups"] => Self::AppGroups,
                ["apps", _, "groups", _] => Self::AppGroup,
                ["groups"] => Self::Groups,
                ["groups", _] => Self::Group,
                ["groups", _, "users"] => Self::Members,
                ["users"] => Self::Users,
                ["users", _] => Self::User,
                ["users", _, "groups"] => Self::GroupsOf,
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        };
        let id = |place: usize| parts.get(place).map(|part| decoded(part));
        (endpoint, [id(3), id(5)].into_iter().flatten().collect())
    }

    /// Its path with `{id}` for the ids.
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Self::Token => "/oauth2/v1/token",
            Self::Organization => "/.well-known/okta-organization",
            Self::Apps => "/api/v1/apps",
            Self::App => "/api/v1/apps/{id}",
            Self::AppUsers => "/api/v1/apps/{id}/users",
            Self::AppUser => "/api/v1/apps/{id}/users/{id}",
            Self::AppGroups => "/api/v1/apps/{id}/groups",
            Self::AppGroup => "/api/v1/apps/{id}/groups/{id}",
            Self::Groups => "/api/v1/groups",
            Self::Group => "/api/v1/groups/{id}",
            Self::Members => "/api/v1/groups/{id}/users",
            Self::Users => "/api/v1/users",
            Self::User => "/api/v1/users/{id}",
            Self::GroupsOf => "/api/v1/users/{id}/groups",
            Self::Unknown => "other",
        }
    }

    /// Its bucket of the rate limits.
    pub(crate) fn bucket(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Apps | Self::App | Self::AppUsers | Self::AppUser | Self::AppGroups | Self::AppGroup => {
                "apps"
            }
            Self::Groups | Self::Group | Self::Members => "groups",
            Self::Users | Self::User | Self::GroupsOf => "users",
            Self::Organization | Self::Unknown => "other",
        }
    }

    /// The scope that it needs.
    pub(crate) fn scope(self) -> &'static str {
        match self.bucket() {
            "apps" => "okta.apps.read",
            "groups" => "okta.groups.read",
            _ => "okta.users.read",
        }
    }

    fn needs(self) -> Needs {
        let needs = |apps, groups, users| Needs { apps, groups, users };
        match self {
            Self::Apps | Self::App => needs(true, false, false),
            Self::AppUsers | Self::AppUser => needs(true, false, true),
            Self::AppGroups | Self::AppGroup => needs(true, true, false),
            Self::Groups | Self::Group => needs(false, true, false),
            Self::Members | Self::GroupsOf => needs(false, true, true),
            Self::Users | Self::User => needs(false, false, true),
            Self::Token | Self::Organization | Self::Unknown => needs(false, false, false),
        }
    }

    fn is_listing(self) -> bool {
        matches!(
            self,
            Self::Apps
                | Self::AppUsers
                | Self::AppGroups
                | Self::Groups
                | Self::Members
                | Self::Users
                | Self::GroupsOf
        )
    }
}

#[derive(Clone, Copy)]
struct Needs {
    apps: bool,
    groups: bool,
    users: bool,
}

fn decoded(part: &str) -> String {
    let plus = part.replace('+', "%2B");
    url::form_urlencoded::parse(plus.as_bytes())
        .next()
        .map_or_else(String::new, |(key, _)| key.into_owned())
}

/// A request for a resource whose token was accepted.
pub(crate) struct Request {
    pub(crate) endpoint: Endpoint,
    pub(crate) path: String,
    pub(crate) ids: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    /// As [`Cut::moved`].
    pub(crate) moved: isize,
    /// Whether a compressed page is welcome.
    pub(crate) accepts_gzip: bool,
}

impl Request {
    fn value(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn id(&self, n: usize) -> &str {
        self.ids.get(n).map_or("", String::as_str)
    }

    /// The answer.
    pub(crate) fn answer(&self, state: &State) -> Answer {
        let settings = state.settings();
        self.answered(state, &settings).unwrap_or_else(|refused| refused)
    }

    fn answered(&self, state: &State, settings: &Settings) -> Result<Answer, Answer> {
        if self.endpoint == Endpoint::Unknown {
            let summary = "The requested resource does not exist.";
            return Err(okta_error(StatusCode::NOT_FOUND, "E0000022", summary, &[]));
        }
        let role = settings.role.ok_or_else(forbidden)?;
        let needs = self.endpoint.needs();
        let is_allowed =
            (role.apps || !needs.apps) && (role.groups || !needs.groups) && (role.users || !needs.users);
        if !is_allowed && settings.without_permission == Refusal::Forbidden {
            return Err(forbidden());
        }
        let reach = &settings.resource_set;
        let is_reached = (reach.groups || !needs.groups) && (reach.users || !needs.users);
        if !is_reached && settings.outside_resource_set == Refusal::Forbidden {
            return Err(forbidden());
        }
        let org = read(&state.org);
        if self.endpoint.is_listing() {
            let is_shown = is_allowed && is_reached;
            return self.listing(state, settings, &org, is_shown);
        }
        if !is_allowed || !is_reached {
            return Err(forbidden());
        }
        let base = state.base();
        let mut body = String::new();
        self.one(settings, &org, &base, &mut body)?;
        Ok(Answer::json(StatusCode::OK, body))
    }

    /// The place of the app in the path, when the role reaches it.
    fn app(&self, settings: &Settings, org: &Org) -> Result<usize, Answer> {
        let place = org
            .app_at(self.id(0))
            .ok_or_else(|| not_found(self.id(0), "AppInstance"))?;
        let only = settings.resource_set.apps.as_ref();
        let is_reached = only.is_none_or(|ids| ids.iter().any(|id| id == self.id(0)));
        if is_reached { Ok(place) } else { Err(forbidden()) }
    }

    fn one(&self, settings: &Settings, org: &Org, base: &str, body: &mut String) -> Result<(), Answer> {
        let is_expanded = |what: &str| self.value("expand") == Some(what);
        match self.endpoint {
            Endpoint::App => {
                let app = self.app(settings, org)?;
                rows::app(body, base, &settings.org_id, &org.apps[app]);
            }
            Endpoint::AppUser => {
                let app = &org.apps[self.app(settings, org)?];
                let row = org.user_at(self.id(1)).and_then(|user| app.find_user(user).ok());
                let row = row.ok_or_else(|| not_found(self.id(1), "AppUser"))?;
                rows::app_user(body, base, org, app, app.users[row], is_expanded("user"));
            }
            Endpoint::AppGroup => {
                let app = &org.apps[self.app(settings, org)?];
                // A group that was deleted is named by its apps for a while.
                let row = app
                    .groups
                    .iter()
                    .position(|row| org.group(row.group).id.as_str() == self.id(1));
                let row = row.ok_or_else(|| not_found(self.id(1), "ApplicationGroupAssignment"))?;
                rows::app_group(body, base, org, app, app.groups[row], is_expanded("group"));
            }
            Endpoint::Group => {
                let group = org
                    .group_at(self.id(0))
                    .ok_or_else(|| not_found(self.id(0), "UserGroup"))?;
                rows::group(body, base, org.group(group));
            }
            _ => {
                let user = org
                    .user_by_name(self.id(0))
                    .ok_or_else(|| not_found(self.id(0), "User"))?;
                rows::user(body, base, org.user(user), Detail::Whole);
            }
        }
        Ok(())
    }

    fn listing_of(&self, settings: &Settings, org: &Org) -> Result<Listing, Answer> {
        let group = || {
            org.group_at(self.id(0))
                .ok_or_else(|| not_found(self.id(0), "UserGroup"))
        };
        Ok(match self.endpoint {
            Endpoint::Apps => Listing::Apps(settings.resource_set.apps.clone()),
            Endpoint::AppUsers => Listing::AppUsers(self.app(settings, org)?),
            Endpoint::AppGroups => Listing::AppGroups(self.app(settings, org)?),
            Endpoint::Groups => match self.value("search") {
                None => Listing::Groups(self.value("q").map(str::to_owned)),
                Some(expression) => Listing::Groups(Some(named(expression)?)),
            },
            Endpoint::Members => Listing::Members(group()?),
            Endpoint::GroupsOf => {
                let user = org
                    .user_by_name(self.id(0))
                    .ok_or_else(|| not_found(self.id(0), "User"))?;
                Listing::GroupsOf(user)
            }
            _ => Listing::Users(Search::from_query(&self.query)?),
        })
    }

    fn listing(
        &self,
        state: &State,
        settings: &Settings,
        org: &Org,
        is_shown: bool,
    ) -> Result<Answer, Answer> {
        let mut listing = self.listing_of(settings, org)?;
        if !is_shown {
            listing = Listing::Nothing(Limit { ..listing.limit() });
        }
        let expand = self.value("expand");
        let cut = Cut {
            after: self.value("after").map(str::to_owned),
            limit: listing.limit_asked(self.value("limit"))?,
            is_expanded: matches!(
                (self.endpoint, expand),
                (Endpoint::AppUsers, Some("user")) | (Endpoint::AppGroups, Some("group"))
            ),
            moved: self.moved,
        };
        // Only pages that the org alone decides are kept: settings may change while one is made.
        let is_big = matches!(
            self.endpoint,
            Endpoint::AppUsers | Endpoint::AppGroups | Endpoint::Members
        );
        let is_kept = is_big && is_shown && self.accepts_gzip;
        let key = format!("{} {cut:?}", self.path);
        let kept = if is_kept {
            lock(&state.pages).get(&key).cloned()
        } else {
            None
        };
        let (mut answer, cursor) = if let Some((body, cursor)) = kept {
            let answer = Answer {
                is_gzip: true,
                ..Answer::json(StatusCode::OK, body)
            };
            (answer, cursor)
        } else {
            let page = listing.page(org, &state.base(), &settings.org_id, &cut)?;
            if is_kept {
                let body = crate::gzip::compressed(page.body.as_bytes());
                lock(&state.pages).insert(key, (body.clone(), page.cursor.clone()));
                (
                    Answer {
                        is_gzip: true,
                        ..Answer::json(StatusCode::OK, body)
                    },
                    page.cursor,
                )
            } else {
                (Answer::json(StatusCode::OK, page.body), page.cursor)
            }
        };
        answer.links = Some(self.links(state, settings, &cut, cursor));
        Ok(answer)
    }

    /// The links of a page: the parameters of the request, with the cursor of the page and of the next.
    fn links(&self, state: &State, settings: &Settings, cut: &Cut, next: Option<String>) -> Links {
        let is_even = |cursor: &str| cursor.bytes().map(u32::from).sum::<u32>().is_multiple_of(2);
        let is_every_other = cut.after.as_deref().is_none_or(is_even);
        let drops_expand = self.endpoint == Endpoint::AppUsers
            && match settings.drops_expand {
                DropsExpand::Always => true,
                DropsExpand::Never => false,
                DropsExpand::AtTimes => is_every_other,
            };
        let link = |after: Option<String>| {
            let mut query: Vec<(String, String)> = Vec::new();
            query.extend(after.map(|cursor| ("after".to_owned(), cursor)));
            let kept = self.query.iter().filter(|(name, _)| {
                name != "after" && name != "limit" && (name != "expand" || !drops_expand)
            });
            query.extend(kept.cloned());
            query.push(("limit".to_owned(), cut.limit.to_string()));
            Link {
                url: format!("{}{}", state.base(), self.path),
                query,
            }
        };
        Links {
            this: link(cut.after.clone()),
            next: next.map(|cursor| link(Some(cursor))),
        }
    }
}

/// The answer of `/.well-known/okta-organization`, which needs no token.
pub(crate) fn organization(state: &State) -> Answer {
    let base = state.base();
    let body = json!({
        "id": read(&state.settings).org_id,
        "pipeline": "idx",
        "settings": {
            "analyticsCollectionEnabled": false,
            "bugReportingEnabled": true,
            "omEnabled": false,
            "pssoEnabled": false,
            "desktopMFAEnabled": false,
            "itpEnabled": false,
        },
        "_links": {
            "organization": { "href": base },
            "alternate": { "href": base },
        },
    });
    Answer::json(StatusCode::OK, body.to_string())
}

/// The name in `profile.name eq "…"`, the one search of groups that is understood here.
fn named(expression: &str) -> Result<String, Answer> {
    expression
        .strip_prefix("profile.name eq \"")
        .and_then(|rest| rest.strip_suffix('"'))
        .map(|name| name.replace("\\\"", "\"").replace("\\\\", "\\"))
        .ok_or_else(|| {
            okta_error(
                StatusCode::BAD_REQUEST,
                "E0000031",
                "Invalid search criteria.",
                &[],
            )
        })
}
