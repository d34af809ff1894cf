//! The rules of the guard, each at its edge.

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

#[test]
fn runs_4_1_a_number_of_rows_can_be_the_limit() {
    let limits = DeleteLimits {
        users: "50".parse().unwrap(),
        ..DeleteLimits::default()
    };
    let reasons = |deleted, stored| check(&users(deleted, stored), &limits);
    assert_eq!(reasons(50, 100), [], "half of them, but no more than the number");
    assert_eq!(
        reasons(51, 1_000_000),
        [HeldReason {
            kind: Entity::User,
            rule: HoldRule::Count,
            limit: "more than 50".to_owned(),
            count: 51,
            of: 1_000_000,
        }]
    );
    assert_eq!(reasons(3, 3)[0].rule, HoldRule::All);
    let none = DeleteLimits {
        users: "0".parse().unwrap(),
        ..DeleteLimits::default()
    };
    assert_eq!(check(&users(1, 1000), &none)[0].rule, HoldRule::Count);
    assert_eq!(check(&users(0, 1000), &none), []);
}

#[test]
fn runs_4_1_a_share_that_is_set_is_the_limit() {
    let limits = DeleteLimits {
        users: "5%".parse().unwrap(),
        ..DeleteLimits::default()
    };
    assert_eq!(check(&users(50, 1000), &limits), []);
    assert_eq!(check(&users(51, 1000), &limits)[0].limit, "5 % and at least 10");
}

/// A plan that deletes users, after others were deleted in the last day.
fn drip(deleted: u64, stored: u64, recently_deleted: u64, most_stored: u64) -> PlannedDeletions {
    let mut plan = users(deleted, stored);
    plan.users.recently_deleted = recently_deleted;
    plan.users.most_stored = most_stored;
    plan
}

#[test]
fn runs_4_3_what_was_deleted_in_the_last_day_counts_with_the_plans() {
    assert_eq!(
        rules(&drip(5, 85, 15, 100)),
        [],
        "a fifth of 100 is no more than a fifth"
    );
    assert_eq!(
        check(&drip(6, 85, 15, 100), &DeleteLimits::default()),
        [HeldReason {
            kind: Entity::User,
            rule: HoldRule::Recent,
            limit: "20 % and at least 10 in 24 hours".to_owned(),
            count: 21,
            of: 100,
        }]
    );
    assert_eq!(rules(&drip(4, 10, 5, 15)), [], "nine are too few to hold for");
    assert_eq!(rules(&drip(5, 10, 5, 15)), [HoldRule::Recent]);
}

#[test]
fn runs_4_3_counts_against_the_most_that_the_store_held_in_that_time() {
    assert_eq!(rules(&drip(1, 50, 19, 100)), []);
    assert_eq!(rules(&drip(1, 50, 19, 60)), [HoldRule::Recent]);
    assert_eq!(
        rules(&drip(1, 100, 19, 0)),
        [],
        "never less than what it holds now"
    );
}

#[test]
fn runs_4_3_the_last_row_of_a_directory_that_lost_the_others_today_is_all() {
    let reasons = check(&drip(1, 1, 4, 5), &DeleteLimits::default());
    assert_eq!(reasons[0].rule, HoldRule::Recent);
    assert_eq!(reasons[0].limit, "all of at least 2 in 24 hours");
    assert_eq!((reasons[0].count, reasons[0].of), (5, 5));
    assert_eq!(rules(&drip(1, 1, 0, 1)), [], "it was the only one");
}

#[test]
fn runs_4_3_one_account_that_is_replaced_each_hour_is_not_all() {
    // Ten came and went beside one that stays: the store never held more than two.
    assert_eq!(rules(&drip(1, 2, 8, 2)), []);
}

#[test]
fn runs_4_3_a_number_is_the_limit_of_a_day_too() {
    let limits = DeleteLimits {
        users: "50".parse().unwrap(),
        ..DeleteLimits::default()
    };
    assert_eq!(check(&drip(10, 960, 40, 1000), &limits), []);
    let reasons = check(&drip(11, 960, 40, 1000), &limits);
    assert_eq!(reasons[0].rule, HoldRule::Recent);
    assert_eq!(reasons[0].limit, "more than 50 in 24 hours");
}

#[test]
fn runs_4_3_a_plan_that_deletes_nothing_is_not_held_for_what_went_before() {
    assert_eq!(rules(&drip(0, 10, 90, 100)), []);
}

#[test]
fn runs_4_3_memberships_that_go_with_their_user_are_not_in_the_count() {
    let mut plan = memberships(20, 18, 100);
    plan.memberships.recently_deleted = 19;
    plan.memberships.most_stored = 100;
    assert_eq!(rules(&plan), [HoldRule::Recent], "two and nineteen");
    plan.memberships.recently_deleted = 18;
    assert_eq!(rules(&plan), []);
}

#[test]
fn runs_4_4_holds_when_too_many_identities_move() {
    let moving = |moved, stored| PlannedDeletions {
        moved,
        ..users(0, stored)
    };
    assert_eq!(rules(&moving(20, 100)), []);
    assert_eq!(
        check(&moving(21, 100), &DeleteLimits::default()),
        [HeldReason {
            kind: Entity::User,
            rule: HoldRule::Moved,
            limit: "20 % and at least 10".to_owned(),
            count: 21,
            of: 100,
        }]
    );
    assert_eq!(rules(&moving(2, 2)), [HoldRule::Moved], "all of them");
    assert_eq!(rules(&moving(1, 1)), []);
    assert_eq!(rules(&moving(0, 0)), []);
    let off = DeleteLimits {
        users: DeleteLimit::Off,
        ..DeleteLimits::default()
    };
    assert_eq!(check(&moving(21, 100), &off), []);
    let count = DeleteLimits {
        users: "3".parse().unwrap(),
        ..DeleteLimits::default()
    };
    assert_eq!(check(&moving(3, 100), &count), []);
    assert_eq!(check(&moving(4, 100), &count)[0].limit, "more than 3");
}

fn limit() -> impl Strategy<Value = DeleteLimit> {
    prop_oneof![
        Just(DeleteLimit::Off),
        (1..=100_u8).prop_map(|percent| format!("{percent}%").parse().unwrap()),
        (0..100_u64).prop_map(|max| max.to_string().parse().unwrap()),
    ]
}

fn deletions() -> impl Strategy<Value = Deletions> {
    (0..200_u64, 0..200_u64, 0..200_u64, 0..200_u64, 0..400_u64).prop_map(
        |(stored, deleted, counted_elsewhere, recently_deleted, most_stored)| {
            let deleted = deleted.min(stored);
            Deletions {
                deleted,
                counted_elsewhere: counted_elsewhere.min(deleted),
                stored,
                recently_deleted,
                most_stored,
            }
        },
    )
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

    #[test]
    fn runs_4_no_kind_is_held_twice_for_its_deletions_and_nothing_is_held_where_the_limit_is_off(
        kinds in [deletions(), deletions(), deletions()],
        moved in 0..300_u64,
        limits in [limit(), limit(), limit()],
    ) {
        let plan = PlannedDeletions { users: kinds[0], groups: kinds[1], memberships: kinds[2], moved };
        let set = DeleteLimits { users: limits[0], groups: limits[1], memberships: limits[2] };
        let reasons = check(&plan, &set);
        for (kind, limit) in Entity::ALL.into_iter().zip(limits) {
            let of_kind: Vec<_> = reasons.iter().filter(|reason| reason.kind == kind).collect();
            let moves = of_kind.iter().filter(|reason| reason.rule == HoldRule::Moved).count();
            prop_assert!(moves <= 1 && of_kind.len() - moves <= 1, "{:?}", of_kind);
            if limit == DeleteLimit::Off {
                prop_assert!(of_kind.is_empty());
            }
            // A number for the count and of how many that a person can believe.
            prop_assert!(of_kind.iter().all(|reason| reason.count > 0));
        }
    }

    #[test]
    fn runs_4_3_what_went_before_never_lets_through_what_would_be_held_without_it(
        plan in deletions(), limit in limit(),
    ) {
        let of = |users| PlannedDeletions { users, ..PlannedDeletions::default() };
        let limits = DeleteLimits { users: limit, ..DeleteLimits::default() };
        let alone = Deletions { recently_deleted: 0, most_stored: 0, ..plan };
        let held_alone = check(&of(alone), &limits).iter().any(|reason| reason.rule != HoldRule::Moved);
        let held = check(&of(plan), &limits).iter().any(|reason| reason.rule != HoldRule::Moved);
        prop_assert!(held || !held_alone);
    }
}
