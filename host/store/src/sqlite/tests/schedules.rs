//! When directories run next: what the begin and the end of runs, enabling and people make of it.

use std::time::Duration;

use idsync_model::{
    DeleteLimit, DeleteLimits, DirectoryState, DisabledReason, ErrorKind, Failure, Mode, Settings,
    TenantName, UnixMillis,
};

use super::org::{House, Org, house};
use crate::{
    Aftermath, Directory, Failing, KindRow, NewRun, NotBefore, RunEnd, RunFacts, StoreError, Verified,
};

fn forbidden() -> Failure {
    Failure::new(
        ErrorKind::Forbidden,
        "groups",
        "groups were asked for, and refused",
        "look at the role",
    )
}

fn failing() -> Failing {
    let (first, last) = (UnixMillis(1_700_000_000_000), UnixMillis(1_700_000_060_000));
    Failing {
        failure: forbidden(),
        since: first,
        last,
        in_a_row: 3,
        row: Some(KindRow {
            kind: ErrorKind::Forbidden,
            first,
            last,
            count: 2,
        }),
    }
}

fn aftermath() -> Aftermath {
    Aftermath {
        failing: Some(failing()),
        next_try_at: Some(UnixMillis(1_700_000_300_000)),
        not_before: Some(NotBefore {
            at: UnixMillis(1_700_000_200_000),
            reason: "the provider asked for it".to_owned(),
        }),
        is_due: true,
        disable: None,
    }
}

async fn now(house: &House) -> Directory {
    house.store.directory(&house.tenant, "acme").await.unwrap()
}

async fn enable(house: &House, directory: &Directory) -> Directory {
    house
        .store
        .set_state(&house.tenant, &directory.id, DirectoryState::Active, None)
        .await
        .unwrap()
}

/// Begins a run and ends it as failed.
async fn fail(house: &House, new: NewRun, after: Aftermath) {
    let run = new.run.clone();
    house.store.begin_run(&house.tenant, new).await.unwrap();
    let end = RunEnd::Failed {
        failure: forbidden(),
        keeps_staging: false,
    };
    let facts = RunFacts {
        after,
        provider_time: Some(UnixMillis(1_700_000_000_123)),
        ..RunFacts::default()
    };
    house
        .store
        .end_run(&house.tenant, &run, end, facts)
        .await
        .unwrap();
}

#[tokio::test]
async fn runs_6_8_a_failure_stands_in_the_directory_until_a_success_clears_it() {
    let house = house();
    let acme = house.directory("acme").await;
    fail(&house, house.new_run(&acme), aftermath()).await;

    let failed = now(&house).await;
    assert_eq!(failed.failing, Some(failing()));
    assert_eq!(failed.times.next_try_at, aftermath().next_try_at);
    assert_eq!(failed.times.not_before, aftermath().not_before);
    assert!(failed.times.is_due);
    assert_eq!(failed.times.last_began_at, Some(house.clock_now()));

    house.sync(&acme, &Org::default().user("ann")).await;
    let mended = now(&house).await;
    assert_eq!(mended.failing, None);
    assert_eq!((mended.times.next_try_at, mended.times.not_before), (None, None));
    assert!(!mended.times.is_due);
    let runs = house.store.runs(&house.tenant, Some(&acme.id), 10).await.unwrap();
    assert_eq!(runs[1].error.as_ref(), Some(&forbidden()), "the history keeps it");
}

#[tokio::test]
async fn runs_6_8_a_hold_clears_the_failure_too() {
    let house = house();
    let acme = house.directory("acme").await;
    fail(&house, house.new_run(&acme), aftermath()).await;
    house.hold(&acme, &Org::default()).await;
    assert_eq!(now(&house).await.failing, None);
}

#[tokio::test]
async fn a_dry_run_leaves_its_directory_as_it_was() {
    let house = house();
    let acme = house.directory("acme").await;
    fail(&house, house.new_run(&acme), aftermath()).await;
    let before = now(&house).await;
    house.later(Duration::from_mins(1));
    let dry = || NewRun {
        dry_run: true,
        ..house.new_run(&acme)
    };

    let other = Aftermath {
        disable: Some(ErrorKind::Forbidden),
        ..Aftermath::default()
    };
    fail(&house, dry(), other).await;
    let new = dry();
    let run = new.run.clone();
    house.store.begin_run(&house.tenant, new).await.unwrap();
    let end = RunEnd::Planned {
        summary: Box::default(),
        held: None,
    };
    house
        .store
        .end_run(&house.tenant, &run, end, RunFacts::default())
        .await
        .unwrap();

    let after = now(&house).await;
    assert_eq!(
        Directory {
            last_run: before.last_run.clone(),
            ..after
        },
        before
    );
    assert_eq!(house.store.lease(&house.tenant, &acme.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_run_that_is_asked_for_during_another_one_follows_it() {
    let house = house();
    let acme = house.directory("acme").await;
    enable(&house, &acme).await;
    assert!(now(&house).await.times.is_due);
    let plan = house
        .plan(&acme, &Org::default().user("ann"), Mode::Full)
        .await
        .unwrap();
    assert!(
        !now(&house).await.times.is_due,
        "a run in progress is due no longer"
    );

    enable(&house, &acme).await;
    house.store.apply(plan, RunFacts::default()).await.unwrap();

    assert!(now(&house).await.times.is_due);
}

#[tokio::test]
async fn failures_that_stand_too_long_disable_an_active_directory_and_enabling_forgets_them() {
    let house = house();
    let acme = house.directory("acme").await;
    let disabling = || Aftermath {
        is_due: false,
        disable: Some(ErrorKind::Forbidden),
        ..aftermath()
    };
    fail(&house, house.new_run(&acme), disabling()).await;
    assert_eq!(
        now(&house).await.state,
        DirectoryState::Draft,
        "a draft has no schedule to rest"
    );
    enable(&house, &acme).await;
    fail(&house, house.new_run(&acme), disabling()).await;

    let disabled = now(&house).await;
    assert_eq!(disabled.state, DirectoryState::Disabled);
    assert_eq!(
        disabled.disabled_reason,
        Some(DisabledReason::Host {
            kind: ErrorKind::Forbidden
        })
    );
    assert_eq!(disabled.failing, Some(failing()));

    let enabled = enable(&house, &acme).await;
    assert_eq!((enabled.failing, enabled.disabled_reason), (None, None));
    assert_eq!(
        (enabled.times.next_try_at, enabled.times.not_before),
        (None, None)
    );
    assert!(enabled.times.is_due, "the first run follows upon enabling");
}

#[tokio::test]
async fn the_schedules_are_those_of_the_active_directories_of_every_tenant() {
    let house = house();
    let other: TenantName = "other".parse().unwrap();
    house.store.add_tenant(&other).await.unwrap();
    let settings = Settings::from_iter([("domain".to_owned(), "acme.okta.com".to_owned())]);
    let verified = |directory: Directory| {
        let store = house.store.clone();
        let verified = Verified {
            settings: settings.clone(),
            ..house.verified()
        };
        async move {
            let (tenant, id) = (&directory.tenant, &directory.id);
            store
                .record_verification(tenant, id, verified, directory.settings_mark)
                .await
                .unwrap();
            store
                .set_state(tenant, id, DirectoryState::Active, None)
                .await
                .unwrap()
        }
    };
    house.directory("draft").await;
    let acme = verified(house.directory("acme").await).await;
    let theirs = verified(house.directory_of(&other, "okta").await).await;
    let rests = verified(house.directory("rests").await).await;
    house
        .store
        .set_state(
            &house.tenant,
            &rests.id,
            DirectoryState::Disabled,
            Some(DisabledReason::Person),
        )
        .await
        .unwrap();
    let gone = verified(house.directory("gone").await).await;
    house
        .store
        .remove_directory(&house.tenant, &gone.id, &idsync_model::RunId::generate())
        .await
        .unwrap();
    let every = Duration::from_mins(10);
    let shown = house.store.set_schedule(&other, &theirs.id, every).await.unwrap();
    assert_eq!(shown.times.every, every);
    let run = NewRun {
        started_at: UnixMillis(5),
        ..house.new_run(&theirs)
    };
    house.store.begin_run(&other, run.clone()).await.unwrap();

    let schedules = house.store.schedules().await.unwrap();

    let ids: Vec<_> = schedules
        .iter()
        .map(|one| (&one.tenant, &one.directory))
        .collect();
    assert_eq!(ids, [(&house.tenant, &acme.id), (&other, &theirs.id)]);
    let (ours, theirs) = (&schedules[0], &schedules[1]);
    assert_eq!(ours.provider, "okta");
    assert_eq!(ours.times.every, Duration::from_hours(2), "the default");
    assert!(ours.times.is_due);
    assert_eq!(ours.lease, None);
    assert_eq!(theirs.times.every, every);
    assert_eq!(theirs.times.last_began_at, Some(UnixMillis(5)));
    assert!(!theirs.times.is_due);
    assert_eq!(theirs.lease.as_ref().unwrap().owner, run.owner);

    let alone = |tenant, directory| house.store.schedule(tenant, directory);
    assert_eq!(alone(&house.tenant, &acme.id).await.unwrap().as_ref(), Some(ours));
    assert_eq!(
        alone(&other, &theirs.directory).await.unwrap().as_ref(),
        Some(theirs)
    );
    for (tenant, directory) in [
        (&house.tenant, &theirs.directory),
        (&house.tenant, &rests.id),
        (&house.tenant, &gone.id),
    ] {
        assert_eq!(alone(tenant, directory).await.unwrap(), None);
    }
}

#[tokio::test]
async fn runs_4_1_the_limits_of_a_directory_are_its_own() {
    let house = house();
    let acme = house.directory("acme").await;
    let other = house.directory("other").await;
    assert_eq!(acme.limits, DeleteLimits::default());
    let limits = DeleteLimits {
        users: DeleteLimit::Off,
        groups: "50".parse().unwrap(),
        memberships: "5%".parse().unwrap(),
    };

    let set = house
        .store
        .set_limits(&house.tenant, &acme.id, limits)
        .await
        .unwrap();

    assert_eq!(set.limits, limits);
    assert_eq!(now(&house).await.limits, limits);
    let other = house
        .store
        .directory(&house.tenant, other.id.as_str())
        .await
        .unwrap();
    assert_eq!(other.limits, DeleteLimits::default());
}

#[tokio::test]
async fn what_is_not_a_directory_of_the_tenant_has_no_schedule() {
    let house = house();
    let acme = house.directory("acme").await;
    let stranger: TenantName = "stranger".parse().unwrap();
    house.store.add_tenant(&stranger).await.unwrap();
    let store = &house.store;
    let run = house.new_run(&acme);
    store.begin_run(&house.tenant, run.clone()).await.unwrap();

    for refused in [
        store
            .set_schedule(&stranger, &acme.id, Duration::from_mins(1))
            .await
            .err(),
        store
            .set_limits(&stranger, &acme.id, DeleteLimits::default())
            .await
            .err(),
        store
            .set_state(&stranger, &acme.id, DirectoryState::Active, None)
            .await
            .err(),
        store.lease(&stranger, &acme.id).await.err(),
        store.resumable(&stranger, &acme.id).await.err(),
    ] {
        assert!(
            matches!(refused, Some(StoreError::UnknownDirectory { .. })),
            "{refused:?}"
        );
    }
    for refused in [
        store.beat(&stranger, &run.run).await.err(),
        store.ask_cancel(&stranger, &run.run).await.err(),
        store.cancel_asked(&stranger, &run.run).await.err(),
        store.resume_staging(&stranger, &run.run, &run.run).await.err(),
    ] {
        assert!(
            matches!(refused, Some(StoreError::UnknownRun { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn runs_6_8_what_began_anew_during_a_run_is_not_undone_by_its_end() {
    for by_verifying in [false, true] {
        let house = house();
        let acme = house.directory("acme").await;
        let acme = enable(&house, &acme).await;
        let verify = async || {
            let verified = Verified {
                fingerprint: "of all".to_owned(),
                ..house.verified()
            };
            house
                .store
                .record_verification(&house.tenant, &acme.id, verified, acme.settings_mark)
                .await
                .unwrap()
        };
        fail(&house, house.new_run(&acme), aftermath()).await;
        let new = house.new_run(&acme);
        let run = new.run.clone();
        house.store.begin_run(&house.tenant, new).await.unwrap();

        let anew = if by_verifying {
            verify().await
        } else {
            enable(&house, &acme).await
        };
        assert_eq!((anew.failing, anew.times.next_try_at), (None, None));
        let end = RunEnd::Failed {
            failure: forbidden(),
            keeps_staging: false,
        };
        let facts = RunFacts {
            after: Aftermath {
                disable: Some(ErrorKind::Forbidden),
                ..aftermath()
            },
            ..RunFacts::default()
        };
        house
            .store
            .end_run(&house.tenant, &run, end, facts)
            .await
            .unwrap();

        let after = now(&house).await;
        assert_eq!(after.state, DirectoryState::Active);
        assert_eq!((after.failing, after.times.next_try_at), (None, None));
        fail(&house, house.new_run(&acme), aftermath()).await;
        assert_eq!(now(&house).await.failing, Some(failing()), "the next one counts");
    }
}
