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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn users(deleted: u64, stored: u64) -> PlannedDeletions {
        PlannedDeletions {
            users: Deletions {
                deleted,
                stored,
                ..Deletions::default()
            },
            ..PlannedDeletions::default()
        }
    }

    fn memberships(deleted: u64, counted_elsewhere: u64, stored: u64) -> PlannedDeletions {
        PlannedDeletions {
            memberships: Deletions {
                deleted,
                counted_elsewhere,
                stored,
                ..Deletions::default()
            },
            ..PlannedDeletions::default()
        }
    }

    fn rules(plan: &PlannedDeletions) -> Vec<HoldRule> {
        check(plan, &DeleteLimits::default())
            .into_iter()
            .map(|reason| reason.rule)
            .collect()
    }

    #[test]
    fn runs_4_1_holds_when_more_than_a_fifth_and_at_least_ten_would_go() {
        assert_eq!(
            rules(&users(20, 100)),
            [],
            "exactly a fifth is no more than a fifth"
        );
        assert_eq!(rules(&users(21, 100)), [HoldRule::Share]);
        assert_eq!(rules(&users(9, 20)), [], "nine are too few to hold for");
        assert_eq!(rules(&users(10, 20)), [HoldRule::Share]);
        assert_eq!(rules(&users(10, 49)), [HoldRule::Share]);
        assert_eq!(rules(&users(10, 50)), []);
    }

    #[test]
    fn runs_4_1_holds_when_all_of_two_or_more_would_go() {
        assert_eq!(rules(&users(0, 0)), []);
        assert_eq!(rules(&users(1, 1)), [], "the only row may go");
        assert_eq!(rules(&users(2, 2)), [HoldRule::All]);
        assert_eq!(rules(&users(500, 500)), [HoldRule::All]);
    }

    #[test]
    fn runs_4_1_says_the_kind_the_limit_and_of_how_many() {
        let reasons = check(&users(30, 100), &DeleteLimits::default());
        assert_eq!(
            reasons,
            [HeldReason {
                kind: Entity::User,
                rule: HoldRule::Share,
                limit: "20 % and at least 10".to_owned(),
                count: 30,
                of: 100,
            }]
        );
    }

    #[test]
    fn runs_4_1_looks_at_each_kind_by_itself() {
        let plan = PlannedDeletions {
            users: users(1, 1000).users,
            groups: Deletions {
                deleted: 3,
                stored: 3,
                ..Deletions::default()
            },
            memberships: memberships(400, 0, 1000).memberships,
            moved: 0,
        };
        let kinds: Vec<_> = check(&plan, &DeleteLimits::default())
            .into_iter()
            .map(|reason| (reason.kind, reason.rule))
            .collect();
        assert_eq!(
            kinds,
            [
                (Entity::Group, HoldRule::All),
                (Entity::Membership, HoldRule::Share)
            ]
        );
    }

    #[test]
    fn runs_4_2_does_not_count_memberships_again_that_go_with_their_user() {
        assert_eq!(
            rules(&memberships(100, 100, 100)),
            [],
            "all of them go with their users"
        );
        assert_eq!(rules(&memberships(100, 91, 200)), []);
        assert_eq!(rules(&memberships(100, 50, 200)), [HoldRule::Share]);
    }

    #[test]
    fn runs_4_2_all_memberships_of_those_who_stay_are_all() {
        assert_eq!(rules(&memberships(9, 1, 9)), [HoldRule::All]);
        assert_eq!(
            rules(&memberships(9, 8, 9)),
            [],
            "one that is left is not all of two"
        );
    }

    #[test]
    fn a_limit_that_is_off_holds_nothing() {
        let limits = DeleteLimits {
            users: DeleteLimit::Off,
            ..DeleteLimits::default()
        };
        assert_eq!(check(&users(500, 500), &limits), []);
    }

    proptest! {
        #[test]
        fn runs_4_1_nothing_is_held_that_deletes_nothing(stored in any::<[u64; 3]>()) {
            let kind = |stored| Deletions { stored, ..Deletions::default() };
            let plan = PlannedDeletions {
                users: kind(stored[0]),
                groups: kind(stored[1]),
                memberships: kind(stored[2]),
                moved: 0,
            };
            prop_assert_eq!(check(&plan, &DeleteLimits::default()), []);
        }

        #[test]
        fn runs_4_1_who_deletes_more_is_never_held_less(stored in 0_u64..10_000, a in 0_u64..10_000, b in 0_u64..10_000) {
            let (less, more) = (a.min(b).min(stored), a.max(b).min(stored));
            if !check(&users(less, stored), &DeleteLimits::default()).is_empty() {
                prop_assert!(!check(&users(more, stored), &DeleteLimits::default()).is_empty());
            }
        }
    }
}
