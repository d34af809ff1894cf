//! The guard: whether a plan deletes so much that a person must look at it first. A pure check of counts.

use idsync_model::{DeleteLimit, DeleteLimits, Entity, HeldReason, HoldRule};

/// What a plan deletes of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deletions {
    /// Rows that readers would no longer see.
    pub deleted: u64,
    /// Those of them that are counted with another row: memberships whose user goes too.
    pub counted_elsewhere: u64,
    /// Rows that readers see now.
    pub stored: u64,
    /// Rows that were deleted in the last 24 hours and are not back, nor come back by this plan. Without those that
    /// were counted with another row.
    pub recently_deleted: u64,
    /// The most rows that readers saw in that time.
    pub most_stored: u64,
}

impl Deletions {
    /// What counts against the limit.
    fn count(&self) -> u64 {
        self.deleted.saturating_sub(self.counted_elsewhere)
    }

    /// The rows that are not counted elsewhere.
    fn in_question(&self) -> u64 {
        self.stored.saturating_sub(self.counted_elsewhere)
    }
}

/// What a plan deletes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlannedDeletions {
    /// Users.
    pub users: Deletions,
    /// Groups.
    pub groups: Deletions,
    /// Memberships. Those that go with their group are counted here too.
    pub memberships: Deletions,
    /// Users who lose an e-mail that an id without it before has after the plan.
    pub moved: u64,
}

/// The reasons to hold a plan; none, when it may be applied. The first plan of a directory that is applied is never
/// held: ask only for later ones. A kind of which the plan deletes nothing is never a reason, whatever went before.
pub fn check(plan: &PlannedDeletions, limits: &DeleteLimits) -> Vec<HeldReason> {
    let mut reasons = Vec::new();
    for (kind, deletions, limit) in [
        (Entity::User, plan.users, limits.users),
        (Entity::Group, plan.groups, limits.groups),
        (Entity::Membership, plan.memberships, limits.memberships),
    ] {
        reasons.extend(at_once(kind, deletions, limit).or_else(|| bit_by_bit(kind, deletions, limit)));
    }
    reasons.extend(moved(plan, limits.users));
    reasons
}

/// RUNS 4.1: what the plan deletes by itself.
fn at_once(kind: Entity, deletions: Deletions, limit: DeleteLimit) -> Option<HeldReason> {
    let all_of_at_least = all_of_at_least(limit)?;
    let count = deletions.count();
    let in_question = deletions.in_question();
    if count == in_question && count >= all_of_at_least.max(1) {
        return Some(HeldReason {
            kind,
            rule: HoldRule::All,
            limit: all_in_words(all_of_at_least),
            count,
            of: in_question,
        });
    }
    is_over(limit, count, deletions.stored).then(|| HeldReason {
        kind,
        rule: match limit {
            DeleteLimit::Count { .. } => HoldRule::Count,
            DeleteLimit::Share { .. } | DeleteLimit::Off => HoldRule::Share,
        },
        limit: limit.to_string(),
        count,
        of: deletions.stored,
    })
}

/// RUNS 4.3: what it deletes with what went before it.
fn bit_by_bit(kind: Entity, deletions: Deletions, limit: DeleteLimit) -> Option<HeldReason> {
    let all_of_at_least = all_of_at_least(limit)?;
    if deletions.count() == 0 || deletions.recently_deleted == 0 {
        return None;
    }
    let count = deletions.count().saturating_add(deletions.recently_deleted);
    let of = deletions.most_stored.max(deletions.stored);
    // Rows that came and went in between may make the count reach the most that was held; all are gone only when the
    // plan leaves none.
    let is_all = deletions.count() == deletions.in_question() && of >= all_of_at_least.max(1);
    let words = if is_all {
        all_in_words(all_of_at_least)
    } else if is_over(limit, count, of) {
        limit.to_string()
    } else {
        return None;
    };
    Some(HeldReason {
        kind,
        rule: HoldRule::Recent,
        limit: format!("{words} in 24 hours"),
        count,
        of,
    })
}

/// RUNS 4.4: users whose place another one takes.
fn moved(plan: &PlannedDeletions, limit: DeleteLimit) -> Option<HeldReason> {
    let all_of_at_least = all_of_at_least(limit)?;
    let stored = plan.users.stored;
    let limit = if plan.moved >= stored && stored >= all_of_at_least.max(1) {
        all_in_words(all_of_at_least)
    } else if is_over(limit, plan.moved, stored) {
        limit.to_string()
    } else {
        return None;
    };
    Some(HeldReason {
        kind: Entity::User,
        rule: HoldRule::Moved,
        limit,
        count: plan.moved,
        of: stored,
    })
}

/// From how many rows on "all of them" counts; none, where nothing is held.
fn all_of_at_least(limit: DeleteLimit) -> Option<u64> {
    match limit {
        DeleteLimit::Share { all_of_at_least, .. } | DeleteLimit::Count { all_of_at_least, .. } => {
            Some(all_of_at_least)
        }
        DeleteLimit::Off => None,
    }
}

fn all_in_words(all_of_at_least: u64) -> String {
    format!("all of at least {all_of_at_least}")
}

fn is_over(limit: DeleteLimit, count: u64, of: u64) -> bool {
    match limit {
        DeleteLimit::Share {
            percent, at_least, ..
        } => count >= at_least.max(1) && u128::from(count) * 100 > u128::from(of) * u128::from(percent),
        DeleteLimit::Count { max, .. } => count > max,
        DeleteLimit::Off => false,
    }
}

#[cfg(test)]
mod tests;
