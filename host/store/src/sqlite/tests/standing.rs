//! What is asked of many directories at once: the hosts that they reach, and when each last succeeded.

use std::time::Duration;

use idsync_model::{DirectoryState, ErrorKind, Failure, Held, Mode, RunId, UnixMillis};

use super::org::{House, Org, house, reopened};
use crate::{Directory, NewRun, RunEnd, RunFacts, Verified};

const MINUTE: Duration = Duration::from_mins(1);

fn verified(house: &House, hosts: Option<&[&str]>) -> Verified {
    Verified {
        hosts: hosts.map(|hosts| hosts.iter().map(ToString::to_string).collect()),
        ..house.verified()
    }
}

/// The hosts of the one active directory, as its row and as the schedules tell them.
async fn hosts(house: &House) -> Option<Vec<String>> {
    let directory = house.store.directory(&house.tenant, "acme").await.unwrap();
    let of_directory = directory.verified.unwrap().hosts;
    let schedules = house.store.schedules().await.unwrap();
    assert_eq!(schedules.len(), 1);
    assert_eq!(schedules[0].hosts, of_directory);
    of_directory
}

#[tokio::test]
async fn runs_7_3_the_hosts_of_a_directory_are_those_of_its_last_verification() {
    let house = house();
    let acme = house.directory("acme").await;
    let verify = async |house: &House, verified: Verified| {
        house
            .store
            .record_verification(&house.tenant, &acme.id, verified, acme.settings_mark)
            .await
            .unwrap();
    };
    let two: &[&str] = &["acme.okta.com:443", "login.acme.com:8443"];
    verify(&house, verified(&house, Some(two))).await;
    house
        .store
        .set_state(&house.tenant, &acme.id, DirectoryState::Active, None)
        .await
        .unwrap();
    let house = reopened(house);
    assert_eq!(hosts(&house).await.unwrap(), two);

    verify(&house, verified(&house, Some(&[]))).await;
    assert_eq!(hosts(&house).await, Some(Vec::new()), "none is known too");
    verify(&house, verified(&house, None)).await;
    assert_eq!(hosts(&house).await, None, "those of other settings are no answer");
}

/// Begins a run and ends it without an apply.
async fn end(house: &House, new: NewRun, end: RunEnd) {
    let run = new.run.clone();
    house.store.begin_run(&house.tenant, new).await.unwrap();
    house
        .store
        .end_run(&house.tenant, &run, end, RunFacts::default())
        .await
        .unwrap();
    house.later(MINUTE);
}

async fn fail(house: &House, directory: &Directory) {
    let failed = RunEnd::Failed {
        failure: Failure::new(ErrorKind::Unavailable, "users", "the org is away", ""),
        keeps_staging: false,
    };
    end(house, house.new_run(directory), failed).await;
}

async fn last_success(house: &House) -> Option<UnixMillis> {
    let directory = house.store.directory(&house.tenant, "acme").await.unwrap();
    let listed = house.store.directories(&house.tenant).await.unwrap();
    assert_eq!(listed[0].last_success_at, directory.last_success_at);
    directory.last_success_at
}

async fn ended_at(house: &House, run: &RunId) -> Option<UnixMillis> {
    house.store.run(&house.tenant, run).await.unwrap().ended_at
}

#[tokio::test]
async fn runs_6_the_last_success_is_the_end_of_the_last_apply_whoever_let_it() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann").user("bob");
    assert_eq!(last_success(&house).await, None);
    fail(&house, &acme).await;
    assert_eq!(last_success(&house).await, None, "a failure is none");
    let dry = NewRun {
        dry_run: true,
        ..house.new_run(&acme)
    };
    let planned = RunEnd::Planned {
        summary: Box::default(),
        held: Some(Held { reasons: Vec::new() }),
    };
    end(&house, dry, planned).await;
    assert_eq!(last_success(&house).await, None, "a dry run is none");

    let synced = house.sync(&acme, &org).await.run;
    let first = last_success(&house).await;
    assert_eq!(first, synced.ended_at);
    house.later(MINUTE);
    house.sync(&acme, &org).await;
    let second = last_success(&house).await;
    assert_eq!(second, Some(house.clock_now()), "one without changes counts too");
    assert_ne!(second, first);

    house.later(MINUTE);
    let held = house.hold(&acme, &org.clone().without("ann")).await;
    house.later(MINUTE);
    fail(&house, &acme).await;
    assert_eq!(last_success(&house).await, second, "neither a hold nor a failure");
    let plan = house.plan(&acme, &org, Mode::Full).await.unwrap();
    assert_eq!(last_success(&house).await, second, "nor a run in progress");
    drop(plan);

    house
        .store
        .approve(&house.tenant, &held, Duration::from_hours(24))
        .await
        .unwrap();
    assert_eq!(last_success(&house).await, ended_at(&house, &held).await);
    assert_eq!(last_success(&house).await, Some(house.clock_now()));
}
