//! The guard's numbers: what went lately, and whose e-mail went to somebody else.

use std::time::Duration;

use idsync_model::{Mode, RunId};

use super::org::{House, Org, house, user};
use crate::{Directory, PlanSummary, Recent};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// An org of users whose names count on from `first`, all in one group.
fn crowd(first: usize, last: usize) -> Org {
    let names: Vec<_> = (first..last).map(|number| format!("u{number:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let org = names.iter().fold(Org::default(), |org, name| org.user(name));
    org.group("g", &names)
}

/// What the guard is told of a plan that is then dropped.
async fn told(house: &House, directory: &Directory, org: &Org) -> PlanSummary {
    *house.plan(directory, org, Mode::Full).await.unwrap().summary()
}

fn recent(deleted: u64, most_stored: u64) -> Recent {
    Recent { deleted, most_stored }
}

fn rows_kept(house: &House) -> i64 {
    house
        .raw()
        .query_row("SELECT count(*) FROM recent_list_deletion", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn runs_4_3_rows_that_went_in_the_last_day_count_against_the_most_that_was_stored_in_it() {
    let house = house();
    let acme = house.directory("acme").await;
    let other = house.directory("other").await;
    house.sync(&acme, &crowd(0, 20)).await;
    house.sync(&other, &crowd(0, 9)).await;
    house.later(DAY * 2);
    house.sync(&other, &crowd(0, 2)).await;
    for gone in 1..=3 {
        house.sync(&acme, &crowd(gone, 20)).await;
        house.later(HOUR);
    }

    let summary = told(&house, &acme, &crowd(4, 20)).await;

    assert_eq!(summary.users.deleted, 1, "the plan's own are counted apart");
    assert_eq!(summary.recent.users, recent(3, 20));
    assert_eq!(summary.recent.groups, recent(0, 1));
    assert_eq!(summary.stored.users, 17);

    // The first went 24 hours ago.
    house.later(HOUR * 21);
    let summary = told(&house, &acme, &crowd(3, 20)).await;
    assert_eq!(summary.recent.users, recent(2, 19));
    house.later(DAY * 9);
    let summary = told(&house, &acme, &crowd(3, 20)).await;
    assert_eq!(summary.recent.users, recent(0, 17));
}

#[tokio::test]
async fn runs_4_3_who_is_back_or_comes_back_with_the_plan_does_not_count() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &crowd(0, 10)).await;
    house.later(HOUR);
    house.sync(&acme, &crowd(3, 10).group("h", &["u05"])).await;
    house.later(HOUR);
    house.sync(&acme, &crowd(3, 10)).await;
    assert_eq!(
        told(&house, &acme, &crowd(3, 10)).await.recent.groups,
        recent(1, 2)
    );

    let back = crowd(1, 10).group("h", &["u05"]);
    let coming = told(&house, &acme, &back).await.recent;
    assert_eq!(coming.users, recent(1, 10));
    assert_eq!(coming.groups, recent(0, 2));
    assert_eq!(coming.memberships, recent(0, 10), "the pair of h is back too");
    house.sync(&acme, &back).await;
    let summary = told(&house, &acme, &back).await;
    assert_eq!(summary.recent.users, recent(1, 10));
    assert_eq!(summary.recent.memberships.deleted, 0);
    assert_eq!(rows_kept(&house), 0);
}

#[tokio::test]
async fn runs_4_3_memberships_that_went_count_but_not_those_that_went_with_their_user() {
    let house = house();
    let acme = house.directory("acme").await;
    let base = crowd(0, 4).group("h", &["u00", "u01", "u02"]);
    house.sync(&acme, &base).await;
    house.later(HOUR);
    // u00 goes with his pairs, u01 only leaves h.
    house
        .sync(&acme, &base.clone().without("u00").group("h", &["u02"]))
        .await;
    let summary = told(&house, &acme, &crowd(1, 4).group("h", &["u02"])).await;
    assert_eq!(summary.recent.memberships, recent(1, 7));

    // A pair that goes with its group counts, be it that its user goes too.
    house.later(HOUR);
    house.sync(&acme, &crowd(1, 2).group("g", &["u01"])).await;
    let summary = told(&house, &acme, &crowd(1, 2)).await;
    assert_eq!(summary.recent.memberships, recent(2, 7));
    assert_eq!(summary.recent.groups, recent(1, 2));

    // What can count no longer is not kept.
    house.later(DAY);
    house.sync(&acme, &crowd(1, 2)).await;
    assert_eq!(rows_kept(&house), 0);
}

#[tokio::test]
async fn runs_4_3_the_time_begins_anew_with_an_approved_plan() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &crowd(0, 20).group("h", &["u19", "u18"])).await;
    house.later(HOUR);
    house.sync(&acme, &crowd(1, 20).group("h", &["u19"])).await;
    house.later(HOUR);
    let held = house.hold(&acme, &crowd(9, 20)).await;
    house.later(HOUR);
    house.store.approve(&house.tenant, &held, DAY).await.unwrap();
    house.later(HOUR);

    let summary = told(&house, &acme, &crowd(9, 20)).await;
    assert_eq!(summary.recent.users, recent(0, 11));
    assert_eq!(summary.recent.groups, recent(0, 1));
    assert_eq!(summary.recent.memberships, recent(0, 11));
    house.sync(&acme, &crowd(10, 20)).await;
    let summary = told(&house, &acme, &crowd(10, 20)).await;
    assert_eq!(summary.recent.users, recent(1, 11));
}

#[tokio::test]
async fn runs_4_3_the_time_is_counted_back_from_the_first_of_a_series_of_held_and_discarded_plans() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &crowd(0, 20)).await;
    house.later(HOUR);
    house.sync(&acme, &crowd(1, 20)).await;
    house.later(HOUR * 20);
    house.hold(&acme, &crowd(9, 20)).await;
    house.later(DAY);
    let held = house.hold(&acme, &crowd(9, 20)).await;
    house.store.discard(&house.tenant, &held).await.unwrap();
    house.later(DAY * 5);

    let summary = told(&house, &acme, &crowd(9, 20)).await;
    assert_eq!(
        summary.recent.users,
        recent(1, 20),
        "a mistake does not turn small by waiting"
    );

    house.sync(&acme, &crowd(1, 20)).await;
    house.later(HOUR);
    let summary = told(&house, &acme, &crowd(1, 20)).await;
    assert_eq!(summary.recent.users, recent(0, 19), "an apply breaks the series");
}

#[tokio::test]
async fn runs_6_7_a_stored_time_ahead_of_now_hides_nothing_from_the_guard() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &crowd(0, 20)).await;
    house.later(HOUR);
    house.sync(&acme, &crowd(1, 20)).await;
    house.later(HOUR);
    house
        .raw()
        .execute(
            "UPDATE directory SET guard_from = :future, holding_since = :future",
            [house.clock_now().0 + 1_000_000_000],
        )
        .unwrap();

    let summary = told(&house, &acme, &crowd(1, 20)).await;

    assert_eq!(summary.recent.users, recent(1, 20));
}

#[tokio::test]
async fn runs_4_3_a_removal_leaves_nothing_to_count() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &crowd(0, 3).group("h", &["u01"])).await;
    house.sync(&acme, &crowd(0, 3)).await;
    assert_eq!(rows_kept(&house), 1);
    house
        .store
        .remove_directory(&house.tenant, &acme.id, &RunId::generate())
        .await
        .unwrap();
    assert_eq!(rows_kept(&house), 0);
}

/// Users with their e-mails.
type Mailboxes<'a> = &'a [(&'a str, &'a str)];

/// An org of users with these e-mails.
fn mailboxes(users: Mailboxes<'_>) -> Org {
    let mut org = Org::default();
    for (name, email) in users {
        let mut user = user(name);
        (*email).clone_into(&mut user.email);
        org.users.insert((*name).to_owned(), user);
    }
    org
}

#[tokio::test]
async fn runs_4_4_users_whose_email_an_id_without_it_before_has_now_are_counted() {
    let stored = [("u1", "a"), ("u2", "b"), ("u3", "c"), ("u4", "d"), ("u5", "d")];
    let changed: [(&str, u64, Mailboxes<'_>); 9] = [
        ("nothing", 0, &stored),
        (
            "a new id has the e-mail of one who goes",
            1,
            &[("n1", "a"), ("u2", "b"), ("u3", "c"), ("u4", "d"), ("u5", "d")],
        ),
        (
            "all ids are new",
            5,
            &[("n1", "a"), ("n2", "b"), ("n3", "c"), ("n4", "d")],
        ),
        (
            "two change places",
            2,
            &[("u1", "b"), ("u2", "a"), ("u3", "c"), ("u4", "d"), ("u5", "d")],
        ),
        (
            "one takes over another's, who has a new one",
            1,
            &[("u1", "x"), ("u2", "a"), ("u3", "c"), ("u4", "d"), ("u5", "d")],
        ),
        (
            "two take over one",
            1,
            &[
                ("n1", "a"),
                ("n2", "a"),
                ("u2", "b"),
                ("u3", "c"),
                ("u4", "d"),
                ("u5", "d"),
            ],
        ),
        (
            "one of two who share it goes, or changes it",
            0,
            &[("u1", "a"), ("u2", "b"), ("u3", "c"), ("u4", "d")],
        ),
        (
            "a new e-mail, one more who shares, and letters in another case",
            0,
            &[
                ("u1", "new"),
                ("u2", "B"),
                ("u3", "c"),
                ("u4", "d"),
                ("u5", "d"),
                ("n1", "c"),
            ],
        ),
        (
            "the case of letters makes no other e-mail",
            1,
            &[("n1", "A"), ("u2", "b"), ("u3", "c"), ("u4", "d"), ("u5", "d")],
        ),
    ];
    for (what, moved, org) in changed {
        let house = house();
        let acme = house.directory("acme").await;
        house.sync(&acme, &mailboxes(&stored)).await;
        assert_eq!(told(&house, &acme, &mailboxes(org)).await.moved, moved, "{what}");
    }
}

#[tokio::test]
async fn runs_4_4_who_returns_with_the_email_of_one_who_goes_had_it_not_while_he_was_gone() {
    let house = house();
    let acme = house.directory("acme").await;
    let other = house.directory("other").await;
    house.sync(&other, &mailboxes(&[("u2", "a")])).await;
    house.sync(&acme, &mailboxes(&[("u1", "a")])).await;
    house.sync(&acme, &mailboxes(&[])).await;
    house.sync(&acme, &mailboxes(&[("u2", "a")])).await;

    assert_eq!(told(&house, &acme, &mailboxes(&[("u1", "a")])).await.moved, 1);

    let mut inactive = mailboxes(&[("u2", "a"), ("u1", "a")]);
    inactive.users.get_mut("u2").unwrap().active = false;
    assert_eq!(
        told(&house, &acme, &inactive).await.moved,
        1,
        "he is seen no longer"
    );
    inactive.users.get_mut("u1").unwrap().active = false;
    assert_eq!(told(&house, &acme, &inactive).await.moved, 0);
}
