//! The guard: whether a plan deletes so much that a person must look at it first. A pure check of counts.

use idsync_model::{Entity, HeldReason, HoldRule};

/// How much of one kind a plan may delete without a person's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteLimit {
    /// A plan is held when it breaks one of two rules.
    Share {
        /// It deletes more than this share of what the store holds, in percent, …
        percent: u8,
        /// … and no fewer rows than this, so that small directories can live.
        at_least: u64,
        /// It deletes all rows, where there were at least this many.
        all_of_at_least: u64,
    },
    /// Nothing is held for this kind.
    Off,
}

impl Default for DeleteLimit {
    /// More than 20 % and at least 10, or all of at least 2.
    fn default() -> Self {
        Self::Share {
            percent: 20,
            at_least: 10,
            all_of_at_least: 2,
        }
    }
}

/// The limits of one directory, each kind by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeleteLimits {
    /// Of users.
    pub users: DeleteLimit,
    /// Of groups.
    pub groups: DeleteLimit,
    /// Of memberships.
    pub memberships: DeleteLimit,
}

/// What a plan deletes of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deletions {
    /// Rows that readers would no longer see.
    pub deleted: u64,
    /// Those of them that are counted with another row: memberships whose user goes too.
    pub counted_elsewhere: u64,
    /// Rows that readers see now.
    pub stored: u64,
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
}

/// The reasons to hold a plan; none, when it may be applied. The first plan of a directory that is applied is never
/// held: ask only for later ones.
pub fn check(plan: &PlannedDeletions, limits: &DeleteLimits) -> Vec<HeldReason> {
    [
        (Entity::User, plan.users, limits.users),
        (Entity::Group, plan.groups, limits.groups),
        (Entity::Membership, plan.memberships, limits.memberships),
    ]
    .into_iter()
    .filter_map(|(kind, deletions, limit)| broken_limit(kind, deletions, limit))
    .collect()
}

fn broken_limit(kind: Entity, deletions: Deletions, limit: DeleteLimit) -> Option<HeldReason> {
    let DeleteLimit::Share {
        percent,
        at_least,
        all_of_at_least,
    } = limit
    else {
        return None;
    };
    let count = deletions.deleted.saturating_sub(deletions.counted_elsewhere);
    let in_question = deletions.stored.saturating_sub(deletions.counted_elsewhere);
    let held = |rule, limit, of| HeldReason {
        kind,
        rule,
        limit,
        count,
        of,
    };
    if count == in_question && in_question >= all_of_at_least.max(1) {
        return Some(held(
            HoldRule::All,
            format!("all of at least {all_of_at_least}"),
            in_question,
        ));
    }
    let is_over_share = u128::from(count) * 100 > u128::from(deletions.stored) * u128::from(percent);
    (is_over_share && count >= at_least).then(|| {
        held(
            HoldRule::Share,
            format!("{percent} % and at least {at_least}"),
            deletions.stored,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn users(deleted: u64, stored: u64) -> PlannedDeletions {
        PlannedDeletions {
            users: Deletions {
                deleted,
                counted_elsewhere: 0,
                stored,
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
                counted_elsewhere: 0,
                stored: 3,
            },
            memberships: memberships(400, 0, 1000).memberships,
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
            let kind = |stored| Deletions { deleted: 0, counted_elsewhere: 0, stored };
            let plan = PlannedDeletions {
                users: kind(stored[0]),
                groups: kind(stored[1]),
                memberships: kind(stored[2]),
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
