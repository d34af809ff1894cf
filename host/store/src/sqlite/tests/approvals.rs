//! A person's answer to a held plan: exactly what was shown is applied, once, or it ends.

use std::time::Duration;

use idsync_model::{Entity, Held, HeldReason, HoldRule, Mode, Operation, Outcome, RunId, TenantName};

use super::org::{House, Org, house, reopened};
use crate::{ChangeBody, Directory, RunFacts, StaleWhy, StoreError};

const DAY: Duration = Duration::from_hours(24);

fn acme_org() -> Org {
    Org::default()
        .user("ann")
        .user("bob")
        .user("cat")
        .user("dan")
        .group("g", &["ann", "bob"])
        .group("h", &["cat"])
}

/// A directory that has been synced once.
async fn synced() -> (House, Directory) {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &acme_org()).await;
    house.later(Duration::from_mins(1));
    (house, acme)
}

async fn outcome(house: &House, run: &RunId) -> Option<Outcome> {
    house.store.run(&house.tenant, run).await.unwrap().outcome
}

async fn again(house: &House, directory: &Directory) -> Directory {
    house
        .store
        .directory(&house.tenant, directory.id.as_str())
        .await
        .unwrap()
}

fn files_kept(house: &House) -> usize {
    house.path().join("held").read_dir().unwrap().count()
}

#[tokio::test]
async fn runs_5_3_an_approval_applies_exactly_the_plan_that_was_shown() {
    let (house, acme) = synced().await;
    let next = acme_org().without("ann").user("zoe").group("i", &["zoe", "bob"]);
    let plan = house.plan(&acme, &next, Mode::Full).await.unwrap();
    let summary = *plan.summary();
    let reasons = Held {
        reasons: vec![HeldReason {
            kind: Entity::User,
            rule: HoldRule::Share,
            limit: "20 % and at least 10".to_owned(),
            count: 1,
            of: 4,
        }],
    };
    let began = house.clock_now();
    let held = house
        .store
        .hold(plan, reasons.clone(), RunFacts::default())
        .await
        .unwrap();
    house.later(Duration::from_hours(23));
    let house = reopened(house);

    let approved = house.store.approve(&house.tenant, &held.run, DAY).await.unwrap();

    assert!(!approved.was_already);
    assert_eq!(approved.instead_of, None);
    assert_eq!(house.seen(&acme).await, next.seen());
    let run = house.store.run(&house.tenant, &held.run).await.unwrap();
    assert_eq!(approved.applied.run, run);
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    assert_eq!(run.ended_at, Some(house.clock_now()));
    assert_eq!(run.held, Some(reasons), "the record keeps why it was held");
    assert_eq!(
        (run.users, run.groups),
        (summary.users.into(), summary.groups.into())
    );
    let block: Vec<_> = house
        .changes()
        .await
        .into_iter()
        .filter(|change| change.run == held.run)
        .collect();
    assert_eq!(block.len() as u64, approved.applied.changes + 1);
    let closing = &block.last().unwrap().body;
    assert!(matches!(closing, ChangeBody::Applied { .. }), "{closing:?}");
    assert_eq!(run.applied_seq, Some(approved.applied.seq));
    let acme = again(&house, &acme).await;
    assert_eq!(acme.held_since, None);
    assert_eq!(acme.last_full_at, Some(began), "as of its reading");
    assert!(acme.full_run_due, "what follows an approval is read in full");
    assert_eq!(files_kept(&house), 0);
    assert_eq!(
        house.sync(&acme, &next).await.changes,
        0,
        "versions and lists were kept"
    );
}

#[tokio::test]
async fn runs_5_3_what_was_looked_up_before_an_approval_is_looked_up_again_for_the_plan() {
    let (house, acme) = synced().await;
    let without = |name: &str| acme_org().without(name);
    let next = without("ann").user("zoe").user("yan");
    let held = house.hold(&acme, &next).await;
    // Read before the approval: who goes with it, who comes with it, and someone who is new besides.
    let (_, basis, staging) = house.begin(&acme, Mode::Full).await;
    let org = next.without("yan").user("ann").user("xia");
    org.put(&*staging, house.clock_now()).await;
    staging.flush().await.unwrap();

    house.store.approve(&house.tenant, &held, DAY).await.unwrap();

    let plan = house.plan_at(basis.generation + 1, &staging, basis).await;
    let users = plan.summary.users;
    assert_eq!(
        (users.created, users.updated, users.deleted),
        (2, 0, 1),
        "ann and xia; yan"
    );
    house.store.apply(plan, RunFacts::default()).await.unwrap();
    assert_eq!(house.seen(&acme).await, org.seen());
}

#[tokio::test]
async fn runs_5_3_approving_twice_is_once() {
    let (house, acme) = synced().await;
    let held = house.hold(&acme, &acme_org().without("ann")).await;
    let first = house.store.approve(&house.tenant, &held, DAY).await.unwrap();
    house.sync(&acme, &acme_org().without("bob")).await;
    house.later(DAY * 3);
    let changes = house.changes().await.len();

    let second = house.store.approve(&house.tenant, &held, DAY).await.unwrap();

    assert!(second.was_already);
    assert_eq!(second.applied.run, first.applied.run);
    assert_eq!(second.applied.changes, first.applied.changes);
    assert_eq!(house.changes().await.len(), changes);
}

#[tokio::test]
async fn runs_5_3_an_approval_is_refused_when_the_directory_or_what_was_verified_has_changed() {
    let changes = [
        ("generation = generation + 1", Some(StaleWhy::Generation)),
        (
            "verified_settings = '{\"domain\":\"else\"}'",
            Some(StaleWhy::Settings),
        ),
        ("verified_org = 'another'", Some(StaleWhy::Settings)),
        ("verified_org = NULL", Some(StaleWhy::Settings)),
        ("verified_fingerprint = 'of another key', verified_at = 2", None),
    ];
    for (change, why) in changes {
        let (house, acme) = synced().await;
        let verified = "
            UPDATE directory
            SET verified_settings = '{}', verified_org = 'org', verified_fingerprint = 'f', verified_at = 1,
                verified_plugin_version = '1.0.0'";
        house.raw().execute(verified, []).unwrap();
        let held = house.hold(&acme, &acme_org().without("ann")).await;
        house
            .raw()
            .execute(&["UPDATE directory SET ", change].concat(), [])
            .unwrap();

        let answer = house.store.approve(&house.tenant, &held, DAY).await;

        match (answer, why) {
            (Ok(approved), None) => assert_eq!(approved.applied.run.run, held),
            (Err(StoreError::StalePlan { run, why: found }), Some(why)) => {
                assert_eq!((run, found), (held.clone(), why), "{change}");
                assert_eq!(house.seen(&acme).await, acme_org().seen(), "{change}");
                assert_eq!(outcome(&house, &held).await, Some(Outcome::Held), "{change}");
            }
            (answer, _) => panic!("{change}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn runs_5_3_an_approval_is_refused_when_the_plan_is_too_old_or_from_the_future() {
    let (house, acme) = synced().await;
    let held = house.hold(&acme, &acme_org().without("ann")).await;
    let made_at = house.clock_now();
    let approve = async || house.store.approve(&house.tenant, &held, DAY).await;
    let is_too_old = |answer| {
        matches!(
            answer,
            Err(StoreError::StalePlan {
                why: StaleWhy::Age,
                ..
            })
        )
    };

    house.later(DAY + Duration::from_millis(1));
    assert!(is_too_old(approve().await));
    house.set_clock(made_at.0 - 1);
    assert!(is_too_old(approve().await));
    house.set_clock(made_at.0);
    house.later(DAY);
    assert!(approve().await.is_ok(), "a plan may be a day old");
}

#[tokio::test]
async fn runs_5_3_a_newer_held_plan_is_applied_if_it_deletes_nothing_that_the_shown_one_did_not() {
    let (house, acme) = synced().await;
    let shown = house.hold(&acme, &acme_org().without("ann").without("bob")).await;
    house.later(Duration::from_hours(1));
    let middle = house.hold(&acme, &Org::default()).await;
    house.later(Duration::from_hours(1));
    let newer_org = acme_org().without("ann").user("zoe");
    let newer = house.hold(&acme, &newer_org).await;

    let approved = house.store.approve(&house.tenant, &shown, DAY).await.unwrap();

    assert_eq!(approved.applied.run.run, newer);
    assert_eq!(approved.instead_of, Some(shown.clone()));
    assert_eq!(house.seen(&acme).await, newer_org.seen());
    assert_eq!(outcome(&house, &newer).await, Some(Outcome::Succeeded));
    assert_eq!(outcome(&house, &shown).await, Some(Outcome::Superseded));
    assert_eq!(files_kept(&house), 0);
    let again = house.store.approve(&house.tenant, &shown, DAY).await.unwrap();
    assert!(again.was_already);
    assert_eq!(
        (again.applied.run.run, again.instead_of),
        (newer.clone(), Some(shown))
    );
    assert!(
        house
            .store
            .approve(&house.tenant, &newer, DAY)
            .await
            .unwrap()
            .was_already
    );
    let other = house.store.approve(&house.tenant, &middle, DAY).await;
    assert!(
        matches!(&other, Err(StoreError::SupersededBy { .. })),
        "nobody approved that one: {other:?}"
    );
}

#[tokio::test]
async fn runs_5_3_a_newer_plan_that_deletes_anything_more_must_be_looked_at_itself() {
    let shown_org = acme_org().without("dan");
    let more = [
        ("a user", shown_org.clone().without("ann")),
        ("a group", shown_org.clone().without("h")),
        ("a membership", shown_org.clone().group("g", &["ann"])),
    ];
    for (what, more) in more {
        let (house, acme) = synced().await;
        let shown = house.hold(&acme, &shown_org).await;
        let newer = house.hold(&acme, &more).await;

        let refused = house.store.approve(&house.tenant, &shown, DAY).await;

        match refused {
            Err(StoreError::SupersededBy { run, by }) => assert_eq!((run, &by), (shown, &newer), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(house.seen(&acme).await, acme_org().seen(), "{what}");
        house.store.approve(&house.tenant, &newer, DAY).await.unwrap();
        assert_eq!(house.seen(&acme).await, more.seen(), "{what}");
    }
}

#[tokio::test]
async fn runs_5_3_a_superseded_plan_is_refused_once_the_mistake_was_mended() {
    let (house, acme) = synced().await;
    let held = house.hold(&acme, &acme_org().without("ann")).await;
    let mended = house.sync(&acme, &acme_org()).await;

    let refused = house.store.approve(&house.tenant, &held, DAY).await;

    match refused {
        Err(StoreError::SupersededBy { by, .. }) => assert_eq!(by, mended.run.run),
        other => panic!("{other:?}"),
    }
    assert_eq!(house.seen(&acme).await, acme_org().seen());
}

#[tokio::test]
async fn runs_5_3_a_plan_whose_file_is_damaged_or_lost_is_not_applied() {
    for is_lost in [false, true] {
        let (house, acme) = synced().await;
        let held = house.hold(&acme, &acme_org().without("ann")).await;
        let file = house.path().join("held").join(format!("{held}.db"));
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[100] ^= 1;
        if is_lost {
            std::fs::remove_file(&file).unwrap();
        } else {
            std::fs::write(&file, bytes).unwrap();
        }

        let refused = house.store.approve(&house.tenant, &held, DAY).await;

        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
        assert_eq!(house.seen(&acme).await, acme_org().seen());
    }
}

/// Whoever opens a file rolls a journal back into it, which the digest knows nothing of.
#[tokio::test]
async fn runs_5_3_a_plan_with_a_journal_beside_it_is_not_applied() {
    let (house, acme) = synced().await;
    let held = house.hold(&acme, &acme_org().without("ann")).await;
    let journal = house.path().join("held").join(format!("{held}.db-journal"));
    std::fs::write(journal, b"anything").unwrap();

    let refused = house.store.approve(&house.tenant, &held, DAY).await;

    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    assert_eq!(house.seen(&acme).await, acme_org().seen());
}

#[tokio::test]
async fn runs_5_3_an_approval_leaves_a_run_in_progress_alone_which_then_plans_anew() {
    let (house, acme) = synced().await;
    let next = acme_org().without("ann");
    let held = house.hold(&acme, &next).await;
    let (run, basis, staging) = house.begin(&acme, Mode::Full).await;
    next.put(&*staging, house.clock_now()).await;
    let lease = house.store.lease(&house.tenant, &acme.id).await.unwrap();
    assert!(lease.is_some());

    house.store.approve(&house.tenant, &held, DAY).await.unwrap();

    assert_eq!(outcome(&house, &run).await, None, "it goes on");
    assert_eq!(house.store.lease(&house.tenant, &acme.id).await.unwrap(), lease);
    let stale = house.store.make_plan(&house.tenant, staging.clone(), basis).await;
    let Err(StoreError::Stale { found, .. }) = stale else {
        panic!("{stale:?}");
    };
    let plan = house.plan_at(found, &staging, basis).await;
    let applied = house.store.apply(plan, RunFacts::default()).await.unwrap();
    assert_eq!(applied.changes, 0);
    assert_eq!(house.seen(&acme).await, next.seen());
}

#[tokio::test]
async fn runs_5_4_a_discarded_plan_ends_and_the_same_deletions_are_planned_again() {
    let (house, acme) = synced().await;
    let next = acme_org().without("ann").without("bob");
    let older = house.hold(&acme, &next).await;
    let held = house.hold(&acme, &next).await;

    let refused = house.store.discard(&house.tenant, &older).await;
    assert!(
        matches!(refused, Err(StoreError::SupersededBy { .. })),
        "{refused:?}"
    );
    let discarded = house.store.discard(&house.tenant, &held).await.unwrap();

    assert_eq!(discarded.outcome, Some(Outcome::Discarded));
    assert_eq!(files_kept(&house), 0);
    assert_eq!(house.seen(&acme).await, acme_org().seen());
    let again_discarded = house.store.discard(&house.tenant, &held).await.unwrap();
    assert_eq!(again_discarded, discarded);
    let refused = house.store.approve(&house.tenant, &held, DAY).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::NotHeld {
                outcome: Some(Outcome::Discarded),
                ..
            })
        ),
        "{refused:?}"
    );
    assert!(again(&house, &acme).await.full_run_due);
    let plan = house.plan(&acme, &next, Mode::Full).await.unwrap();
    assert_eq!(plan.summary().users.deleted, 2);
}

#[tokio::test]
async fn runs_5_4_only_a_held_run_can_be_answered() {
    let (house, acme) = synced().await;
    let applied = house.sync(&acme, &acme_org()).await.run.run;
    let (running, ..) = house.begin(&acme, Mode::Full).await;
    let unknown = RunId::generate();
    let stranger: TenantName = "stranger".parse().unwrap();
    house.store.add_tenant(&stranger).await.unwrap();

    for (run, expected) in [(&applied, Some(Outcome::Succeeded)), (&running, None)] {
        let approved = house.store.approve(&house.tenant, run, DAY).await.unwrap_err();
        let discarded = house.store.discard(&house.tenant, run).await.unwrap_err();
        for refused in [approved, discarded] {
            assert!(
                matches!(&refused, StoreError::NotHeld { outcome, .. } if *outcome == expected),
                "{refused:?}"
            );
        }
    }
    let held = house.hold(&acme, &acme_org().without("ann")).await;
    for (tenant, run) in [(&house.tenant, &unknown), (&stranger, &held)] {
        let approved = house.store.approve(tenant, run, DAY).await.unwrap_err();
        let discarded = house.store.discard(tenant, run).await.unwrap_err();
        for refused in [approved, discarded] {
            assert!(matches!(refused, StoreError::UnknownRun { .. }), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn runs_5_5_the_directory_says_since_when_a_plan_is_held_until_it_is_answered() {
    let (house, acme) = synced().await;
    let next = acme_org().without("ann");
    let since = house.clock_now();
    house.hold(&acme, &next).await;
    house.later(Duration::from_hours(2));
    let held = house.hold(&acme, &next).await;
    assert_eq!(again(&house, &acme).await.held_since, Some(since));

    house.store.discard(&house.tenant, &held).await.unwrap();
    assert_eq!(again(&house, &acme).await.held_since, None);

    house.later(Duration::from_hours(2));
    let held = house.hold(&acme, &next).await;
    assert_eq!(again(&house, &acme).await.held_since, Some(house.clock_now()));
    house.store.approve(&house.tenant, &held, DAY).await.unwrap();
    assert_eq!(again(&house, &acme).await.held_since, None);
}

#[tokio::test]
async fn runs_5_1_a_superseded_plan_is_shown_until_the_directory_moves_on_and_for_a_day() {
    let (house, acme) = synced().await;
    let next = acme_org().without("ann");
    let shown = async |run: &RunId| {
        let rows = house
            .store
            .planned_rows(&house.tenant, run, Entity::User, Operation::Delete, 10)
            .await
            .unwrap();
        rows.iter()
            .map(|row| row.external_id.to_string())
            .collect::<Vec<_>>()
    };
    let first = house.hold(&acme, &next).await;
    house.later(Duration::from_hours(12));
    let second = house.hold(&acme, &next).await;
    assert_eq!(shown(&first).await, ["ann"]);
    assert_eq!(shown(&second).await, ["ann"]);

    house.later(Duration::from_hours(13));
    let third = house.hold(&acme, &next).await;
    assert_eq!(
        shown(&first).await,
        [""; 0],
        "by now it is too old to be approved"
    );
    assert_eq!(shown(&second).await, ["ann"]);
    for _ in 0..40 {
        house.hold(&acme, &next).await;
    }
    assert_eq!(
        files_kept(&house),
        25,
        "the disk is not filled by what nobody answers"
    );
    assert_eq!(shown(&third).await, [""; 0]);

    house.sync(&acme, &acme_org()).await;
    assert_eq!(files_kept(&house), 0);
    house.hold(&acme, &next).await;
    house.hold(&acme, &next).await;
    house
        .store
        .remove_directory(&house.tenant, &acme.id, &RunId::generate())
        .await
        .unwrap();
    assert_eq!(files_kept(&house), 0);
}
