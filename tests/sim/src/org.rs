//! What the org holds: users, groups, apps and who is assigned to which.

use serde::{Deserialize, Serialize};

use crate::ids::Id;

/// The place of a user in [`Org::users`].
pub(crate) type UserAt = u32;
/// The place of a group in [`Org::groups`].
pub(crate) type GroupAt = u32;

/// The statuses of a user (Okta: "User status" of the Users API).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UserStatus {
    /// Made, not yet activated.
    Staged,
    /// Activated, has not signed in yet.
    Provisioned,
    /// In use.
    Active,
    /// Asked for a new password.
    Recovery,
    /// The password must be changed.
    PasswordExpired,
    /// Too many wrong passwords.
    LockedOut,
    /// Suspended by an admin.
    Suspended,
    /// Deactivated.
    Deprovisioned,
}

impl UserStatus {
    /// Okta's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "STAGED",
            Self::Provisioned => "PROVISIONED",
            Self::Active => "ACTIVE",
            Self::Recovery => "RECOVERY",
            Self::PasswordExpired => "PASSWORD_EXPIRED",
            Self::LockedOut => "LOCKED_OUT",
            Self::Suspended => "SUSPENDED",
            Self::Deprovisioned => "DEPROVISIONED",
        }
    }

    /// Whether a sync shows a user of this status.
    pub fn is_synced(self) -> bool {
        !matches!(self, Self::Suspended | Self::Deprovisioned)
    }
}

/// One person.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: Id,
    pub(crate) status: UserStatus,
    /// How many fields the profile has beyond Okta's own.
    pub(crate) extra_fields: u16,
    pub(crate) first_name: Option<Box<str>>,
    pub(crate) last_name: Option<Box<str>>,
    pub(crate) display_name: Option<Box<str>>,
    pub(crate) email: Option<Box<str>>,
    pub(crate) login: Box<str>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) is_deleted: bool,
}

/// The kinds of group (Okta: `type` of the Groups API).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GroupType {
    /// Made in Okta.
    OktaGroup,
    /// Imported from an app, as from Active Directory.
    AppGroup,
    /// Everyone.
    BuiltIn,
}

/// One group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) id: Id,
    pub(crate) kind: GroupType,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) membership_updated: i64,
    /// Ascending.
    pub(crate) members: Vec<UserAt>,
    pub(crate) is_deleted: bool,
}

/// How a user came to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// Assigned as a person.
    User,
    /// Through a group.
    Group,
}

/// One user of an app.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppUser {
    pub(crate) user: UserAt,
    pub(crate) scope: Scope,
}

/// One group of an app.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppGroup {
    pub(crate) group: GroupAt,
    pub(crate) priority: u32,
    pub(crate) updated: i64,
}

/// One app.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) id: Id,
    /// Okta's key of the kind of app, as `oidc_client`.
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) sign_on_mode: String,
    /// Of an OIDC app: `web`, `browser`, `native` or `service`.
    pub(crate) application_type: Option<String>,
    pub(crate) is_active: bool,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    /// Ascending by user.
    pub(crate) users: Vec<AppUser>,
    /// Ascending by group.
    pub(crate) groups: Vec<AppGroup>,
    pub(crate) is_deleted: bool,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct Org {
    pub(crate) seed: u64,
    /// Ascending by id, deleted ones included.
    pub(crate) users: Vec<User>,
    /// Ascending by id, deleted ones included.
    pub(crate) groups: Vec<Group>,
    /// Ascending by id, deleted ones included.
    pub(crate) apps: Vec<App>,
    /// The place of the sign-in app.
    pub(crate) sign_in: usize,
}

/// A number of a row as its place in a list.
pub(crate) fn at(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// A place in a list as an index.
pub(crate) fn ix(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

impl Org {
    /// The id of the next user.
    pub(crate) fn next_user_id(&self) -> Id {
        Id::nth("00u", self.seed, self.users.len() as u64)
    }

    /// The id of the next group.
    pub(crate) fn next_group_id(&self) -> Id {
        Id::nth("00g", self.seed, self.groups.len() as u64)
    }

    /// The id of the next app.
    pub(crate) fn next_app_id(&self) -> Id {
        Id::nth("0oa", self.seed, self.apps.len() as u64)
    }

    /// Where the user of an id is, unless deleted.
    pub(crate) fn user_at(&self, id: &str) -> Option<UserAt> {
        let id = Id::parse(id)?;
        let place = self.users.binary_search_by(|user| user.id.cmp(&id)).ok()?;
        (!self.users[place].is_deleted).then_some(at(place))
    }

    /// Where the user of an id or a login is, unless deleted.
    pub(crate) fn user_by_name(&self, who: &str) -> Option<UserAt> {
        self.user_at(who).or_else(|| {
            let is_it = |user: &User| !user.is_deleted && user.login.trim().eq_ignore_ascii_case(who.trim());
            self.users.iter().position(is_it).map(at)
        })
    }

    /// Where the group of an id is, unless deleted.
    pub(crate) fn group_at(&self, id: &str) -> Option<GroupAt> {
        let id = Id::parse(id)?;
        let place = self.groups.binary_search_by(|group| group.id.cmp(&id)).ok()?;
        (!self.groups[place].is_deleted).then_some(at(place))
    }

    /// Where the group of an id or a name is, unless deleted.
    pub(crate) fn group_by_name(&self, which: &str) -> Option<GroupAt> {
        self.group_at(which).or_else(|| {
            self.groups
                .iter()
                .position(|group| !group.is_deleted && group.name == which)
                .map(at)
        })
    }

    /// Where the app of an id is, unless deleted.
    pub(crate) fn app_at(&self, id: &str) -> Option<usize> {
        self.apps
            .iter()
            .position(|app| !app.is_deleted && app.id.as_str() == id)
    }

    /// The user at a place.
    pub(crate) fn user(&self, place: UserAt) -> &User {
        &self.users[ix(place)]
    }

    /// The group at a place.
    pub(crate) fn group(&self, place: GroupAt) -> &Group {
        &self.groups[ix(place)]
    }
}

impl App {
    /// Where in [`App::users`] a user is, or would be.
    pub(crate) fn find_user(&self, user: UserAt) -> Result<usize, usize> {
        self.users.binary_search_by(|row| row.user.cmp(&user))
    }

    /// Where in [`App::groups`] a group is, or would be.
    pub(crate) fn find_group(&self, group: GroupAt) -> Result<usize, usize> {
        self.groups.binary_search_by(|row| row.group.cmp(&group))
    }
}
