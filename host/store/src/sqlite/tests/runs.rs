//! Runs: their end, whatever it is, and what is kept of them.

use std::time::Duration;

use idsync_model::{Entity, ErrorKind, Failure, Held, Mode, Operation, Outcome};

use super::org::{Org, Seen, house, house_with_files};
use crate::sqlite::{files::DataDir, hold};
use crate::{RunEnd, RunFacts, StoreError, Verified};

fn failure(kind: ErrorKind) -> RunEnd {
    RunEnd::Failed {
        failure: Failure::new(
            kind,
            "groups",
            "groups were asked for, and refused",
            "look at the role",
        ),
        keeps_staging: false,
    }
}

#[tokio::test]
async fn a_run_takes_as_long_as_its_apply_does_too() {
    let house = house();
    let acme = house.directory("acme").await;
    let plan = house
        .plan(&acme, &Org::default().user("ann"), Mode::Full)
        .await
        .unwrap();
    let planned_at = house.clock_now();
    house.looks_take(Duration::from_secs(1));

    let applied = house.store.apply(plan, RunFacts::default()).await.unwrap();

    let ended_at = applied.run.ended_at.unwrap();
    assert_eq!(
        ended_at.since(planned_at),
        Duration::from_secs(1),
        "it ends at the look after its rows are written, not at the one before"
    );
}

#[tokio::test]
async fn runs_1_1_a_run_that_failed_changes_nothing_and_keeps_its_reason_and_its_skips() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann");
    house.sync(&acme, &org).await;
    let (run, _, staging) = house.begin(&acme, Mode::Full).await;
    Org::default().user("bob").put(&*staging, house.clock_now()).await;
    staging
        .skip(Entity::User, "eve".to_owned(), "no e-mail".to_owned())
        .await
        .unwrap();

    let facts = RunFacts {
        requests: 7,
        notes: vec!["a remark".to_owned()],
        waited: Duration::from_secs(3),
        cpu: Duration::from_millis(20),
        peak_memory_bytes: 1 << 20,
        ..RunFacts::default()
    };
    let ended = house
        .store
        .end_run(&house.tenant, &run, failure(ErrorKind::Forbidden), facts)
        .await
        .unwrap();

    assert_eq!(ended.outcome, Some(Outcome::Failed));
    let report = ended.report().unwrap();
    assert_eq!(report.error.unwrap().kind, ErrorKind::Forbidden);
    assert_eq!(
        (report.requests, report.notes.as_slice()),
        (7, ["a remark".to_owned()].as_slice())
    );
    assert_eq!((report.waited_ms, report.peak_memory_bytes), (3_000, 1 << 20));
    assert_eq!(ended.cpu, Duration::from_millis(20));
    assert_eq!(report.users.skipped, 1);
    assert_eq!(
        house.store.skips(&house.tenant, &run).await.unwrap()[0].external_id,
        "eve"
    );
    assert_eq!(house.seen(&acme).await, org.seen());
    assert_eq!(house.path().join("staging").read_dir().unwrap().count(), 0);
    assert!(
        staging.put_users(Vec::new()).await.is_err(),
        "its staging is closed"
    );
    let again = house
        .store
        .end_run(&house.tenant, &run, failure(ErrorKind::Host), RunFacts::default())
        .await;
    assert!(
        matches!(again, Err(StoreError::RunEnded { .. })),
        "a run ends once"
    );
}

#[tokio::test]
async fn a_run_that_was_cancelled_is_called_so() {
    let house = house();
    let acme = house.directory("acme").await;
    let (run, _, _) = house.begin(&acme, Mode::Full).await;
    let ended = house
        .store
        .end_run(
            &house.tenant,
            &run,
            failure(ErrorKind::Cancelled),
            RunFacts::default(),
        )
        .await
        .unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Cancelled));
}

#[tokio::test]
async fn a_dry_run_keeps_its_counts_and_changes_nothing() {
    let house = house();
    let acme = house.directory("acme").await;
    let plan = house
        .plan(&acme, &Org::default().user("ann"), Mode::Full)
        .await
        .unwrap();
    let rows = house
        .store
        .planned_rows(&house.tenant, plan.run(), Entity::User, Operation::Create, 10)
        .await
        .unwrap();
    assert_eq!(rows[0].label.as_deref(), Some("ann@example.com"));

    let held = Some(Held { reasons: Vec::new() });
    let end = RunEnd::Planned {
        summary: Box::new(*plan.summary()),
        held: held.clone(),
    };
    let ended = house
        .store
        .end_run(&house.tenant, plan.run(), end, RunFacts::default())
        .await
        .unwrap();

    assert_eq!(ended.outcome, Some(Outcome::Succeeded));
    assert_eq!(ended.users.created, 1);
    assert_eq!(ended.held, held, "what the guard would do is known later too");
    assert_eq!(house.seen(&acme).await, Seen::default());
    assert!(
        house
            .store
            .directory(&house.tenant, "acme")
            .await
            .unwrap()
            .full_run_due
    );
}

#[tokio::test]
async fn runs_5_3_a_run_whose_plan_goes_stale_before_it_is_held_can_plan_again() {
    let house = house_with_files();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann").user("bob")).await;
    let (run, basis, staging) = house.begin(&acme, Mode::Full).await;
    Org::default().user("ann").put(&*staging, house.clock_now()).await;
    let plan = house.plan_at(basis.generation, &staging, basis).await;
    // The directory moves on when the file of the plan has its new name.
    let files = DataDir::open(&house.path()).unwrap();
    hold::keep_file(&files, &run).unwrap();
    let verified = Verified {
        org_id: Some("00o1".to_owned()),
        ..house.verified()
    };
    house
        .store
        .record_verification(&house.tenant, &acme.id, verified, acme.settings_mark)
        .await
        .unwrap();
    hold::give_back(&files, &run).unwrap();

    let reasons = Held { reasons: Vec::new() };
    let stale = house.store.hold(plan, reasons.clone(), RunFacts::default()).await;

    assert!(matches!(stale, Err(StoreError::Stale { .. })), "{stale:?}");
    let plan = house.plan_at(basis.generation + 1, &staging, basis).await;
    let held = house
        .store
        .hold(plan, reasons, RunFacts::default())
        .await
        .unwrap();
    assert_eq!((held.outcome, held.users.deleted), (Some(Outcome::Held), 1));
}

#[tokio::test]
async fn the_next_run_ends_one_whose_process_died_and_drops_its_staging() {
    let house = house_with_files();
    let acme = house.directory("acme").await;
    let (dead, _, staging) = house.begin(&acme, Mode::Full).await;
    Org::default().user("ann").put(&*staging, house.clock_now()).await;
    assert_eq!(house.store.run(&house.tenant, &dead).await.unwrap().outcome, None);
    drop(staging);
    let house = super::org::reopened(house);
    assert!(house.path().join("staging").join(format!("{dead}.db")).exists());

    let (next, _, _) = house.begin(&acme, Mode::Full).await;

    let ended = house.store.run(&house.tenant, &dead).await.unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Failed));
    assert_eq!(ended.error.unwrap().stage, "interrupted");
    let left: Vec<_> = house
        .path()
        .join("staging")
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        left.iter().all(|name| name.starts_with(next.as_str())),
        "{left:?}"
    );
    let runs = house.store.runs(&house.tenant, Some(&acme.id), 10).await.unwrap();
    assert_eq!(
        runs.iter().map(|run| &run.run).collect::<Vec<_>>(),
        [&next, &dead]
    );
    let newest = house
        .store
        .directory(&house.tenant, "acme")
        .await
        .unwrap()
        .last_run
        .unwrap();
    assert_eq!(newest.run, next);
}

#[tokio::test]
async fn runs_1_8_at_most_a_thousand_skips_of_a_kind_are_kept_and_all_are_counted() {
    let house = house();
    let acme = house.directory("acme").await;
    let mut org = Org::default();
    for number in 0..1_005 {
        org.skipped
            .push((Entity::User, format!("u{number}"), "no e-mail".to_owned()));
        org.skipped
            .push((Entity::User, format!("u{number}"), "no e-mail".to_owned()));
    }
    org.skipped
        .push((Entity::Group, "g".to_owned(), "no name".to_owned()));

    let run = house.sync(&acme, &org).await.run;

    assert_eq!((run.users.skipped, run.groups.skipped), (1_005, 1));
    let skips = house.store.skips(&house.tenant, &run.run).await.unwrap();
    assert_eq!(skips.len(), 1_001);
}

#[tokio::test]
async fn runs_1_8_what_was_skipped_is_kept_of_the_newest_runs() {
    let house = house();
    let acme = house.directory("acme").await;
    let mut org = Org::default();
    org.skipped
        .push((Entity::User, "u".to_owned(), "no e-mail".to_owned()));
    let mut runs = Vec::new();
    for _ in 0..22 {
        runs.push(house.sync(&acme, &org).await.run.run);
    }
    let mut kept = Vec::new();
    for run in &runs {
        kept.push(house.store.skips(&house.tenant, run).await.unwrap().len());
    }
    assert_eq!(kept[..2], [0, 0]);
    assert_eq!(kept[2..], [1; 20]);
}
