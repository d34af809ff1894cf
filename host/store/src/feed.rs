//! What readers of the change feed are told.

use idsync_model::{DeleteReason, DirectoryId, EntityCounts, FeedCursor, FeedId, Operation, RunId};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::{GroupRow, UserRow};

/// Changes that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePage {
    /// The tenant's feed.
    pub feed: FeedId,
    /// The changes, in their order.
    pub rows: Vec<ChangeRow>,
    /// The position to go on from. It moves on also where a directory had no changes.
    pub next: u64,
    /// The number of the tenant's last change.
    pub last: u64,
}

/// One change. As JSON it is one flat object, whose fields always have the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its number in the feed.
    pub seq: u64,
    /// The feed.
    pub feed: FeedId,
    /// The run that made it.
    pub run: RunId,
    /// The directory that it is of.
    pub directory: DirectoryId,
    /// What changed.
    pub body: ChangeBody,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeBody {
    /// A user.
    User {
        /// What became of it.
        operation: Operation,
        /// The provider's id.
        external_id: String,
        /// The row after it; `None` for a deletion.
        row: Option<UserRow>,
        /// The row before it; `None` for a creation.
        before: Option<UserRow>,
        /// Why it was deleted.
        reason: Option<DeleteReason>,
    },
    /// A group.
    Group {
        /// What became of it.
        operation: Operation,
        /// The provider's id.
        external_id: String,
        /// The row after it; `None` for a deletion.
        row: Option<GroupRow>,
        /// The row before it; `None` for a creation.
        before: Option<GroupRow>,
        /// Why it was deleted.
        reason: Option<DeleteReason>,
    },
    /// A membership.
    Membership {
        /// What became of it.
        operation: Operation,
        /// The group's external id.
        group: String,
        /// The user's external id.
        user: String,
        /// Why it was deleted: the user's or the group's reason where one of them went.
        reason: Option<DeleteReason>,
    },
    /// The run was applied: the changes of its block are complete.
    Applied {
        /// What the run did.
        counts: AppliedCounts,
    },
}

/// What an applied run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppliedCounts {
    /// To users.
    pub users: EntityCounts,
    /// To groups.
    pub groups: EntityCounts,
    /// To memberships.
    pub memberships: EntityCounts,
}

impl ChangeRow {
    /// The position of a reader that has taken this change.
    pub fn cursor(&self) -> FeedCursor {
        FeedCursor::of(self.feed.clone(), self.seq)
    }
}

impl Serialize for ChangeRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, operation) = match &self.body {
            ChangeBody::User { operation, .. } => ("user", Some(operation)),
            ChangeBody::Group { operation, .. } => ("group", Some(operation)),
            ChangeBody::Membership { operation, .. } => ("membership", Some(operation)),
            ChangeBody::Applied { .. } => ("applied", None),
        };
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("type", kind)?;
        if let Some(operation) = operation {
            line.serialize_entry("op", operation)?;
        }
        line.serialize_entry("seq", &self.seq)?;
        line.serialize_entry("cursor", &self.cursor())?;
        line.serialize_entry("run", &self.run)?;
        line.serialize_entry("directory", &self.directory)?;
        let reason = match &self.body {
            ChangeBody::User {
                external_id,
                row,
                before,
                reason,
                ..
            } => {
                rows(&mut line, external_id, row.as_ref(), before.as_ref())?;
                reason
            }
            ChangeBody::Group {
                external_id,
                row,
                before,
                reason,
                ..
            } => {
                rows(&mut line, external_id, row.as_ref(), before.as_ref())?;
                reason
            }
            ChangeBody::Membership {
                group, user, reason, ..
            } => {
                line.serialize_entry("group", group)?;
                line.serialize_entry("user", user)?;
                reason
            }
            ChangeBody::Applied { counts } => {
                line.serialize_entry("counts", counts)?;
                &None
            }
        };
        if let Some(reason) = reason {
            line.serialize_entry("reason", reason)?;
        }
        line.end()
    }
}

fn rows<M: SerializeMap>(
    line: &mut M,
    external_id: &str,
    row: Option<&impl Serialize>,
    before: Option<&impl Serialize>,
) -> Result<(), M::Error> {
    line.serialize_entry("external_id", external_id)?;
    if let Some(row) = row {
        line.serialize_entry("row", row)?;
    }
    if let Some(before) = before {
        line.serialize_entry("before", before)?;
    }
    Ok(())
}
