//! What can happen in the org between two syncs: people come, change and go, groups gain and lose members.

use serde::{Deserialize, Serialize};

use crate::org::{Scope, UserStatus};

/// One change. Users are named by id or login, groups by id or name, apps by id; no app means the sign-in app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Change {
    /// A person is made, and assigned to an app unless `unassigned`.
    AddUser {
        /// The login.
        login: String,
        /// The primary address.
        #[serde(default)]
        email: Option<String>,
        /// The given name.
        #[serde(default)]
        first_name: Option<String>,
        /// The family name.
        #[serde(default)]
        last_name: Option<String>,
        /// The status; ACTIVE when not said.
        #[serde(default)]
        status: Option<UserStatus>,
        /// Whether no app is assigned.
        #[serde(default)]
        unassigned: bool,
    },
    /// A person's profile changes: the fields that are given.
    UpdateUser {
        /// Who.
        user: String,
        /// The new address; empty for none.
        #[serde(default)]
        email: Option<String>,
        /// The new login.
        #[serde(default)]
        login: Option<String>,
        /// The new given name.
        #[serde(default)]
        first_name: Option<String>,
        /// The new family name.
        #[serde(default)]
        last_name: Option<String>,
        /// The new display name.
        #[serde(default)]
        display_name: Option<String>,
    },
    /// A person is suspended, deactivated, unlocked, ….
    SetStatus {
        /// Who.
        user: String,
        /// To what.
        status: UserStatus,
    },
    /// A person is deleted: gone from every app and group.
    DeleteUser {
        /// Who.
        user: String,
    },
    /// A person is assigned to an app.
    AssignUser {
        /// Which app.
        #[serde(default)]
        app: Option<String>,
        /// Who.
        user: String,
        /// How.
        #[serde(default)]
        scope: Option<Scope>,
    },
    /// A person is no longer assigned to an app.
    UnassignUser {
        /// Which app.
        #[serde(default)]
        app: Option<String>,
        /// Who.
        user: String,
    },
    /// Nobody is assigned to an app any more; its groups stay.
    UnassignAllUsers {
        /// Which app.
        #[serde(default)]
        app: Option<String>,
    },
    /// A group is made, and assigned to an app unless `unassigned`.
    AddGroup {
        /// The name.
        name: String,
        /// What it is for.
        #[serde(default)]
        description: Option<String>,
        /// Who is in it.
        #[serde(default)]
        members: Vec<String>,
        /// Whether no app is assigned.
        #[serde(default)]
        unassigned: bool,
    },
    /// A group's name or description changes.
    RenameGroup {
        /// Which.
        group: String,
        /// The new name.
        #[serde(default)]
        name: Option<String>,
        /// The new description.
        #[serde(default)]
        description: Option<String>,
    },
    /// A group is deleted: gone from every app.
    DeleteGroup {
        /// Which.
        group: String,
        /// Whether the apps still name it, as they do for a while at Okta.
        #[serde(default)]
        still_assigned: bool,
    },
    /// A group is assigned to an app. Its members become users of the app when `with_members`.
    AssignGroup {
        /// Which app.
        #[serde(default)]
        app: Option<String>,
        /// Which group.
        group: String,
        /// Whether its members become users of the app.
        #[serde(default)]
        with_members: bool,
    },
    /// A group is no longer assigned to an app; the users stay.
    UnassignGroup {
        /// Which app.
        #[serde(default)]
        app: Option<String>,
        /// Which group.
        group: String,
    },
    /// No group is assigned to an app any more.
    UnassignAllGroups {
        /// Which app.
        #[serde(default)]
        app: Option<String>,
        /// Whether those who came through a group stay users of the app.
        #[serde(default)]
        keep_users: bool,
    },
    /// A person joins a group.
    AddMember {
        /// Which group.
        group: String,
        /// Who.
        user: String,
    },
    /// A person leaves a group.
    RemoveMember {
        /// Which group.
        group: String,
        /// Who.
        user: String,
    },
    /// `lastMembershipUpdated` of a group is set, whether or not its members changed.
    TouchGroup {
        /// Which.
        group: String,
        /// To what, in Unix seconds; now when not said.
        #[serde(default)]
        at: Option<i64>,
    },
    /// An app is made.
    AddApp {
        /// Its label.
        label: String,
        /// Whether it is inactive.
        #[serde(default)]
        inactive: bool,
    },
    /// An app is activated or deactivated.
    SetAppActive {
        /// Which; the sign-in app when not said.
        #[serde(default)]
        app: Option<String>,
        /// To what.
        active: bool,
    },
    /// An app is deleted.
    DeleteApp {
        /// Which; the sign-in app when not said.
        #[serde(default)]
        app: Option<String>,
    },
}

/// Why a change could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such user.
    #[error("changing the org: there is no user {0:?}; name one by id or login")]
    NoUser(String),
    /// There is no such group.
    #[error("changing the org: there is no group {0:?}; name one by id or name")]
    NoGroup(String),
    /// There is no such app.
    #[error("changing the org: there is no app {0:?}; name one by id")]
    NoApp(String),
}
