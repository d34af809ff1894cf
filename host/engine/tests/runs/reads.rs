//! What counts as a read: success, closed lists, the contract kept, emptiness that was asked for twice.

use std::sync::Arc;

use idsync_engine::RunOrder;
use idsync_model::{
    ErrorKind, Failure, MembersVerdict, MembersVersion, Outcome, PagePart, Staging, StagingError, UnixMillis,
};

use crate::org::{Org, group_row, id, ids, put_all_members, put_without_members, refused};
use crate::world::{World, at_start, org_in_one_group};

fn away() -> Failure {
    Failure {
        provider_code: Some("E0000009".to_owned()),
        request_id: Some("req-1".to_owned()),
        ..Failure::new(ErrorKind::Unavailable, "members", "the org is away", "Wait.")
    }
}

const ONE_PAGE: PagePart = PagePart {
    first: true,
    last: true,
};
const FIRST: PagePart = PagePart {
    first: true,
    last: false,
};
const MIDDLE: PagePart = PagePart {
    first: false,
    last: false,
};

#[tokio::test]
async fn runs_1_1_a_read_that_failed_changes_nothing() {
    let world = World::synced(org_in_one_group(5, at_start())).await;
    let before = world.seen().await;
    world.provider.does(|staging, _| async move {
        staging.put_users(Vec::new()).await.unwrap();
        staging
            .put_groups(vec![group_row(
                "new",
                &org_in_one_group(1, at_start()).groups["all"],
            )])
            .await
            .unwrap();
        Err(away())
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.error, Some(away()));
    assert_eq!(report.requests, 7);
    assert_eq!(world.seen().await, before);
    let stored = world.store.run(&world.tenant, &report.run).await.unwrap();
    assert_eq!(stored.outcome, Some(Outcome::Failed));
    assert_eq!(stored.error, Some(away()));
}

#[tokio::test]
async fn runs_1_1_a_list_without_its_last_page_was_not_read() {
    let world = World::synced(org_in_one_group(5, at_start())).await;
    let before = world.seen().await;
    world.provider.does(|staging, _| async move {
        let org = org_in_one_group(5, at_start().plus(std::time::Duration::from_secs(1)));
        put_without_members(&org, &*staging).await?;
        staging
            .put_members(id("all"), ids(&["u000"]), at_start(), FIRST)
            .await
            .map_err(|e| refused(&e))?;
        Ok(())
    });
    let report = world.sync().await;
    let error = report.error.unwrap();
    assert_eq!(error.kind, ErrorKind::Plugin);
    assert!(error.summary.contains("`all`"), "{}", error.summary);
    assert_eq!(world.seen().await, before);
}

#[tokio::test]
async fn runs_1_1_a_list_that_was_never_begun_was_not_read() {
    let world = World::new(org_in_one_group(5, at_start())).await;
    world.provider.does(|staging, _| async move {
        put_without_members(&org_in_one_group(5, at_start()), &*staging).await?;
        Ok(())
    });
    assert_eq!(world.sync().await.error.unwrap().kind, ErrorKind::Plugin);
    assert_eq!(world.seen().await, Vec::<String>::new());
}

/// Runs one breach of the contract and gives the summary of the failure it ends as.
async fn breach<F, R>(breach: F) -> String
where
    F: Fn(Arc<dyn Staging>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), StagingError>> + Send + 'static,
{
    let world = World::synced(org_in_one_group(5, at_start())).await;
    let before = world.seen().await;
    world.provider.does(move |staging, _| {
        let outcome = breach(staging);
        async move {
            // A plugin can't catch the trap; one that could would not get away with it.
            let _ = outcome.await;
            Ok(())
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Failed);
    let error = report.error.unwrap();
    assert_eq!(error.kind, ErrorKind::Plugin, "{error:?}");
    assert_eq!(world.seen().await, before);
    error.summary
}

#[tokio::test]
async fn runs_1_1_members_of_a_group_that_was_not_put_break_the_contract() {
    let summary = breach(|staging| async move {
        staging
            .put_members(id("ghost"), ids(&["u000"]), at_start(), ONE_PAGE)
            .await?;
        Ok(())
    })
    .await;
    assert!(summary.contains("`ghost`"), "{summary}");
}

#[tokio::test]
async fn runs_1_1_a_later_page_without_a_first_one_breaks_the_contract() {
    let summary = breach(|staging| async move {
        let org = org_in_one_group(5, UnixMillis(5));
        staging
            .put_groups(vec![group_row("all", &org.groups["all"])])
            .await?;
        staging
            .put_members(id("all"), ids(&["u000"]), at_start(), MIDDLE)
            .await?;
        Ok(())
    })
    .await;
    assert!(summary.contains("`all`"), "{summary}");
}

#[tokio::test]
async fn runs_1_1_a_checkpoint_of_more_than_64_kib_breaks_the_contract() {
    let summary = breach(|staging| async move { staging.checkpoint(vec![0; 64 * 1024 + 1]).await }).await;
    assert!(summary.contains("65537"), "{summary}");
}

#[tokio::test]
async fn runs_1_1_a_version_that_is_no_time_breaks_the_contract() {
    let summary = breach(|staging| async move {
        let mut group = group_row("all", &org_in_one_group(1, at_start()).groups["all"]);
        group.members_version = Some(MembersVersion::ChangedAt(u64::MAX));
        staging.put_groups(vec![group]).await?;
        Ok(())
    })
    .await;
    assert!(summary.contains("version of group `all`"), "{summary}");
}

#[tokio::test]
async fn a_checkpoint_of_64_kib_is_taken() {
    let world = World::new(Org::default()).await;
    world.provider.does(|staging, _| async move {
        staging
            .checkpoint(vec![0; 64 * 1024])
            .await
            .map_err(|e| refused(&e))
    });
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn more_rows_than_a_run_may_stage_end_it() {
    let world = World::new(Org::of(11)).await;
    let mut order: RunOrder = world.order();
    order.limits.staged_rows = 10;
    let error = world.run(order).await.error.unwrap();
    assert_eq!(error.kind, ErrorKind::Plugin);
    assert!(error.summary.contains("10 rows"), "{}", error.summary);
}

#[tokio::test]
async fn more_text_than_a_run_may_stage_ends_it() {
    let world = World::new(Org::of(11)).await;
    let mut order: RunOrder = world.order();
    order.limits.staged_bytes = 10;
    let error = world.run(order).await.error.unwrap();
    assert_eq!(error.kind, ErrorKind::Plugin);
    assert!(error.summary.contains("10 bytes"), "{}", error.summary);
}

#[tokio::test]
async fn pages_without_members_count_as_rows_too() {
    let world = World::new(org_in_one_group(1, at_start())).await;
    world.provider.does(|staging, _| async move {
        put_without_members(&org_in_one_group(1, at_start()), &*staging).await?;
        loop {
            put_all_members(&*staging, &id("all"), &[], at_start())
                .await
                .map_err(|e| refused(&e))?;
        }
    });
    let mut order: RunOrder = world.order();
    order.limits.staged_rows = 10;
    assert_eq!(world.run(order).await.error.unwrap().kind, ErrorKind::Plugin);
}

#[tokio::test]
async fn what_is_put_after_the_end_is_refused() {
    let world = World::synced(Org::of(3)).await;
    let kept: Arc<std::sync::Mutex<Option<Arc<dyn Staging>>>> = Arc::default();
    let keep = Arc::clone(&kept);
    world.provider.does(move |staging, _| {
        *keep.lock().unwrap() = Some(staging);
        async { Err(away()) }
    });
    world.sync().await;
    let staging = kept.lock().unwrap().take().unwrap();
    assert!(staging.put_users(Vec::new()).await.is_err());
}

#[tokio::test]
async fn runs_1_4_an_empty_list_whose_stored_one_is_not_is_asked_for_once_more() {
    let world = World::synced(org_in_one_group(5, at_start())).await;
    let now = world.clock.time();
    world.provider.change(|org| org.set_group("all", &[], now));
    let verdicts: Arc<std::sync::Mutex<Vec<MembersVerdict>>> = Arc::default();
    let seen = Arc::clone(&verdicts);
    let org = world.provider.org.lock().unwrap().clone();
    world.provider.does(move |staging, _| {
        let (org, seen) = (org.clone(), Arc::clone(&seen));
        async move {
            assert_eq!(put_without_members(&org, &*staging).await?, [true]);
            for _ in 0..2 {
                let verdict = put_all_members(&*staging, &id("all"), &[], now)
                    .await
                    .map_err(|e| refused(&e))?;
                seen.lock().unwrap().push(verdict);
            }
            Ok(())
        }
    });
    let report = world.sync().await;
    assert_eq!(
        *verdicts.lock().unwrap(),
        [MembersVerdict::ReadAgain, MembersVerdict::Taken]
    );
    assert_eq!(report.outcome, Outcome::Held, "and then the guard looks at it");
}

#[tokio::test]
async fn runs_1_4_who_does_not_ask_again_has_not_read() {
    let world = World::synced(org_in_one_group(5, at_start())).await;
    let now = world.clock.time();
    world.provider.does(move |staging, _| async move {
        let mut org = org_in_one_group(5, at_start());
        org.set_group("all", &[], now);
        put_without_members(&org, &*staging).await?;
        put_all_members(&*staging, &id("all"), &[], now)
            .await
            .map_err(|e| refused(&e))?;
        Ok(())
    });
    assert_eq!(world.sync().await.error.unwrap().kind, ErrorKind::Plugin);
}

#[tokio::test]
async fn runs_1_4_the_second_answer_may_have_members() {
    let world = World::synced(org_in_one_group(5, at_start())).await;
    let now = world.clock.time();
    world
        .provider
        .change(|org| org.set_group("all", &["u000", "u001", "u002", "u003"], now));
    let org = world.provider.org.lock().unwrap().clone();
    world.provider.does(move |staging, _| {
        let org = org.clone();
        async move {
            put_without_members(&org, &*staging).await?;
            let members: Vec<_> = org.groups["all"].members.iter().map(|m| id(m)).collect();
            for list in [&[][..], &members] {
                put_all_members(&*staging, &id("all"), list, now)
                    .await
                    .map_err(|e| refused(&e))?;
            }
            Ok(())
        }
    });
    let report = world.sync().await;
    assert_eq!((report.memberships.created, report.memberships.deleted), (0, 1));
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_1_4_a_group_that_was_empty_may_be_empty() {
    let mut org = Org::of(2);
    org.set_group("empty", &[], at_start());
    let world = World::synced(org).await;
    let now = world.clock.time();
    world.provider.change(|org| org.set_group("empty", &[], now));
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
    assert_eq!(world.provider.take_fetched(), ["empty"]);
}

#[tokio::test]
async fn runs_1_5_a_group_that_is_gone_is_left_out_with_its_memberships() {
    let mut org = org_in_one_group(2, at_start());
    org.set_group("gone", &["u000"], at_start());
    let world = World::synced(org).await;
    let now = world.clock.time();
    world
        .provider
        .change(|org| org.set_group("gone", &["u000", "u001"], now));
    let org = world.provider.org.lock().unwrap().clone();
    world.provider.does(move |staging, _| {
        let org = org.clone();
        async move {
            put_without_members(&org, &*staging).await?;
            staging.drop_group(id("gone")).await.map_err(|e| refused(&e))
        }
    });
    let report = world.sync().await;
    assert_eq!((report.groups.deleted, report.memberships.deleted), (1, 1));
    world.provider.change(|org| {
        org.groups.remove("gone");
    });
    world.assert_equals_org().await;
}
