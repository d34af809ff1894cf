//! Rows that never become a file, and when they do.

use std::fs;

use idsync_model::{ErrorKind, Failure, Mode, TenantName};

use super::org::{House, Org, Seen, house, house_where, reopened, user};
use crate::{RunEnd, RunFacts, StagedCounts};

fn staged_files(house: &House) -> usize {
    fs::read_dir(house.path().join("staging")).unwrap().count()
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
    assert_eq!(staged_files(&house), 0);
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
    assert_eq!(staged_files(&house), 0);

    org.put(&*staging, house.clock_now()).await;
    staging.flush().await.unwrap();
    assert!(staged_files(&house) > 0);
    let plan = house
        .store
        .make_plan(&house.tenant, staging, basis)
        .await
        .unwrap();
    house.store.apply(plan, RunFacts::default()).await.unwrap();

    assert_eq!(house.seen(&acme).await, org.seen());
    assert_eq!(staged_files(&house), 0);
}

#[tokio::test]
async fn runs_6_4_a_checkpoint_puts_the_rows_where_the_next_process_finds_them() {
    let house = house();
    let acme = house.directory("acme").await;
    let (dead, _, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_users(vec![user("ann"), user("bob")]).await.unwrap();
    staging.flush().await.unwrap();
    assert_eq!(staged_files(&house), 0);
    staging.checkpoint(b"page 2".to_vec()).await.unwrap();
    staging.put_users(vec![user("cat")]).await.unwrap();
    staging.flush().await.unwrap();
    drop(staging);
    let house = reopened(house);

    let lease = house.store.lease(&house.tenant, &acme.id).await.unwrap();
    let new = crate::NewRun {
        takes_over: lease.map(|lease| lease.fence),
        ..house.new_run(&acme)
    };
    let run = new.run.clone();
    let basis = house.store.begin_run(&house.tenant, new).await.unwrap();
    let resumed = house.store.resume_staging(&house.tenant, &run, &dead).await;
    let (staging, state) = resumed.unwrap().unwrap();
    assert_eq!(state, b"page 2");
    let plan = house
        .store
        .make_plan(&house.tenant, staging, basis)
        .await
        .unwrap();
    house.store.apply(plan, RunFacts::default()).await.unwrap();

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
    let org = Org::default().user("ann").group("g", &["ann"]);
    let failed = |keeps_staging| RunEnd::Failed {
        failure: Failure::new(ErrorKind::Unavailable, "users", "", ""),
        keeps_staging,
    };
    for way in 0..6 {
        let (run, basis, staging) = house.begin(&acme, Mode::Full).await;
        org.put(&*staging, house.clock_now()).await;
        let end = |keeps| {
            house
                .store
                .end_run(&house.tenant, &run, failed(keeps), RunFacts::default())
        };
        match way {
            0 => drop(end(false).await.unwrap()),
            1 => drop(end(true).await.unwrap()),
            // Its process died.
            2 => {}
            3 => drop(
                house
                    .store
                    .make_plan(&house.tenant, staging, basis)
                    .await
                    .unwrap(),
            ),
            4 => {
                house
                    .store
                    .make_plan(&house.tenant, staging, basis)
                    .await
                    .unwrap();
                end(false).await.unwrap();
            }
            _ => {
                let plan = house
                    .store
                    .make_plan(&house.tenant, staging, basis)
                    .await
                    .unwrap();
                house.store.apply(plan, RunFacts::default()).await.unwrap();
            }
        }

        let (_, basis, staging) = house.begin(&theirs, Mode::Full).await;
        assert_eq!(staging.counts().await.unwrap(), StagedCounts::default(), "{way}");
        let plan = house.store.make_plan(&stranger, staging, basis).await.unwrap();
        assert_eq!(
            (plan.summary().users.created, plan.summary().groups.created),
            (0, 0)
        );
        house.store.apply(plan, RunFacts::default()).await.unwrap();
        assert_eq!(house.seen(&theirs).await, Seen::default(), "{way}");
    }
    assert_eq!(house.seen(&acme).await, org.seen());
}
