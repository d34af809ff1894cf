//! Rows that move while they are read, and rows that a reader of the changes follows one by one.

use std::collections::HashMap;

use idsync_model::{Mode, Operation, Outcome};
use idsync_store::{ChangeBody, ChangeRow};

use crate::org::{Org, group_row, refused, user_row};
use crate::sequences::feed::{Follower, changes};
use crate::sequences::model::{Reading, State};
use crate::world::{World, at_start, org_in_one_group};

#[tokio::test]
async fn runs_1_7_a_row_that_moved_between_pages_is_missed_once_and_the_next_run_mends_it() {
    let world = World::synced(org_in_one_group(6, at_start())).await;
    let org = world.provider.org.lock().unwrap().clone();
    let before = world.seen().await;
    world.provider.does(move |staging, _| {
        let users: Vec<_> = org.users.iter().map(|(id, user)| user_row(id, user)).collect();
        let groups: Vec<_> = org
            .groups
            .iter()
            .map(|(id, group)| group_row(id, group))
            .collect();
        // The last one comes first from the second page on: one is seen twice, and one was on no page.
        let pages = [users[..3].to_vec(), users[2..5].to_vec()];
        async move {
            for page in pages {
                staging.put_users(page).await.map_err(|e| refused(&e))?;
            }
            let asked = staging.put_groups(groups).await.map_err(|e| refused(&e))?;
            assert_eq!(asked, [false]);
            Ok(())
        }
    });
    let report = world.sync().await;
    assert_eq!((report.outcome, report.users.deleted), (Outcome::Succeeded, 1));
    let mut expected = before.clone();
    expected.retain(|line| !line.contains("u005"));
    assert_eq!(
        world.seen().await,
        expected,
        "one is missed, and nobody is there twice"
    );

    world.provider.reads_org();
    let next = world.sync().await;
    assert_eq!((next.mode, next.users.created), (Mode::Incremental, 1));
    assert_eq!(world.seen().await, before);
}

/// Where a change stands in the order of its block.
fn place(row: &ChangeRow) -> u8 {
    match &row.body {
        ChangeBody::User { operation, .. } if *operation != Operation::Delete => 0,
        ChangeBody::Group { operation, .. } if *operation != Operation::Delete => 0,
        ChangeBody::Membership { operation, .. } if *operation == Operation::Create => 1,
        ChangeBody::Membership { .. } => 2,
        ChangeBody::Group { .. } => 3,
        ChangeBody::User { .. } => 4,
        ChangeBody::Applied { .. } => 5,
    }
}

#[tokio::test]
async fn runs_3_3_changes_can_be_followed_row_by_row_by_whoever_keeps_references() {
    let world = World::synced(four_users_in_two_groups()).await;
    let now = world.clock.time();
    let first = world.directory().await.last_run.unwrap().run;
    let org = world.provider.org.lock().unwrap().clone();
    let mut applied = HashMap::from([(first, State::default().after(&Reading::of(&org)))]);
    world.provider.change(|org| {
        org.add_user("new");
        org.users.get_mut("u001").unwrap().name.push('!');
        org.users.remove("u000");
        org.set_active("u002", false);
        org.set_group("made", &["new", "u001"], now);
        org.set_group("kept", &["u003", "new"], now);
        org.groups.remove("gone");
    });
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    let org = world.provider.org.lock().unwrap().clone();
    applied.insert(report.run.clone(), State::default().after(&Reading::of(&org)));

    // This reader refuses a row that refers to what is not there.
    let mut reader = Follower::from_start();
    reader.follow(&world, &applied).await.unwrap();
    assert_eq!(reader.lines(), world.seen().await);

    let rows = changes(&world).await;
    let block: Vec<_> = rows.iter().filter(|row| row.run == report.run).collect();
    let places: Vec<_> = block.iter().map(|row| place(row)).collect();
    assert!(places.is_sorted(), "{block:#?}");
    for expected in 0..=5 {
        assert!(places.contains(&expected), "nothing of {expected}");
    }
    assert!(block.iter().all(|row| row.directory == world.directory));
}

fn four_users_in_two_groups() -> Org {
    let mut org = Org::of(4);
    org.set_group("kept", &["u000", "u001", "u002", "u003"], at_start());
    org.set_group("gone", &["u000", "u001"], at_start());
    org
}
