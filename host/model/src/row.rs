//! The rows that are synced: users, groups, memberships.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ExternalId;

/// The kinds of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// A person with an account at the provider.
    User,
    /// A named set of users.
    Group,
    /// That one user belongs to one group.
    Membership,
}

impl Entity {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::User, Self::Group, Self::Membership];

    /// The word for many of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Group => "groups",
            Self::Membership => "memberships",
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Membership => "membership",
        })
    }
}

/// A user as the provider shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The provider's id.
    pub external_id: ExternalId,
    /// The primary address.
    pub email: String,
    /// What the user signs in with.
    pub username: String,
    /// The name to show.
    pub display_name: Option<String>,
    /// The given name.
    pub given_name: Option<String>,
    /// The family name.
    pub family_name: Option<String>,
    /// Whether readers see the user.
    pub active: bool,
    /// The provider's own word for the status.
    pub provider_status: String,
}

/// A group as the provider shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The provider's id.
    pub external_id: ExternalId,
    /// The name to show.
    pub name: String,
    /// What the group is for.
    pub description: Option<String>,
    /// The provider's own word for the kind of group.
    pub provider_kind: Option<String>,
    /// Tells whether the members changed.
    pub members_version: Option<MembersVersion>,
}

/// A mark that changes when a group's members change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembersVersion {
    /// When they last changed: Unix milliseconds by the provider's clock.
    ChangedAt(u64),
    /// An opaque tag, compared for equality.
    Tag(String),
}

/// How many rows readers see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCounts {
    /// Users.
    pub users: u64,
    /// Groups.
    pub groups: u64,
    /// Memberships whose user and group are both visible.
    pub memberships: u64,
}

/// What a change did to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Readers see it for the first time, or again.
    Create,
    /// It reads differently.
    Update,
    /// Readers see it no longer.
    Delete,
}

/// Why readers no longer see a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteReason {
    /// The provider showed the user as not active.
    Inactive,
    /// The record can't be synced any more, for instance because it has no e-mail.
    Skipped,
    /// The group was deleted while it was read.
    Gone,
    /// Its directory was removed.
    Removed,
    /// The provider no longer lists it.
    Absent,
}

impl DeleteReason {
    /// The word in the change feed and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Skipped => "skipped",
            Self::Gone => "gone",
            Self::Removed => "removed",
            Self::Absent => "absent",
        }
    }
}
