//! One row for one id, and what becomes of bad records.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use idsync_model::{Entity, ErrorKind, Operation, Outcome, StagingError};

use crate::org::{
    Org, OrgUser, group_row, id, put_all_members, put_without_members, refused, skip_user, user_row,
};
use crate::world::{World, at_start, org_in_one_group};

#[tokio::test]
async fn runs_1_6_the_same_id_twice_is_one_row_and_the_later_answer_wins() {
    let world = World::new(Org::default()).await;
    world.provider.does(|staging, _| async move {
        let user = |name: &str| {
            let user = OrgUser {
                email: "a@example.com".to_owned(),
                name: name.to_owned(),
                active: true,
            };
            user_row("u", &user)
        };
        let put = async {
            staging.put_users(vec![user("First"), user("Second")]).await?;
            staging.put_users(vec![user("Third")]).await?;
            let group = |name: &str| idsync_model::Group {
                name: name.to_owned(),
                ..group_row("g", &org_in_one_group(1, at_start()).groups["all"])
            };
            assert_eq!(
                staging.put_groups(vec![group("One"), group("Two")]).await?,
                [true, true]
            );
            put_all_members(&*staging, &id("g"), &[id("u"), id("u")], at_start()).await?;
            assert_eq!(
                staging.put_groups(vec![group("Three")]).await?,
                [false],
                "it is read"
            );
            Ok(())
        };
        put.await.map_err(|e: StagingError| refused(&e))
    });
    let report = world.sync().await;
    assert_eq!(
        (
            report.users.created,
            report.groups.created,
            report.memberships.created
        ),
        (1, 1, 1)
    );
    assert_eq!(
        world.seen().await,
        ["user u a@example.com Third", "group g Three", "membership g u"]
    );
}

#[tokio::test]
async fn runs_1_6_the_later_answer_wins_also_where_it_can_not_be_synced() {
    let world = World::synced(Org::of(30)).await;
    let org = world.provider.org.lock().unwrap().clone();
    world.provider.does(move |staging, _| {
        let org = org.clone();
        async move {
            put_without_members(&org, &*staging).await?;
            let good = |id: &str| user_row(id, &org.users[id]);
            let bad = |id: &str| idsync_model::User {
                email: String::new(),
                ..good(id)
            };
            let put = async {
                // One who was put before, one put in the same call, and one who is good in the end.
                staging
                    .put_users(vec![bad("u000"), good("u001"), bad("u001"), bad("u002")])
                    .await?;
                staging
                    .put_users(vec![bad("u003"), good("u003"), good("u002")])
                    .await
            };
            put.await.map_err(|e: StagingError| refused(&e))
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    assert_eq!((report.users.deleted, report.users.skipped), (2, 4));
    let seen = world.seen().await;
    let is_shown = |id: &str| seen.iter().any(|line| line.starts_with(&format!("user {id} ")));
    assert_eq!(
        ["u000", "u001", "u002", "u003"].map(is_shown),
        [false, false, true, true]
    );
}

#[tokio::test]
async fn runs_1_6_of_several_versions_the_one_put_before_the_members_stands() {
    let world = World::new(org_in_one_group(2, at_start())).await;
    let later = at_start().plus(std::time::Duration::from_mins(50));
    world.clock.advance(std::time::Duration::from_hours(1));
    let read_at = world.clock.time();
    world.provider.does(move |staging, _| async move {
        let org = org_in_one_group(2, at_start());
        put_without_members(&org, &*staging).await?;
        let put = async {
            put_all_members(&*staging, &id("all"), &[id("u000")], read_at).await?;
            // The group changed after its members were read.
            let changed = org_in_one_group(2, later);
            staging
                .put_groups(vec![group_row("all", &changed.groups["all"])])
                .await
        };
        put.await.map_err(|e| refused(&e))?;
        Ok(())
    });
    assert_eq!(world.sync().await.outcome, Outcome::Succeeded);
    world.provider.reads_org();
    world.clock.advance(std::time::Duration::from_hours(1));
    world.provider.change(|org| *org = org_in_one_group(2, later));
    world.sync().await;
    assert_eq!(
        world.provider.take_fetched(),
        ["all"],
        "the later version is news"
    );
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_1_6_a_group_that_changed_since_it_was_first_listed_is_fetched() {
    let world = World::synced(org_in_one_group(3, at_start())).await;
    let now = world.clock.time();
    world.provider.does(move |staging, _| async move {
        let put = async {
            let row = |at| group_row("all", &org_in_one_group(3, at).groups["all"]);
            assert_eq!(staging.put_groups(vec![row(at_start())]).await?, [false]);
            assert_eq!(staging.put_groups(vec![row(now)]).await?, [true]);
            Ok(())
        };
        put.await.map_err(|e: StagingError| refused(&e))
    });
    assert_eq!(
        world.sync().await.error.unwrap().kind,
        ErrorKind::Plugin,
        "and it was not"
    );
}

#[tokio::test]
async fn runs_1_8_a_skipped_user_is_deleted_as_skipped_and_returns_with_his_memberships() {
    let world = World::synced(org_in_one_group(5, at_start())).await;
    let org = world.provider.org.lock().unwrap().clone();
    world.provider.does(move |staging, _| {
        let mut org = org.clone();
        async move {
            org.users.remove("u002");
            skip_user(&*staging, "u002", "the user has no e-mail").await?;
            put_without_members(&org, &*staging).await?;
            Ok(())
        }
    });
    let held_back = world.dry_run().await;
    assert_eq!((held_back.users.deleted, held_back.users.skipped), (1, 1));
    let report = world.sync().await;
    assert_eq!((report.users.deleted, report.users.skipped), (1, 1));
    let skips = world.store.skips(&world.tenant, &report.run).await.unwrap();
    assert_eq!(skips.len(), 1);
    assert_eq!(
        (
            skips[0].kind,
            skips[0].external_id.as_str(),
            skips[0].reason.as_str()
        ),
        (Entity::User, "u002", "the user has no e-mail")
    );
    world.provider.reads_org();
    let back = world.sync().await;
    assert_eq!((back.users.created, back.memberships.created), (1, 1));
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_1_8_bad_records_do_not_stop_a_run() {
    let world = World::new(Org::default()).await;
    world.provider.does(|staging, _| async move {
        let mut org = Org::of(3);
        org.users.get_mut("u001").unwrap().email = String::new();
        org.users.get_mut("u002").unwrap().name = "ü".repeat(100 * 1024);
        org.set_group("g", &["u000", "u001"], at_start());
        org.groups.get_mut("g").unwrap().name = String::new();
        put_without_members(&org, &*staging).await?;
        put_all_members(&*staging, &id("g"), &[id("u000"), id("u001")], at_start())
            .await
            .map_err(|e| refused(&e))?;
        Ok(())
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Succeeded);
    assert_eq!((report.users.created, report.users.skipped), (2, 2));
    assert_eq!((report.groups.created, report.groups.skipped), (1, 1));
    let name = "ü".repeat(1024);
    assert_eq!(
        world.seen().await,
        [
            "user u000 u000@example.com User u000".to_owned(),
            format!("user u002 u002@example.com {name}"),
            "group g g".to_owned(),
            "membership g u000".to_owned()
        ]
    );
    let skips = world.store.skips(&world.tenant, &report.run).await.unwrap();
    let reasons: Vec<_> = skips
        .iter()
        .map(|s| (s.external_id.as_str(), s.reason.as_str()))
        .collect();
    assert!(reasons.contains(&("u001", "it has no e-mail")), "{reasons:?}");
    assert!(
        reasons.contains(&("g", "it has no name, so its id is shown")),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn runs_1_8_at_most_1000_of_a_kind_are_kept_in_detail_and_all_are_counted() {
    let world = World::new(Org::default()).await;
    world.provider.does(|staging, _| async move {
        for n in 0..1_200 {
            skip_user(&*staging, &format!("u{n}"), "the user has no e-mail").await?;
        }
        Ok(())
    });
    let report = world.sync().await;
    assert_eq!(report.users.skipped, 1_200);
    assert_eq!(
        world.store.skips(&world.tenant, &report.run).await.unwrap().len(),
        1_000
    );
    let told = world.told.0.lock().unwrap();
    let told = told
        .iter()
        .filter(|event| matches!(event, idsync_model::RunEvent::Skipped { .. }));
    assert_eq!(told.count(), 1_000);
}

#[tokio::test]
async fn a_listing_that_begins_again_drops_what_it_had_put() {
    let world = World::new(Org::of(3)).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    world.provider.does(move |staging, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let put = async {
                let stray = Org::of(9);
                staging
                    .put_users(stray.users.iter().map(|(id, u)| user_row(id, u)).collect())
                    .await?;
                staging.restart(Entity::User).await?;
                let org = Org::of(3);
                staging
                    .put_users(org.users.iter().map(|(id, u)| user_row(id, u)).collect())
                    .await
            };
            put.await.map_err(|e: StagingError| refused(&e))
        }
    });
    assert_eq!(world.sync().await.users.created, 3);
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    world.assert_equals_org().await;
}

#[tokio::test]
async fn runs_3_2_the_reason_of_each_deletion_is_kept_with_the_plan() {
    let world = World::synced(Org::of(30)).await;
    world.provider.change(|org| {
        org.users.remove("u000");
        for n in 1..15 {
            org.set_active(&format!("u{n:03}"), false);
        }
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held);
    let rows = world
        .store
        .planned_rows(&world.tenant, &report.run, Entity::User, Operation::Delete, 100)
        .await
        .unwrap();
    assert_eq!(rows[0].reason, Some(idsync_model::DeleteReason::Absent));
    assert_eq!(rows[1].reason, Some(idsync_model::DeleteReason::Inactive));
}
