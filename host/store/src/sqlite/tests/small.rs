//! Rows that never become a file, and when they do.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use idsync_model::{DirectoryState, Entity, ErrorKind, Mode, Operation, RunId, TenantName};
use rusqlite::Connection;

use super::org::{House, Org, Seen, beside, house, house_where, reopened, user};
use super::resuming::{begin, ending, staged_files};
use crate::sqlite::small;
use crate::{RunFacts, StagedCounts, StoreError};

const NONE: [String; 0] = [];

/// Where nothing can be written for a run.
fn block(house: &House, run: &RunId) -> PathBuf {
    let in_the_way = house.path().join("staging").join(format!("{run}.db-new"));
    fs::create_dir(&in_the_way).unwrap();
    in_the_way
}

fn people(count: usize) -> Org {
    (0..count).fold(Org::default(), |org, n| org.user(&format!("user-{n}")))
}

#[tokio::test]
async fn a_small_run_makes_no_file() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann").group("g", &["ann"]);

    let plan = house.plan(&acme, &org, Mode::Full).await.unwrap();
    assert_eq!(staged_files(&house), NONE);
    house.store.apply(plan, RunFacts::default()).await.unwrap();

    assert_eq!(house.seen(&acme).await, org.seen());
}

#[tokio::test]
async fn rows_that_are_too_many_go_to_the_runs_file() {
    let house = house_where(40);
    let acme = house.directory("acme").await;
    let org = people(2_000);
    let (_, basis, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_users(vec![user("user-0")]).await.unwrap();
    staging.flush().await.unwrap();
    assert_eq!(staged_files(&house), NONE);

    org.put(&*staging, house.clock_now()).await;
    staging.flush().await.unwrap();
    assert_ne!(staged_files(&house), NONE);
    house.settle(&acme, staging, basis).await;

    assert_eq!(house.seen(&acme).await, org.seen());
    assert_eq!(staged_files(&house), NONE);
}

#[tokio::test]
async fn runs_6_4_a_checkpoint_puts_the_rows_where_the_next_process_finds_them() {
    let house = house();
    let acme = house.directory("acme").await;
    let (dead, _, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_users(vec![user("ann"), user("bob")]).await.unwrap();
    staging.flush().await.unwrap();
    assert_eq!(staged_files(&house), NONE);
    staging.checkpoint(b"page 2".to_vec()).await.unwrap();
    staging.put_users(vec![user("cat")]).await.unwrap();
    staging.flush().await.unwrap();
    drop(staging);
    let house = reopened(house);

    let (run, basis) = begin(&house, &acme).await;
    let resumed = house.store.resume_staging(&house.tenant, &run, &dead).await;
    let (staging, state) = resumed.unwrap().unwrap();
    assert_eq!(state, b"page 2");
    house.settle(&acme, staging, basis).await;

    assert_eq!(
        house.seen(&acme).await,
        Org::default().user("ann").user("bob").seen()
    );
}

/// However a run ends, what it read is not met by the next one, which may be another tenant's.
#[tokio::test]
async fn rows_of_one_run_are_not_those_of_the_next() {
    let house = house();
    let acme = house.directory("acme").await;
    let stranger: TenantName = "stranger".parse().unwrap();
    house.store.add_tenant(&stranger).await.unwrap();
    let theirs = house.directory_of(&stranger, "theirs").await;
    let mut org = Org::default().user("ann").group("g", &["ann"]);
    let skip = (Entity::User, "bob".to_owned(), "no e-mail".to_owned());
    org.skipped.push(skip);
    for way in 0..6 {
        let (run, basis, staging) = house.begin(&acme, Mode::Full).await;
        org.put(&*staging, house.clock_now()).await;
        let end = |keeps| {
            let end = ending(ErrorKind::Unavailable, keeps);
            house.store.end_run(&house.tenant, &run, end, RunFacts::default())
        };
        let plan = |staging| house.store.make_plan(&house.tenant, staging, basis);
        match way {
            0 => drop(end(false).await.unwrap()),
            1 => drop(end(true).await.unwrap()),
            // Its process died.
            2 => drop(staging),
            3 => drop(plan(staging).await.unwrap()),
            4 => {
                plan(staging).await.unwrap();
                end(false).await.unwrap();
            }
            _ => {
                house.settle(&acme, staging, basis).await;
            }
        }

        let (_, basis, staging) = house.begin(&theirs, Mode::Full).await;
        assert_eq!(staging.counts().await.unwrap(), StagedCounts::default(), "{way}");
        let applied = house.settle(&theirs, staging, basis).await;
        assert_eq!((applied.changes, applied.run.users.skipped), (0, 0), "{way}");
        assert_eq!(house.seen(&theirs).await, Seen::default(), "{way}");
    }
    assert_eq!(house.seen(&acme).await, org.seen());
}

#[test]
fn every_table_of_a_run_is_emptied_for_the_next() {
    const TABLES: &str = "SELECT name FROM beside.sqlite_schema WHERE type = 'table'";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.db");
    Connection::open(&path).unwrap();
    let rows = small::open(&path).unwrap();
    let mut tables = rows.prepare(TABLES).unwrap();
    let tables: Vec<String> = tables
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(tables.len(), 13, "{tables:?}");
    let cleared: Vec<&str> = small::CLEAR
        .into_iter()
        .chain(crate::sqlite::planner::CLEAR)
        .filter_map(|statement| statement.strip_prefix("DELETE FROM "))
        .collect();
    for table in &tables {
        assert!(cleared.contains(&table.as_str()), "{table}");
    }
    assert!(small::clear(&rows).unwrap());
}

/// What one tenant's run had in memory is in no file of another's, not even where nothing looks.
#[tokio::test]
async fn a_file_has_no_trace_of_the_run_before() {
    let house = house();
    let acme = house.directory("acme").await;
    let other = house.directory("other").await;
    let (run, _, staging) = house.begin(&acme, Mode::Full).await;
    people(300).put(&*staging, house.clock_now()).await;
    let failed = ending(ErrorKind::Unavailable, false);
    house
        .store
        .end_run(&house.tenant, &run, failed, RunFacts::default())
        .await
        .unwrap();

    let (run, _, staging) = house.begin(&other, Mode::Full).await;
    staging.put_users(vec![user("ann")]).await.unwrap();
    staging.checkpoint(Vec::new()).await.unwrap();

    let file = fs::read(house.path().join("staging").join(format!("{run}.db"))).unwrap();
    let has = |text: &[u8]| file.windows(text.len()).any(|bytes| bytes == text);
    assert!(has(b"ann"));
    assert!(!has(b"user-"));
}

#[tokio::test]
async fn a_run_after_a_larger_one_is_small_too() {
    let house = house_where(60);
    let acme = house.directory("acme").await;
    let other = house.directory("other").await;
    // Not too many to be kept in memory, and many for their pages to be given back.
    house.sync(&acme, &people(400)).await;

    let (_, _, staging) = house.begin(&other, Mode::Full).await;
    people(400).put(&*staging, house.clock_now()).await;
    staging.flush().await.unwrap();

    assert_eq!(staged_files(&house), NONE);
}

#[tokio::test]
async fn rows_that_can_not_be_moved_fail_the_run_which_still_tells_what_it_skipped() {
    let house = house();
    let acme = house.directory("acme").await;
    let (run, _, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_users(vec![user("ann")]).await.unwrap();
    staging
        .skip(Entity::User, "bob".to_owned(), "no e-mail".to_owned())
        .await
        .unwrap();
    let in_the_way = block(&house, &run);

    let refused = staging.checkpoint(Vec::new()).await;

    assert!(
        matches!(refused, Err(StoreError::NotWritable { .. })),
        "{refused:?}"
    );
    let failed = ending(ErrorKind::Host, true);
    let ended = house
        .store
        .end_run(&house.tenant, &run, failed, RunFacts::default())
        .await;
    assert_eq!(ended.unwrap().users.skipped, 1);
    fs::remove_dir(in_the_way).unwrap();
    assert_eq!(staged_files(&house), NONE);
}

#[tokio::test]
async fn a_plan_whose_rows_could_not_be_shown_can_still_be_applied() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann");
    let plan = house.plan(&acme, &org, Mode::Full).await.unwrap();
    let in_the_way = block(&house, plan.run());
    let look = || {
        house
            .store
            .planned_rows(&house.tenant, plan.run(), Entity::User, Operation::Create, 9)
    };
    assert!(look().await.is_err());
    fs::remove_dir(in_the_way).unwrap();
    assert_eq!(look().await.unwrap().len(), 1);

    house.store.apply(plan, RunFacts::default()).await.unwrap();

    assert_eq!(house.seen(&acme).await, org.seen());
}

#[tokio::test]
async fn runs_6_3_a_run_that_lost_its_directory_makes_no_file() {
    let house = house_where(1);
    let acme = house.directory("acme").await;
    let (_, _, staging) = house.begin(&acme, Mode::Full).await;
    let removal = RunId::generate();
    let process = beside(&house);
    process
        .store
        .remove_directory(&house.tenant, &acme.id, &removal)
        .await
        .unwrap();

    staging.put_users(vec![user("ann")]).await.unwrap();

    assert!(staging.flush().await.is_err());
    drop(staging);
    assert_eq!(staged_files(&house), NONE);
}

/// Both wait for the one writer, and neither may wait for the other.
#[test]
fn a_directory_can_be_disabled_while_its_run_is_planned() {
    let (tell, told) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(plan_and_disable());
        tell.send(()).unwrap();
    });
    assert_eq!(
        told.recv_timeout(Duration::from_mins(1)),
        Ok(()),
        "they wait for each other"
    );
}

async fn plan_and_disable() {
    let house = Arc::new(house());
    for n in 0..40 {
        let directory = house.directory(&format!("acme-{n}")).await;
        let (_, basis, staging) = house.begin(&directory, Mode::Full).await;
        people(30).put(&*staging, house.clock_now()).await;
        let planning = tokio::spawn({
            let house = Arc::clone(&house);
            async move { house.store.make_plan(&house.tenant, staging, basis).await }
        });
        let id = directory.id;
        house
            .store
            .set_state(&house.tenant, &id, DirectoryState::Disabled, None)
            .await
            .unwrap();
        if let Err(error) = planning.await.unwrap() {
            assert!(matches!(error, StoreError::RunEnded { .. }), "{error}");
        }
    }
}
