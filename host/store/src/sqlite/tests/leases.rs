//! Leases: one run of a directory at a time, and what the loser of a lease can write, which is nothing.

use std::sync::Arc;

use idsync_model::{DirectoryState, DisabledReason, ErrorKind, Failure, Held, Mode, Outcome, RunId};
use rusqlite::Connection;

use super::org::{House, Org, Seen, beside, house, read_with, user};
use crate::{Directory, DirectoryVault, NewRun, RunEnd, RunFacts, Sealed, StoreError};

fn failed() -> RunEnd {
    RunEnd::Failed {
        failure: Failure::new(ErrorKind::Unavailable, "users", "the org did not answer", "wait"),
        keeps_staging: true,
    }
}

/// Whether a write was refused because the run is no longer the one that may write.
fn is_refused<T: std::fmt::Debug>(result: Result<T, StoreError>, run: &RunId) -> bool {
    match result {
        Err(StoreError::RunEnded { run: of } | StoreError::LeaseLost { run: of }) => of == *run,
        other => panic!("{other:?}"),
    }
}

/// Takes the directory's lease over, whoever has it.
async fn take_over(house: &House, directory: &Directory) -> NewRun {
    let lease = house
        .store
        .lease(&house.tenant, &directory.id)
        .await
        .unwrap()
        .unwrap();
    let new = NewRun {
        takes_over: Some(lease.fence),
        ..house.new_run(directory)
    };
    house.store.begin_run(&house.tenant, new.clone()).await.unwrap();
    new
}

#[tokio::test]
async fn runs_6_3_one_run_has_the_lease_until_it_ends_and_each_lease_has_a_higher_number() {
    let house = house();
    let acme = house.directory("acme").await;
    let other = house.directory("other").await;
    assert_eq!(acme.lease, None);
    let first = house.new_run(&acme);
    house.store.begin_run(&house.tenant, first.clone()).await.unwrap();

    let process = beside(&house);
    let refused = process.store.begin_run(&house.tenant, house.new_run(&acme)).await;
    let Err(StoreError::Leased { lease }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((&lease.run, &lease.owner), (&first.run, &first.owner));
    let another = house.new_run(&other);
    process
        .store
        .begin_run(&house.tenant, another.clone())
        .await
        .unwrap();
    let shown = house.store.directory(&house.tenant, "acme").await.unwrap().lease;
    assert_eq!(shown.as_ref(), Some(&lease));
    let of_other = house.store.lease(&house.tenant, &other.id).await.unwrap();
    assert_eq!(of_other.map(|lease| lease.run), Some(another.run));

    house
        .store
        .end_run(&house.tenant, &first.run, failed(), RunFacts::default())
        .await
        .unwrap();
    assert_eq!(house.store.lease(&house.tenant, &acme.id).await.unwrap(), None);
    process
        .store
        .begin_run(&house.tenant, house.new_run(&acme))
        .await
        .unwrap();
    let next = house.store.lease(&house.tenant, &acme.id).await.unwrap().unwrap();
    assert!(next.fence > lease.fence);
}

#[tokio::test]
async fn runs_6_3_an_apply_and_a_hold_give_the_lease_back() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    assert_eq!(house.store.lease(&house.tenant, &acme.id).await.unwrap(), None);
    house.hold(&acme, &Org::default()).await;
    assert_eq!(house.store.lease(&house.tenant, &acme.id).await.unwrap(), None);
}

#[tokio::test]
async fn runs_6_3_a_lease_is_taken_over_only_by_who_saw_that_very_one_to_be_lost() {
    let house = house();
    let acme = house.directory("acme").await;
    let dead = house.new_run(&acme);
    house.store.begin_run(&house.tenant, dead.clone()).await.unwrap();
    let seen = house.store.lease(&house.tenant, &acme.id).await.unwrap().unwrap();

    take_over(&house, &acme).await;
    let late = NewRun {
        takes_over: Some(seen.fence),
        ..house.new_run(&acme)
    };
    let refused = house.store.begin_run(&house.tenant, late).await;

    assert!(matches!(refused, Err(StoreError::Leased { .. })), "{refused:?}");
    let ended = house.store.run(&house.tenant, &dead.run).await.unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Failed));
    let error = ended.error.unwrap();
    assert_eq!(
        (error.kind, error.stage.as_str()),
        (ErrorKind::Host, "interrupted")
    );
}

#[tokio::test]
async fn runs_6_3_a_beat_is_seen_by_others_and_the_losers_is_refused() {
    let house = house();
    let acme = house.directory("acme").await;
    let run = house.new_run(&acme);
    house.store.begin_run(&house.tenant, run.clone()).await.unwrap();
    let process = beside(&house);
    let beat = async || {
        process
            .store
            .lease(&house.tenant, &acme.id)
            .await
            .unwrap()
            .unwrap()
            .beat
    };
    assert_eq!(beat().await, 0);

    house.store.beat(&house.tenant, &run.run).await.unwrap();
    house.store.beat(&house.tenant, &run.run).await.unwrap();
    assert_eq!(beat().await, 2);

    let next = take_over(&process, &acme).await;
    assert!(is_refused(
        house.store.beat(&house.tenant, &run.run).await,
        &run.run
    ));
    assert!(is_refused(
        house.store.cancel_asked(&house.tenant, &run.run).await,
        &run.run
    ));
    assert_eq!(
        beat().await,
        0,
        "the beat of the loser does not keep the lease of {next:?}"
    );
}

#[tokio::test]
async fn runs_6_3_the_loser_of_a_lease_can_stage_nothing_that_counts() {
    let house = house();
    let acme = house.directory("acme").await;
    let (run, _, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_users(vec![user("ann")]).await.unwrap();
    staging.checkpoint(b"one".to_vec()).await.unwrap();
    let process = beside(&house);
    let winner = take_over(&process, &acme).await;

    // It is stuck, not dead: it holds its file, so that nobody can go on from it.
    let resumed = process
        .store
        .resume_staging(&house.tenant, &winner.run, &run)
        .await
        .unwrap();
    assert!(resumed.is_none());
    let path = house.path().join("staging");
    assert_eq!(
        path.read_dir().unwrap().count(),
        0,
        "what can't be gone on from is dropped"
    );
    let of_winner = process
        .store
        .create_staging(&house.tenant, &winner.run, read_with(Mode::Full))
        .await
        .unwrap();
    Org::default()
        .user("bob")
        .put(&*of_winner, house.clock_now())
        .await;

    // Now it wakes up.
    staging.put_users(vec![user("eve")]).await.unwrap();
    assert!(is_refused(staging.checkpoint(b"two".to_vec()).await, &run));
    assert!(is_refused(
        house
            .store
            .create_staging(&house.tenant, &run, read_with(Mode::Full))
            .await
            .map(drop),
        &run
    ));
    assert!(is_refused(
        house
            .store
            .resume_staging(&house.tenant, &run, &winner.run)
            .await
            .map(drop),
        &run
    ));
    drop(staging);
    drop(house.store);

    let resumable = process.store.resumable(&house.tenant, &acme.id).await.unwrap();
    assert_eq!(resumable, None, "nothing of the loser's is gone on from");
    let basis = crate::RunBasis {
        generation: acme.generation,
        stored: acme.counts,
    };
    let plan = process
        .store
        .make_plan(&house.tenant, of_winner, basis)
        .await
        .unwrap();
    process.store.apply(plan, RunFacts::default()).await.unwrap();
    assert_eq!(process.seen(&acme).await.user_ids(), ["bob"]);
}

#[tokio::test]
async fn runs_6_3_the_loser_of_a_lease_can_not_plan_apply_hold_or_end() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann");
    let process = beside(&house);

    let (run, basis, staging) = house.begin(&acme, Mode::Full).await;
    let winner = take_over(&process, &acme).await;
    assert!(is_refused(
        house.store.make_plan(&house.tenant, staging, basis).await,
        &run
    ));
    assert!(is_refused(
        house
            .store
            .end_run(&house.tenant, &run, failed(), RunFacts::default())
            .await,
        &run
    ));
    let ended = house.store.run(&house.tenant, &run).await.unwrap();
    assert_eq!(ended.error.unwrap().stage, "interrupted", "the first end stands");
    let lease = house.store.lease(&house.tenant, &acme.id).await.unwrap().unwrap();
    assert_eq!(
        lease.run, winner.run,
        "the loser does not give back what it has not"
    );

    let plan = house.plan(&acme, &org, Mode::Full).await.unwrap();
    let run = plan.run().clone();
    take_over(&process, &acme).await;
    assert!(is_refused(
        house.store.apply(plan, RunFacts::default()).await,
        &run
    ));

    let plan = house.plan(&acme, &org, Mode::Full).await.unwrap();
    let run = plan.run().clone();
    take_over(&process, &acme).await;
    let reasons = Held { reasons: Vec::new() };
    assert!(is_refused(
        house.store.hold(plan, reasons, RunFacts::default()).await,
        &run
    ));

    assert_eq!(house.seen(&acme).await, Seen::default());
    let now = house.store.directory(&house.tenant, "acme").await.unwrap();
    assert_eq!((now.held_since, now.generation), (None, acme.generation));
}

#[tokio::test]
async fn runs_6_3_the_loser_of_a_lease_can_not_change_what_the_plugin_remembers() {
    let house = house();
    let acme = house.directory("acme").await;
    let run = house.new_run(&acme);
    house.store.begin_run(&house.tenant, run.clone()).await.unwrap();
    let vault = DirectoryVault::new(house.store.clone(), house.tenant.clone(), acme.id.clone());
    let of_run = vault.clone().for_run(run.run.clone());
    let value = |byte| Some(Sealed(vec![byte; 4]));
    of_run.remember("nonce", value(1), 4, 100).await.unwrap();

    take_over(&house, &acme).await;

    assert!(is_refused(
        of_run.remember("nonce", value(2), 4, 100).await,
        &run.run
    ));
    assert!(is_refused(of_run.remember("nonce", None, 0, 100).await, &run.run));
    assert_eq!(of_run.recall("nonce").await.unwrap(), value(1));
    // A verification is no run, and remembers all the same.
    vault.remember("nonce", value(3), 4, 100).await.unwrap();
    assert_eq!(vault.recall("nonce").await.unwrap(), value(3));
}

#[tokio::test]
async fn runs_6_3_an_older_number_writes_nothing_even_where_nobody_ended_its_run() {
    let house = house();
    let acme = house.directory("acme").await;
    let (run, basis, staging) = house.begin(&acme, Mode::Full).await;
    staging.checkpoint(b"one".to_vec()).await.unwrap();
    house
        .raw()
        .execute_batch("UPDATE directory SET fence = fence + 1")
        .unwrap();

    let refused = [
        house.store.beat(&house.tenant, &run).await.err(),
        house
            .store
            .make_plan(&house.tenant, Arc::clone(&staging), basis)
            .await
            .err(),
        house
            .store
            .end_run(&house.tenant, &run, failed(), RunFacts::default())
            .await
            .err(),
    ];

    for error in refused {
        assert!(matches!(error, Some(StoreError::LeaseLost { .. })), "{error:?}");
    }
    assert_eq!(house.store.run(&house.tenant, &run).await.unwrap().outcome, None);
}

#[tokio::test]
async fn a_run_remembers_for_its_own_directory_alone() {
    let house = house();
    let acme = house.directory("acme").await;
    let other = house.directory("other").await;
    let run = house.new_run(&acme);
    house.store.begin_run(&house.tenant, run.clone()).await.unwrap();
    let vault = DirectoryVault::new(house.store.clone(), house.tenant.clone(), other.id.clone());

    let refused = vault
        .for_run(run.run)
        .remember("nonce", Some(Sealed(vec![1])), 1, 100)
        .await;

    assert!(
        matches!(refused, Err(StoreError::UnknownRun { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_person_in_another_process_can_ask_a_run_to_end_as_long_as_it_runs() {
    let house = house();
    let acme = house.directory("acme").await;
    let run = house.new_run(&acme).run;
    let new = NewRun {
        run: run.clone(),
        ..house.new_run(&acme)
    };
    house.store.begin_run(&house.tenant, new).await.unwrap();
    assert!(!house.store.cancel_asked(&house.tenant, &run).await.unwrap());

    beside(&house)
        .store
        .ask_cancel(&house.tenant, &run)
        .await
        .unwrap();
    assert!(house.store.cancel_asked(&house.tenant, &run).await.unwrap());

    house
        .store
        .end_run(&house.tenant, &run, failed(), RunFacts::default())
        .await
        .unwrap();
    let refused = house.store.ask_cancel(&house.tenant, &run).await;
    assert!(matches!(refused, Err(StoreError::RunEnded { .. })), "{refused:?}");
}

#[tokio::test]
async fn runs_3_4_disabling_and_removal_fence_off_the_run_in_progress() {
    let house = house();
    let acme = house.directory("acme").await;
    let (run, _, staging) = house.begin(&acme, Mode::Full).await;
    let before = house.store.lease(&house.tenant, &acme.id).await.unwrap().unwrap();
    let process = beside(&house);

    let disabled = process
        .store
        .set_state(
            &house.tenant,
            &acme.id,
            DirectoryState::Disabled,
            Some(DisabledReason::Person),
        )
        .await
        .unwrap();

    assert_eq!(disabled.lease, None);
    assert_eq!(
        disabled.generation, acme.generation,
        "a held plan can still be approved"
    );
    assert!(is_refused(house.store.beat(&house.tenant, &run).await, &run));
    assert!(is_refused(staging.checkpoint(Vec::new()).await, &run));
    let ended = house.store.run(&house.tenant, &run).await.unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Cancelled));

    let (run, _, staging) = house.begin(&acme, Mode::Full).await;
    let after = house.store.lease(&house.tenant, &acme.id).await.unwrap().unwrap();
    assert!(
        after.fence > before.fence + 1,
        "disabling took a number of its own"
    );
    process
        .store
        .remove_directory(&house.tenant, &acme.id, &RunId::generate())
        .await
        .unwrap();
    assert!(is_refused(house.store.beat(&house.tenant, &run).await, &run));
    assert!(is_refused(staging.checkpoint(Vec::new()).await, &run));
    let leases: i64 = Connection::open(house.path().join("idsync.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM lease", [], |row| row.get(0))
        .unwrap();
    assert_eq!(leases, 0);
    assert_eq!(house.path().join("staging").read_dir().unwrap().count(), 0);
}
