//! What one run leaves for the next: its staging at the last checkpoint, and when it is of no use.

use std::fs;
use std::path::Path;
use std::time::Duration;

use idsync_model::{Entity, ErrorKind, Failure, MembersVersion, Mode, RunId, UnixMillis};
use rusqlite::Connection;
use tempfile::TempDir;

use super::org::{FIRST, House, LAST, beside, group, house, id, ids, read_with, user};
use crate::{
    Directory, ListState, NewRun, RunBasis, RunEnd, RunFacts, StagedCounts, StagingRows, StoreError,
};

pub(super) fn ending(kind: ErrorKind, keeps_staging: bool) -> RunEnd {
    RunEnd::Failed {
        failure: Failure::new(kind, "users", "the org did not answer", "wait"),
        keeps_staging,
    }
}

pub(super) fn staged_files(house: &House) -> Vec<String> {
    let mut names: Vec<_> = house
        .path()
        .join("staging")
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Begins a run that takes over whatever lease there is, without a staging.
pub(super) async fn begin(house: &House, directory: &Directory) -> (RunId, RunBasis) {
    let lease = house.store.lease(&house.tenant, &directory.id).await.unwrap();
    let new = NewRun {
        takes_over: lease.map(|lease| lease.fence),
        ..house.new_run(directory)
    };
    let run = new.run.clone();
    let basis = house.store.begin_run(&house.tenant, new).await.unwrap();
    (run, basis)
}

/// A run that read `ann` and an open list of `g`, took a checkpoint, read `bob` besides, and ended early.
pub(super) async fn left(house: &House, directory: &Directory, kind: ErrorKind) -> RunId {
    let (run, _, staging) = house.begin(directory, Mode::Full).await;
    read_half(&*staging).await;
    house
        .store
        .end_run(&house.tenant, &run, ending(kind, true), RunFacts::default())
        .await
        .unwrap();
    run
}

pub(super) async fn read_half(staging: &dyn StagingRows) {
    staging.put_users(vec![user("ann")]).await.unwrap();
    staging.put_groups(vec![(group("g"), true)]).await.unwrap();
    staging
        .put_members(id("g"), ids(&["ann"]), UnixMillis(77), FIRST)
        .await
        .unwrap();
    staging
        .skip(Entity::User, "kept".to_owned(), "no e-mail".to_owned())
        .await
        .unwrap();
    staging.checkpoint(b"page 2".to_vec()).await.unwrap();
    staging.put_users(vec![user("bob")]).await.unwrap();
    staging
        .put_members(id("g"), ids(&["bob"]), UnixMillis(78), LAST)
        .await
        .unwrap();
    staging
        .skip(Entity::User, "lost".to_owned(), "no e-mail".to_owned())
        .await
        .unwrap();
    staging.flush().await.unwrap();
}

/// The files of a run as a kill leaves them at this moment.
struct Killed {
    copy: TempDir,
    names: Vec<String>,
}

impl Killed {
    fn of(house: &House) -> Self {
        let copy = tempfile::tempdir().unwrap();
        let names = staged_files(house);
        for name in &names {
            fs::copy(house.path().join("staging").join(name), copy.path().join(name)).unwrap();
        }
        Self { copy, names }
    }

    fn put_back(&self, folder: &Path) {
        for name in &self.names {
            fs::copy(self.copy.path().join(name), folder.join("staging").join(name)).unwrap();
        }
    }
}

#[tokio::test]
async fn runs_6_4_a_run_goes_on_from_the_last_checkpoint_of_one_that_ended_early() {
    let house = house();
    let acme = house.directory("acme").await;
    let began = house.clock_now();
    let first = left(&house, &acme, ErrorKind::Unavailable).await;
    let ended = house.store.run(&house.tenant, &first).await.unwrap();
    assert_eq!(
        ended.users.skipped, 2,
        "its own report tells of all that it skipped"
    );
    house.later(Duration::from_mins(5));

    let (run, basis) = begin(&house, &acme).await;
    let resumable = house
        .store
        .resumable(&house.tenant, &acme.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(resumable.run, first);
    assert_eq!(resumable.with, read_with(Mode::Full));
    assert_eq!(resumable.generation, basis.generation);
    assert_eq!((resumable.read_began_at, resumable.checkpoint_at), (began, began));
    assert!(resumable.is_same_boot);
    let (staging, state) = house
        .store
        .resume_staging(&house.tenant, &run, &first)
        .await
        .unwrap()
        .unwrap();

    assert_eq!(state, b"page 2");
    assert_eq!(staging.run(), &run);
    let counts = StagedCounts {
        users: 1,
        groups: 1,
        members: 1,
    };
    assert_eq!(
        staging.counts().await.unwrap(),
        counts,
        "what came after the checkpoint is gone"
    );
    assert_eq!(staging.skip_counts().await.unwrap().users, 1);
    // The list is open where it was left, with the version and the time that were read first.
    let mut newer = group("g");
    newer.members_version = Some(MembersVersion::ChangedAt(99));
    assert_eq!(
        staging.put_groups(vec![(newer, true)]).await.unwrap(),
        [ListState::Open]
    );
    staging.put_users(vec![user("cyd")]).await.unwrap();
    staging
        .put_members(id("g"), ids(&["cyd"]), UnixMillis(99), LAST)
        .await
        .unwrap();
    let plan = house
        .store
        .make_plan(&house.tenant, staging, basis)
        .await
        .unwrap();
    let applied = house.store.apply(plan, RunFacts::default()).await.unwrap();

    let seen = house.seen(&acme).await;
    assert_eq!(seen.user_ids(), ["ann", "cyd"]);
    assert_eq!(seen.pairs(), [("g", "ann"), ("g", "cyd")]);
    let read = house
        .store
        .group_reads(&house.tenant, &acme.id, vec![id("g")])
        .await
        .unwrap()[0]
        .clone()
        .unwrap();
    assert_eq!(read.version, Some(MembersVersion::ChangedAt(1)));
    assert_eq!(read.read_at, Some(UnixMillis(77)));
    let report = applied.run.report().unwrap();
    assert_eq!(report.resumed_from, Some(first));
    assert_eq!(report.oldest_read_at, Some(began.to_string()));
    let now = house.store.directory(&house.tenant, "acme").await.unwrap();
    assert_eq!(
        now.last_full_at,
        Some(began),
        "a full read is as old as its oldest row"
    );
    assert!(staged_files(&house).is_empty());
}

#[tokio::test]
async fn runs_6_4_a_killed_run_is_gone_on_from_at_its_last_checkpoint() {
    let house = house();
    let acme = house.directory("acme").await;
    let (dead, _, staging) = house.begin(&acme, Mode::Full).await;
    // More than the writer keeps in memory, so that the file itself holds what was never committed.
    staging.put_users(vec![user("ann")]).await.unwrap();
    staging.checkpoint(b"page 2".to_vec()).await.unwrap();
    let many: Vec<_> = (0..60_000)
        .map(|n| {
            let mut user = user(&format!("u{n}"));
            user.display_name = Some("x".repeat(400));
            user
        })
        .collect();
    staging.put_users(many).await.unwrap();
    staging.flush().await.unwrap();
    let killed = Killed::of(&house);
    let path = house.path().join("staging").join(format!("{dead}.db"));
    assert!(fs::metadata(&path).unwrap().len() > 8 << 20, "pages were spilled");
    drop(staging);
    let house = super::org::reopened(house);
    let (run, _) = begin(&house, &acme).await;
    // The writer's thread of before closes the file in its own time, and takes the journal along.
    let closed = Connection::open(&path).unwrap();
    closed.busy_timeout(Duration::from_mins(1)).unwrap();
    closed.execute_batch("BEGIN EXCLUSIVE; ROLLBACK").unwrap();
    drop(closed);
    killed.put_back(&house.path());

    let resumable = house
        .store
        .resumable(&house.tenant, &acme.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(resumable.run, dead);
    let (staging, state) = house
        .store
        .resume_staging(&house.tenant, &run, &dead)
        .await
        .unwrap()
        .unwrap();

    assert_eq!(state, b"page 2");
    assert_eq!(staging.counts().await.unwrap().users, 1);
    staging.put_users(vec![user("bob")]).await.unwrap();
    staging.checkpoint(b"page 3".to_vec()).await.unwrap();
    let ours = format!("{run}.db");
    assert!(staged_files(&house).iter().all(|name| name.starts_with(&ours)));
}

#[tokio::test]
async fn runs_6_5_a_journal_that_a_killed_run_left_goes_with_its_file() {
    let house = house();
    let acme = house.directory("acme").await;
    for begins_afresh in [false, true] {
        let first = left(&house, &acme, ErrorKind::Unavailable).await;
        // A kill between a checkpoint and the next put leaves a journal of nothing.
        let journal = house.path().join("staging").join(format!("{first}.db-journal"));
        fs::write(&journal, [0; 512]).unwrap();
        let (run, _) = begin(&house, &acme).await;
        if begins_afresh {
            fs::remove_file(house.path().join("staging").join(format!("{first}.db"))).unwrap();
            let with = read_with(Mode::Full);
            house
                .store
                .create_staging(&house.tenant, &run, with)
                .await
                .unwrap();
        } else {
            let resumed = house.store.resume_staging(&house.tenant, &run, &first).await;
            assert!(resumed.unwrap().is_some());
        }
        let ours = format!("{run}.db");
        let files = staged_files(&house);
        assert!(files.iter().all(|name| name.starts_with(&ours)), "{files:?}");
    }
}

#[tokio::test]
async fn runs_6_4_a_run_that_was_resumed_can_be_resumed_again_and_its_oldest_row_keeps_its_age() {
    let house = house();
    let acme = house.directory("acme").await;
    let began = house.clock_now();
    let first = left(&house, &acme, ErrorKind::Deadline).await;
    house.later(Duration::from_mins(5));
    let (second, _) = begin(&house, &acme).await;
    let (staging, _) = house
        .store
        .resume_staging(&house.tenant, &second, &first)
        .await
        .unwrap()
        .unwrap();
    staging.put_users(vec![user("bob"), user("dan")]).await.unwrap();
    staging.checkpoint(b"page 3".to_vec()).await.unwrap();
    let checkpoint_at = house.clock_now();
    house
        .store
        .end_run(
            &house.tenant,
            &second,
            ending(ErrorKind::Cancelled, true),
            RunFacts::default(),
        )
        .await
        .unwrap();
    house.later(Duration::from_mins(5));

    let (third, _) = begin(&house, &acme).await;
    let resumable = house
        .store
        .resumable(&house.tenant, &acme.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(resumable.run, second);
    assert_eq!(
        (resumable.read_began_at, resumable.checkpoint_at),
        (began, checkpoint_at)
    );
    let (staging, state) = house
        .store
        .resume_staging(&house.tenant, &third, &second)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(state, b"page 3");
    assert_eq!(staging.counts().await.unwrap().users, 3);
    let record = house.store.run(&house.tenant, &third).await.unwrap();
    assert_eq!(record.resumed_from, Some(second));
    assert_eq!(record.read_began_at, Some(began));
}

#[tokio::test]
async fn runs_6_3_what_a_run_left_is_taken_over_under_the_number_of_the_next_and_only_once() {
    let house = house();
    let acme = house.directory("acme").await;
    let first = left(&house, &acme, ErrorKind::Unavailable).await;
    let (run, _) = begin(&house, &acme).await;
    let (staging, _) = house
        .store
        .resume_staging(&house.tenant, &run, &first)
        .await
        .unwrap()
        .unwrap();
    let process = beside(&house);
    let again = process.store.resumable(&house.tenant, &acme.id).await.unwrap();
    assert_eq!(again, None, "who has it now holds it");

    let (next, _) = begin(&process, &acme).await;
    let resumed = process
        .store
        .resume_staging(&house.tenant, &next, &first)
        .await
        .unwrap();
    assert!(resumed.is_none());
    let lost = staging.checkpoint(b"page 3".to_vec()).await;
    assert!(matches!(lost, Err(StoreError::RunEnded { .. })), "{lost:?}");
}

#[tokio::test]
async fn runs_6_4_a_run_that_died_while_it_took_a_staging_over_leaves_it_to_the_next() {
    let house = house();
    let acme = house.directory("acme").await;
    let began = house.clock_now();
    let first = left(&house, &acme, ErrorKind::Unavailable).await;
    house.later(Duration::from_mins(5));
    let (second, _) = begin(&house, &acme).await;
    // The file has its name, and nothing else happened.
    let staging = house.path().join("staging");
    fs::rename(
        staging.join(format!("{first}.db")),
        staging.join(format!("{second}.db")),
    )
    .unwrap();
    let (third, _) = begin(&house, &acme).await;

    let resumable = house
        .store
        .resumable(&house.tenant, &acme.id)
        .await
        .unwrap()
        .unwrap();

    assert_eq!((&resumable.run, resumable.read_began_at), (&second, began));
    let (staging, state) = house
        .store
        .resume_staging(&house.tenant, &third, &second)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(state, b"page 2");
    assert_eq!(staging.counts().await.unwrap().users, 1);
    let record = house.store.run(&house.tenant, &third).await.unwrap();
    assert_eq!(record.read_began_at, Some(began));
}

#[tokio::test]
async fn runs_6_4_a_dry_run_leaves_the_run_that_it_interrupts_due() {
    let house = house();
    let acme = house.directory("acme").await;
    begin(&house, &acme).await;
    let lease = house.store.lease(&house.tenant, &acme.id).await.unwrap();
    let dry = NewRun {
        dry_run: true,
        takes_over: lease.map(|lease| lease.fence),
        ..house.new_run(&acme)
    };
    house.store.begin_run(&house.tenant, dry).await.unwrap();
    let now = house.store.directory(&house.tenant, "acme").await.unwrap();
    assert!(now.times.is_due);
}

/// Who can write into the data directory of a run that died could have a trigger write what was never put, or a view hang
/// whoever reads it.
#[tokio::test]
async fn runs_6_4_a_file_with_more_in_it_than_tables_of_ours_is_not_gone_on_from() {
    for forged in [
        "CREATE TRIGGER more AFTER INSERT ON plan_head BEGIN INSERT INTO plan_user (user_key) VALUES (1); END",
        "CREATE VIEW more AS SELECT * FROM staged_user",
        "CREATE INDEX more ON staged_user (email)",
        "ALTER TABLE staged_checkpoint RENAME TO less",
        "PRAGMA user_version = 9",
    ] {
        let house = house();
        let acme = house.directory("acme").await;
        let first = left(&house, &acme, ErrorKind::Unavailable).await;
        let path = house.path().join("staging").join(format!("{first}.db"));
        Connection::open(&path).unwrap().execute_batch(forged).unwrap();

        let (run, _) = begin(&house, &acme).await;

        let resumable = house.store.resumable(&house.tenant, &acme.id).await.unwrap();
        assert!(resumable.is_none(), "{forged}");
        let resumed = house
            .store
            .resume_staging(&house.tenant, &run, &first)
            .await
            .unwrap();
        assert!(resumed.is_none(), "{forged}");
    }
}

#[tokio::test]
async fn runs_6_4_a_run_with_users_that_were_left_out_goes_on_as_often_as_it_ends_early() {
    let house = house();
    let acme = house.directory("acme").await;
    let (mut run, _, mut staging) = house.begin(&acme, Mode::Full).await;
    staging.put_users(vec![user("ann"), user("bob")]).await.unwrap();
    staging.leave_out_users(vec![id("ann")]).await.unwrap();
    staging.checkpoint(b"page 2".to_vec()).await.unwrap();
    let mut basis = None;
    for _ in 0..3 {
        let end = ending(ErrorKind::Unavailable, true);
        house
            .store
            .end_run(&house.tenant, &run, end, RunFacts::default())
            .await
            .unwrap();
        let (next, of_next) = begin(&house, &acme).await;
        let resumed = house
            .store
            .resume_staging(&house.tenant, &next, &run)
            .await
            .unwrap();
        (run, basis, staging) = (next, Some(of_next), resumed.unwrap().0);
        staging.put_users(vec![user("ann")]).await.unwrap();
        staging.leave_out_users(vec![id("ann")]).await.unwrap();
        staging.put_users(vec![user("ann")]).await.unwrap();
        staging.checkpoint(b"page 2".to_vec()).await.unwrap();
    }
    house.settle(&acme, staging, basis.unwrap()).await;
    assert_eq!(house.seen(&acme).await.users.len(), 2);
}
