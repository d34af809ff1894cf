//! What readers of the change feed are told, and which positions are refused.

use std::time::Duration;

use idsync_model::{DeleteReason, DirectoryId, FeedCursor, Mode, Operation, RunId, TenantName};

use super::org::{House, Org, Seen, house};
use crate::{
    ChangeBody, ChangePage, ChangeRow, Directory, ExportRow, MembershipRow, PositionRefused, PurgeOrder,
    StoreError,
};

/// A position without its feed.
pub(super) fn number(seq: u64) -> FeedCursor {
    FeedCursor { feed: None, seq }
}

impl House {
    pub(super) async fn page(&self, since: &FeedCursor, limit: u64) -> Result<ChangePage, StoreError> {
        self.store.changes(&self.tenant, since, None, limit).await
    }

    /// All changes after a position, read in small pages.
    pub(super) async fn followed(
        &self,
        since: &FeedCursor,
        directory: Option<&DirectoryId>,
    ) -> (Vec<ChangeRow>, FeedCursor) {
        let mut rows = Vec::new();
        let mut at = since.clone();
        loop {
            let page = self.store.changes(&self.tenant, &at, directory, 3).await.unwrap();
            rows.extend(page.rows);
            at = FeedCursor::of(page.feed, page.next);
            if page.next == page.last {
                return (rows, at);
            }
        }
    }

    /// The position at the end of an export.
    pub(super) async fn exported_to(&self, directory: &Directory) -> FeedCursor {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let sink = Box::new(move |row| {
            if let ExportRow::End { seq, feed, cursor } = row {
                assert_eq!(cursor, FeedCursor::of(feed, seq));
                tell.send(cursor).unwrap();
            }
            Ok(())
        });
        self.store
            .export(&directory.tenant, &directory.id, sink)
            .await
            .unwrap();
        told.recv().unwrap()
    }
}

impl Seen {
    /// Takes a change as a reader would: each must fit what was there before.
    pub(super) fn follow(&mut self, change: &ChangeRow) {
        match &change.body {
            ChangeBody::User {
                operation,
                external_id,
                row,
                before,
                reason,
            } => {
                let stood = match row {
                    Some(row) => self.users.insert(external_id.clone(), row.clone()),
                    None => self.users.remove(external_id),
                };
                assert_eq!(&stood, before, "{change:?}");
                fits(*operation, row.is_some(), before.is_some(), *reason);
                assert!(row.is_some() || self.memberships.iter().all(|pair| &pair.user != external_id));
            }
            ChangeBody::Group {
                operation,
                external_id,
                row,
                before,
                reason,
            } => {
                let stood = match row {
                    Some(row) => self.groups.insert(external_id.clone(), row.clone()),
                    None => self.groups.remove(external_id),
                };
                assert_eq!(&stood, before, "{change:?}");
                fits(*operation, row.is_some(), before.is_some(), *reason);
                assert!(row.is_some() || self.memberships.iter().all(|pair| &pair.group != external_id));
            }
            ChangeBody::Membership {
                operation,
                group,
                user,
                reason,
            } => {
                assert!(self.users.contains_key(user) && self.groups.contains_key(group));
                let pair = MembershipRow {
                    group: group.clone(),
                    user: user.clone(),
                };
                let is_deleted = *operation == Operation::Delete;
                assert_eq!(is_deleted, reason.is_some(), "{change:?}");
                let fitted = if is_deleted {
                    self.memberships.remove(&pair)
                } else {
                    self.memberships.insert(pair)
                };
                assert!(fitted, "{change:?}");
            }
            ChangeBody::Applied { .. } => {}
        }
    }
}

fn fits(operation: Operation, has_row: bool, has_before: bool, reason: Option<DeleteReason>) {
    assert_eq!(has_row, operation != Operation::Delete);
    assert_eq!(has_before, operation != Operation::Create);
    assert_eq!(reason.is_some(), operation == Operation::Delete);
}

fn why(refused: Result<ChangePage, StoreError>) -> PositionRefused {
    match refused {
        Err(error @ StoreError::FeedPosition { why, .. }) => {
            assert!(error.to_string().contains("export again"), "{error}");
            assert!(matches!(&error, StoreError::FeedPosition { .. }), "{error:?}");
            why
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn runs_8_1_changes_are_numbered_without_a_gap_across_directories() {
    let house = house();
    let one = house.directory("one").await;
    let two = house.directory("two").await;
    house
        .sync(&one, &Org::default().user("ann").group("g", &["ann"]))
        .await;
    house.sync(&two, &Org::default().user("bob")).await;
    house.sync(&one, &Org::default().group("g", &[])).await;

    let (rows, at) = house.followed(&number(0), None).await;

    let numbers: Vec<_> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    assert_eq!(at.seq, 9);
    let again = house.page(&at, 10).await.unwrap();
    assert!(again.rows.is_empty());
    assert_eq!((again.next, again.last), (9, 9));
}

#[tokio::test]
async fn runs_8_1_who_asks_for_one_directory_moves_on_past_the_others() {
    let house = house();
    let one = house.directory("one").await;
    let two = house.directory("two").await;
    house.sync(&one, &Org::default().user("ann")).await;
    house.sync(&two, &Org::default().user("bob").user("eve")).await;
    let of_one = async |since, limit| {
        house
            .store
            .changes(&house.tenant, &number(since), Some(&one.id), limit)
            .await
            .unwrap()
    };

    let all = of_one(0, 10).await;
    assert_eq!(all.rows.len(), 2);
    assert!(all.rows.iter().all(|row| row.directory == one.id));
    assert_eq!((all.next, all.last), (5, 5));
    let first = of_one(0, 1).await;
    assert_eq!((first.rows.len(), first.next, first.last), (1, 1, 5));
    let none = of_one(2, 10).await;
    assert!(none.rows.is_empty());
    assert_eq!(none.next, 5);
    let nothing_asked = of_one(0, 0).await;
    assert_eq!((nothing_asked.rows.len(), nothing_asked.next), (0, 0));
}

#[tokio::test]
async fn runs_8_1_changes_of_a_removed_directory_are_still_read_and_strangers_see_none() {
    let house = house();
    let acme = house.directory("acme").await;
    house
        .sync(&acme, &Org::default().user("ann").group("g", &["ann"]))
        .await;
    let run = RunId::generate();
    house
        .store
        .remove_directory(&house.tenant, &acme.id, &run)
        .await
        .unwrap();

    let (rows, _) = house.followed(&number(0), Some(&acme.id)).await;
    let mut seen = Seen::default();
    for row in &rows {
        seen.follow(row);
    }
    assert_eq!(seen, Seen::default());
    assert_eq!(rows.len(), 8);
    assert_eq!(rows[7].run, run);

    let stranger: TenantName = "stranger".parse().unwrap();
    house.store.add_tenant(&stranger).await.unwrap();
    let nothing = house
        .store
        .changes(&stranger, &number(0), None, 10)
        .await
        .unwrap();
    assert!(nothing.rows.is_empty());
    let unknown = house
        .store
        .changes(&stranger, &number(0), Some(&acme.id), 10)
        .await;
    assert!(matches!(unknown, Err(StoreError::UnknownDirectory { .. })));
}

#[tokio::test]
async fn runs_8_2_a_run_is_one_block_that_ends_with_what_it_did() {
    let house = house();
    let acme = house.directory("acme").await;
    let first = house
        .sync(
            &acme,
            &Org::default().user("ann").user("bob").group("g", &["ann", "bob"]),
        )
        .await;
    let second = house
        .sync(
            &acme,
            &Org::default().inactive("ann").user("bob").group("g", &["bob"]),
        )
        .await;

    let (rows, _) = house.followed(&number(0), None).await;

    let blocks: Vec<_> = rows.chunk_by(|a, b| a.run == b.run).collect();
    assert_eq!(blocks.len(), 2);
    for (block, applied) in blocks.iter().zip([first, second]) {
        let last = block.last().unwrap();
        assert_eq!(Some(last.seq), applied.run.applied_seq);
        assert_eq!(block.len() as u64, applied.changes + 1);
        match &last.body {
            ChangeBody::Applied { counts } => {
                assert_eq!(counts.users, applied.run.users);
                assert_eq!(counts.groups, applied.run.groups);
                assert_eq!(counts.memberships, applied.run.memberships);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn runs_8_2_a_change_is_one_flat_line_whose_fields_have_an_order() {
    let house = house();
    let acme = house.directory("acme").await;
    let one = house
        .sync(&acme, &Org::default().user("ann").group("g", &["ann"]))
        .await;
    let mut renamed = Org::default().user("ann").group("g", &[]);
    renamed.groups.get_mut("g").unwrap().description = Some("All".to_owned());
    let two = house.sync(&acme, &renamed).await;
    let three = house
        .sync(&acme, &Org::default().inactive("ann").group("g", &[]))
        .await;
    let (rows, at) = house.followed(&number(0), None).await;
    let feed = at.feed.unwrap();
    let lines: Vec<_> = rows
        .iter()
        .map(|row| serde_json::to_string(row).unwrap())
        .collect();

    let ann = r#"{"external_id":"ann","email":"ann@example.com","username":"ann@example.com","display_name":"ANN","given_name":null,"family_name":null,"status":"ACTIVE"}"#;
    let head = |kind: &str, seq: u64, run: &RunId| {
        format!(
            r#"{{"type":{kind},"seq":{seq},"cursor":"{seq}@{feed}","run":"{run}","directory":"{}","#,
            acme.id
        )
    };
    assert_eq!(
        lines[0],
        head(r#""user","op":"create""#, 1, &one.run.run) + r#""external_id":"ann","row":"# + ann + "}"
    );
    assert_eq!(
        lines[2],
        head(r#""membership","op":"create""#, 3, &one.run.run) + r#""group":"g","user":"ann"}"#
    );
    assert_eq!(
        lines[4],
        head(r#""group","op":"update""#, 5, &two.run.run)
            + r#""external_id":"g","row":{"external_id":"g","name":"Group g","description":"All"},"#
            + r#""before":{"external_id":"g","name":"Group g","description":null}}"#
    );
    assert_eq!(
        lines[5],
        head(r#""membership","op":"delete""#, 6, &two.run.run)
            + r#""group":"g","user":"ann","reason":"absent"}"#
    );
    let user = lines.iter().position(|line| line.contains("inactive")).unwrap();
    assert_eq!(
        lines[user],
        head(r#""user","op":"delete""#, user as u64 + 1, &three.run.run)
            + r#""external_id":"ann","before":"#
            + ann
            + r#","reason":"inactive"}"#
    );
    assert!(
        lines[3].starts_with(&head(r#""applied""#, 4, &one.run.run)),
        "{}",
        lines[3]
    );
    assert!(
        lines[3]
            .ends_with(r#""memberships":{"created":1,"updated":0,"deleted":0,"unchanged":0,"skipped":0}}}"#),
        "{}",
        lines[3]
    );
}

#[tokio::test]
async fn runs_8_3_an_export_ends_with_the_position_that_its_rows_are_of() {
    let house = house();
    let one = house.directory("one").await;
    let two = house.directory("two").await;
    house.sync(&one, &Org::default().user("ann")).await;
    let mut copy = house.seen(&one).await;
    let at = house.exported_to(&one).await;
    assert_eq!(at.seq, 2);
    let line = serde_json::to_string(&ExportRow::End {
        seq: 2,
        feed: at.feed.clone().unwrap(),
        cursor: at.clone(),
    })
    .unwrap();
    let feed = at.feed.clone().unwrap();
    assert_eq!(
        line,
        format!(r#"{{"type":"end","seq":2,"feed":"{feed}","cursor":"2@{feed}"}}"#)
    );

    house.sync(&two, &Org::default().user("eve")).await;
    house
        .sync(&one, &Org::default().user("bob").group("g", &["bob"]))
        .await;

    let (rows, _) = house.followed(&at, Some(&one.id)).await;
    for row in &rows {
        copy.follow(row);
    }
    assert_eq!(copy, house.seen(&one).await);
}

#[tokio::test]
async fn runs_8_4_a_position_that_can_not_be_gone_on_from_is_refused() {
    let house = house();
    let acme = house.directory("acme").await;
    assert!(house.page(&number(0), 10).await.unwrap().rows.is_empty());
    let beyond = why(house.page(&number(1), 10).await);
    assert_eq!(beyond, PositionRefused::Beyond { last: 0 });

    house.sync(&acme, &Org::default().user("ann")).await;
    let feed = house.page(&number(0), 10).await.unwrap().feed;
    for seq in 0..=2 {
        let at = FeedCursor::of(feed.clone(), seq);
        assert_eq!(house.page(&at, 10).await.unwrap().next, 2);
    }
    let beyond = why(house.page(&FeedCursor::of(feed, 3), 10).await);
    assert_eq!(beyond, PositionRefused::Beyond { last: 2 });
    let beyond = why(house.page(&number(u64::MAX), 10).await);
    assert_eq!(beyond, PositionRefused::Beyond { last: 2 });
    let another = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let refused = why(house.page(&FeedCursor::of(another, 2), 10).await);
    assert_eq!(refused, PositionRefused::AnotherFeed);
}

#[tokio::test]
async fn runs_8_4_a_position_below_the_kept_range_is_refused_and_the_last_one_never_is() {
    let house = house();
    let acme = house.directory("acme").await;
    house.sync(&acme, &Org::default().user("ann")).await;
    house.later(Duration::from_hours(20 * 24));
    house.sync(&acme, &Org::default().user("ann").user("bob")).await;
    house.later(Duration::from_hours(20 * 24));
    let purged = house.store.purge(PurgeOrder::default()).await.unwrap();
    assert_eq!(purged.changes, 2);

    for seq in 0..2 {
        let refused = why(house.page(&number(seq), 10).await);
        assert_eq!(refused, PositionRefused::Purged { earliest: 2 });
    }
    assert_eq!(house.page(&number(2), 10).await.unwrap().rows.len(), 2);

    house.later(Duration::from_hours(20 * 24));
    let purged = house.store.purge(PurgeOrder::default()).await.unwrap();
    assert_eq!(purged.changes, 2);
    let refused = why(house.page(&number(2), 10).await);
    assert_eq!(refused, PositionRefused::Purged { earliest: 4 });
    let page = house.page(&number(4), 10).await.unwrap();
    assert_eq!((page.rows.len(), page.next, page.last), (0, 4, 4));

    house.sync(&acme, &Org::default().user("ann")).await;
    let page = house.page(&number(4), 10).await.unwrap();
    assert_eq!(page.rows[0].seq, 5, "the counter outlives the purge");
}

#[tokio::test]
async fn runs_8_2_a_run_that_changed_nothing_is_no_block() {
    let house = house();
    let acme = house.directory("acme").await;
    let org = Org::default().user("ann");
    house.sync(&acme, &org).await;
    let at = house.exported_to(&acme).await;

    let plan = house.plan(&acme, &org, Mode::Full).await.unwrap();
    let applied = house.store.apply(plan, crate::RunFacts::default()).await.unwrap();

    assert_eq!(applied.run.applied_seq, None);
    assert_eq!(house.exported_to(&acme).await, at);
}

#[tokio::test]
async fn runs_8_1_the_members_of_a_large_group_are_told_without_a_gap_wherever_a_page_ends() {
    // More than lie in one row of the feed.
    const MEMBERS: u64 = 10_007;
    let house = house();
    let acme = house.directory("acme").await;
    let names: Vec<_> = (0..MEMBERS).map(|n| format!("u{n}")).collect();
    let members: Vec<_> = names.iter().map(String::as_str).collect();
    let everyone = names.iter().fold(Org::default(), |org, name| org.user(name));
    let org = everyone.group("g", &members);
    house.sync(&acme, &org).await;
    let emptied = org.clone().group("g", &[]);
    house.sync(&acme, &emptied).await;
    let rows_of_memberships: i64 = house
        .raw()
        .query_row("SELECT count(*) FROM change_block WHERE kind = 3", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(rows_of_memberships, 4, "two of each run");

    // Pages of a reader who stops within rows of the feed, and of others who stop where one ends and right beside that.
    let first_row_ends = MEMBERS + 1 + 10_000;
    for limit in [3_001, first_row_ends - 1, first_row_ends, first_row_ends + 1] {
        let mut seen = Seen::default();
        let mut at = number(0);
        loop {
            let page = house.page(&at, limit).await.unwrap();
            let is_last = page.next == page.last;
            assert!(is_last || page.rows.len() as u64 == limit, "a page ended early");
            for row in &page.rows {
                at.seq += 1;
                assert_eq!(row.seq, at.seq);
                seen.follow(row);
                if at.seq == 2 * MEMBERS + 2 {
                    assert_eq!(seen, org.seen());
                }
            }
            assert_eq!(page.next, at.seq);
            if is_last {
                break;
            }
        }
        assert_eq!(at.seq, 3 * MEMBERS + 3);
        assert_eq!(seen, emptied.seen());
    }
}
