//! The staging of a run: what is put again, begun again, dropped.

use idsync_model::{Entity, MembersVersion, Mode, UnixMillis};

use super::org::{FIRST, LAST, NEXT, Org, WHOLE, group, house, id, ids, user};
use crate::{ListState, StagedCounts, StoreError};

#[tokio::test]
async fn runs_1_6_of_two_answers_the_later_wins_and_the_first_version_stands() {
    let house = house();
    let acme = house.directory("acme").await;
    let (_, basis, staging) = house.begin(&acme, Mode::Full).await;
    let mut renamed = user("ann");
    renamed.display_name = Some("Anna".to_owned());
    staging.put_users(vec![user("ann")]).await.unwrap();
    staging.put_users(vec![renamed]).await.unwrap();
    let at = |version, name: &str| {
        let mut group = group("g");
        group.members_version = Some(MembersVersion::ChangedAt(version));
        name.clone_into(&mut group.name);
        vec![(group, true)]
    };

    assert_eq!(
        staging.put_groups(at(10, "first")).await.unwrap(),
        [ListState::Unread]
    );
    assert_eq!(
        staging.put_groups(at(20, "second")).await.unwrap(),
        [ListState::Unread]
    );
    staging
        .put_members(id("g"), ids(&["ann", "bob"]), UnixMillis(25), FIRST)
        .await
        .unwrap();
    assert_eq!(
        staging.put_groups(at(30, "third")).await.unwrap(),
        [ListState::Open]
    );
    staging
        .put_members(id("g"), ids(&["bob"]), UnixMillis(26), LAST)
        .await
        .unwrap();
    assert_eq!(staging.list_len(&id("g")).await.unwrap(), 2);
    assert_eq!(
        staging.put_groups(at(40, "fourth")).await.unwrap(),
        [ListState::Closed]
    );
    house.settle(&acme, staging, basis).await;

    let seen = house.seen(&acme).await;
    assert_eq!(seen.users["ann"].display_name.as_deref(), Some("Anna"));
    assert_eq!(seen.groups["g"].name, "fourth");
    let read = house
        .store
        .group_reads(&house.tenant, &acme.id, vec![id("x"), id("g")])
        .await
        .unwrap();
    assert_eq!(read[0], None);
    let read = read[1].clone().unwrap();
    assert_eq!(read.version, Some(MembersVersion::ChangedAt(10)));
    assert_eq!(read.read_at, Some(UnixMillis(25)));
    assert!(read.has_members);
}

#[tokio::test]
async fn a_first_page_drops_the_list_that_is_there() {
    let house = house();
    let acme = house.directory("acme").await;
    let (_, _, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_groups(vec![(group("g"), true)]).await.unwrap();
    staging
        .put_members(id("g"), ids(&["a", "b"]), UnixMillis(1), WHOLE)
        .await
        .unwrap();

    staging
        .put_members(id("g"), ids(&["c"]), UnixMillis(2), FIRST)
        .await
        .unwrap();

    assert_eq!(staging.list_len(&id("g")).await.unwrap(), 1);
    assert_eq!(staging.unclosed_groups(10).await.unwrap(), [id("g")]);
    staging
        .put_members(id("g"), ids(&[]), UnixMillis(2), LAST)
        .await
        .unwrap();
    assert_eq!(staging.unclosed_groups(10).await.unwrap(), []);
}

#[tokio::test]
async fn members_without_their_group_or_their_first_page_are_an_error_that_a_later_call_tells() {
    let house = house();
    let acme = house.directory("acme").await;
    let (_, basis, staging) = house.begin(&acme, Mode::Full).await;
    staging
        .put_members(id("g"), ids(&["a"]), UnixMillis(1), WHOLE)
        .await
        .unwrap();
    let told = staging.flush().await;
    assert!(matches!(told, Err(StoreError::GroupNotPut { group }) if group == id("g")));
    assert!(staging.flush().await.is_err(), "nothing more is written");
    assert!(
        staging.put_groups(vec![(group("g"), true)]).await.is_err(),
        "nor asked"
    );
    let refused = house.store.make_plan(&house.tenant, staging, basis).await;
    assert!(refused.is_err(), "no plan is made of half a read");

    let (_, _, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_groups(vec![(group("g"), true)]).await.unwrap();
    staging
        .put_members(id("g"), ids(&["a"]), UnixMillis(1), NEXT)
        .await
        .unwrap();
    assert!(matches!(
        staging.flush().await,
        Err(StoreError::ListNotOpen { .. })
    ));
}

#[tokio::test]
async fn a_listing_that_begins_again_drops_what_was_put_of_its_kind() {
    let house = house();
    let acme = house.directory("acme").await;
    let (_, basis, staging) = house.begin(&acme, Mode::Full).await;
    let org = Org::default()
        .user("ann")
        .user("bob")
        .group("g", &["ann", "bob"])
        .group("h", &["ann"]);
    org.put(&*staging, UnixMillis(1)).await;
    staging
        .skip(Entity::User, "eve".to_owned(), "no e-mail".to_owned())
        .await
        .unwrap();

    staging.restart(Entity::User).await.unwrap();
    staging.restart(Entity::Group).await.unwrap();
    assert_eq!(staging.skip_counts().await.unwrap().users, 0);
    assert_eq!(
        staging.counts().await.unwrap(),
        StagedCounts {
            users: 0,
            groups: 0,
            members: 3
        }
    );
    staging.put_users(vec![user("bob")]).await.unwrap();
    assert_eq!(
        staging.put_groups(vec![(group("g"), true)]).await.unwrap(),
        [ListState::Closed]
    );
    house.settle(&acme, staging, basis).await;

    let seen = house.seen(&acme).await;
    assert_eq!(seen.user_ids(), ["bob"]);
    assert_eq!(seen.pairs(), [("g", "bob")]);

    let (_, _, staging) = house.begin(&acme, Mode::Full).await;
    org.put(&*staging, UnixMillis(1)).await;
    staging.restart(Entity::Membership).await.unwrap();
    assert_eq!(staging.counts().await.unwrap().members, 0);
    assert_eq!(staging.unclosed_groups(10).await.unwrap(), [id("g"), id("h")]);
}

#[tokio::test]
async fn what_a_checkpoint_committed_is_in_the_file() {
    let house = house();
    let acme = house.directory("acme").await;
    let (run, _, staging) = house.begin(&acme, Mode::Full).await;
    staging.put_users(vec![user("ann")]).await.unwrap();
    staging.checkpoint(b"cursor".to_vec()).await.unwrap();
    staging.put_users(vec![user("bob")]).await.unwrap();
    staging.flush().await.unwrap();

    // As after a kill: the file as it lies there, with the journal of what was not committed.
    let copy = tempfile::tempdir().unwrap();
    for suffix in ["", "-journal"] {
        let name = format!("{run}.db{suffix}");
        let from = house.path().join("staging").join(&name);
        if from.exists() {
            std::fs::copy(from, copy.path().join(&name)).unwrap();
        }
    }
    let file = rusqlite::Connection::open(copy.path().join(format!("{run}.db"))).unwrap();
    let (users, state): (i64, Vec<u8>) = file
        .query_row(
            "SELECT (SELECT count(*) FROM staged_user), (SELECT state FROM staged_checkpoint)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((users, state.as_slice()), (1, b"cursor".as_slice()));
}
