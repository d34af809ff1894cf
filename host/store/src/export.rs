//! The rows of an export, as scripts and readers see them.

use idsync_model::{FeedCursor, FeedId};
use serde::{Deserialize, Serialize};

/// A user as readers see it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UserRow {
    /// The provider's id.
    pub external_id: String,
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
    /// The provider's word for the status.
    pub status: String,
}

/// A group as readers see it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupRow {
    /// The provider's id.
    pub external_id: String,
    /// The name to show.
    pub name: String,
    /// What the group is for.
    pub description: Option<String>,
}

/// A membership as readers see it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MembershipRow {
    /// The group's external id.
    pub group: String,
    /// The user's external id.
    pub user: String,
}

/// One line of an export: users, then groups, then memberships, each by the bytes of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ExportRow {
    /// A user.
    User(UserRow),
    /// A group.
    Group(GroupRow),
    /// A membership.
    Membership(MembershipRow),
    /// The last line.
    End {
        /// The number of the tenant's last change: `export`, then the changes after it, is a full copy.
        seq: u64,
        /// The feed that the number is of.
        feed: FeedId,
        /// Both as [`Store::changes`](crate::Store::changes) takes them.
        cursor: FeedCursor,
    },
}

/// Whoever takes the rows of an export. It is called on a thread that may block.
pub type ExportSink = Box<dyn FnMut(ExportRow) -> std::io::Result<()> + Send>;
