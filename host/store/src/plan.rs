//! A plan: what applying a run would do. Only the planner makes one, and only a plan can be applied.

use idsync_model::{
    DeleteReason, DirectoryId, Entity, EntityCounts, ExternalId, Operation, RunId, StoredCounts, TenantName,
};
use serde::{Deserialize, Serialize};

/// What a plan does to the rows of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlannedCounts {
    /// Readers will see them newly.
    pub created: u64,
    /// They will read differently.
    pub updated: u64,
    /// Readers will see them no longer.
    pub deleted: u64,
    /// They stay as they are.
    pub unchanged: u64,
    /// Records of the run that could not be synced or were mended.
    pub skipped: u64,
}

impl From<PlannedCounts> for EntityCounts {
    fn from(counts: PlannedCounts) -> Self {
        Self {
            created: counts.created,
            updated: counts.updated,
            deleted: counts.deleted,
            unchanged: counts.unchanged,
            skipped: counts.skipped,
        }
    }
}

/// What a plan does, in numbers: all that the guard needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanSummary {
    /// What readers see now.
    pub stored: StoredCounts,
    /// Users.
    pub users: PlannedCounts,
    /// Groups.
    pub groups: PlannedCounts,
    /// Memberships.
    pub memberships: PlannedCounts,
    /// Of the deleted memberships, those that go because their user does and their group stays. The guard does not
    /// count them again (RUNS §4.2).
    pub memberships_deleted_with_user: u64,
    /// Whether the first apply of the directory is still to come.
    pub is_first: bool,
    /// What went lately, which the guard counts with the plan's own deletions.
    pub recent: RecentDeletions,
    /// How many users lose an e-mail that an id without it before has after the plan (RUNS §4.4).
    pub moved: u64,
}

/// Rows of one kind that went lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recent {
    /// How many readers saw until lately, see no longer, and will not see again by the plan.
    pub deleted: u64,
    /// The most that readers saw at one time since.
    pub most_stored: u64,
}

/// What went in the 24 hours before now, or before the first of an unbroken series of held and discarded plans, and
/// not before the last plan that a person approved (RUNS §4.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecentDeletions {
    /// Users.
    pub users: Recent,
    /// Groups.
    pub groups: Recent,
    /// Memberships, but for those that went with their user.
    pub memberships: Recent,
}

/// The difference between what a run has staged and what is stored, at one generation of the directory.
///
/// It has no public constructor: [`Store::make_plan`](crate::Store::make_plan) makes it.
#[derive(Debug)]
pub struct Plan {
    pub(crate) tenant: TenantName,
    pub(crate) directory: DirectoryId,
    pub(crate) run: RunId,
    pub(crate) generation: u64,
    pub(crate) summary: PlanSummary,
}

impl Plan {
    /// The run that it is the plan of.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The directory that it is for.
    pub fn directory(&self) -> &DirectoryId {
        &self.directory
    }

    /// The directory's generation that it was made at.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What it does, in numbers.
    pub fn summary(&self) -> &PlanSummary {
        &self.summary
    }
}

/// One row that a plan changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRow {
    /// Its kind.
    pub kind: Entity,
    /// What the plan does to it.
    pub operation: Operation,
    /// The user's or the group's id; for a membership, the group's.
    pub external_id: ExternalId,
    /// For a membership, the user's id.
    pub member: Option<ExternalId>,
    /// The user's e-mail or the group's name; of a membership nothing.
    pub label: Option<String>,
    /// Why it goes, where it does.
    pub reason: Option<DeleteReason>,
}
