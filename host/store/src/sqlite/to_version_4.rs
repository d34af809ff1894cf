//! Brings a store to the fourth version, as far as SQL can't: pairs of a group and a user become sets.

use roaring::RoaringTreemap;
use rusqlite::Transaction;
use rusqlite_migration::HookResult;

use super::feed_rows::MEMBERSHIPS;
use super::key_set;
use super::word::signed;

/// The part of the step that follows its SQL.
pub(super) fn bring_over(transaction: &Transaction<'_>) -> HookResult {
    lists(transaction)?;
    recent_deletions(transaction)?;
    membership_changes(transaction)?;
    transaction.execute_batch(
        "DROP TABLE membership;
         DROP TABLE membership_by_user;
         DROP TABLE recent_membership_deletion;
         DROP TABLE change;",
    )?;
    Ok(())
}

fn lists(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    const PAIRS: &str = "
        SELECT user_key, group_key, tenant_id
        FROM membership
        ORDER BY group_key, user_key";
    const WRITE: &str = "
        INSERT INTO member_list (group_key, tenant_id, users)
        VALUES (?1, ?2, ?3)";
    type Of = (i64, i64);
    let mut write = transaction.prepare(WRITE)?;
    let mut write = |((group, tenant), users): (Of, RoaringTreemap)| {
        write.execute((group, tenant, key_set::to_bytes(&users)))
    };
    let mut pairs = transaction.prepare(PAIRS)?;
    let mut pairs = pairs.query([])?;
    let mut open = None;
    while let Some(pair) = pairs.next()? {
        let of = (pair.get(1)?, pair.get(2)?);
        if let Some(ended) = add(&mut open, of, pair.get(0)?) {
            write(ended)?;
        }
    }
    open.map(write).transpose()?;
    Ok(())
}

fn recent_deletions(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    const PAIRS: &str = "
        SELECT user_key, directory_key, group_key, deleted_at, tenant_id
        FROM recent_membership_deletion
        ORDER BY directory_key, group_key, deleted_at, user_key";
    const WRITE: &str = "
        INSERT INTO recent_list_deletion (directory_key, group_key, deleted_at, tenant_id, users)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    type Of = (i64, i64, i64, i64);
    let mut write = transaction.prepare(WRITE)?;
    let mut write = |((directory, group, deleted_at, tenant), users): (Of, RoaringTreemap)| {
        write.execute((directory, group, deleted_at, tenant, key_set::to_bytes(&users)))
    };
    let mut pairs = transaction.prepare(PAIRS)?;
    let mut pairs = pairs.query([])?;
    let mut open = None;
    while let Some(pair) = pairs.next()? {
        let of = (pair.get(1)?, pair.get(2)?, pair.get(3)?, pair.get(4)?);
        if let Some(ended) = add(&mut open, of, pair.get(0)?) {
            write(ended)?;
        }
    }
    open.map(write).transpose()?;
    Ok(())
}

/// Adds a user to the set that is open, or begins another one. Returns the one that ended by that.
fn add<Of: PartialEq>(
    open: &mut Option<(Of, RoaringTreemap)>,
    of: Of,
    user: i64,
) -> Option<(Of, RoaringTreemap)> {
    match open {
        Some((last, users)) if *last == of => {
            users.insert(key_set::member(user));
            None
        }
        _ => open.replace((of, RoaringTreemap::from_iter([key_set::member(user)]))),
    }
}

/// Changes that follow each other and are alike come together. Each keeps its number: a set has its keys in their order.
fn membership_changes(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    const CHANGES: &str = "
        SELECT user_key, seq, tenant_id, run_key, directory_key, operation, group_key, reason
        FROM change
        WHERE kind = 3
        ORDER BY tenant_id, seq";
    const WRITE: &str = "
        INSERT INTO change_block (
            tenant_id, last_seq, changes, run_key, directory_key, kind, operation, group_key, reason, body
        )
        VALUES (?1, ?2, ?3, ?4, ?5, 3, ?6, ?7, ?8, ?9)";
    type Of = (i64, i64, i64, i64, i64, Option<String>);
    let mut write = transaction.prepare(WRITE)?;
    let mut write =
        |(tenant, run, directory, operation, group, reason): Of, last: i64, users: &RoaringTreemap| {
            write.execute((
                tenant,
                last,
                signed(users.len()),
                run,
                directory,
                operation,
                group,
                reason,
                key_set::to_bytes(users),
            ))
        };
    let mut changes = transaction.prepare(CHANGES)?;
    let mut changes = changes.query([])?;
    let mut open: Option<(Of, i64, RoaringTreemap)> = None;
    while let Some(change) = changes.next()? {
        let user = key_set::member(change.get(0)?);
        let seq: i64 = change.get(1)?;
        let of: Of = (
            change.get(2)?,
            change.get(3)?,
            change.get(4)?,
            change.get(5)?,
            change.get(6)?,
            change.get(7)?,
        );
        if let Some((before, last, users)) = &mut open
            && *before == of
            && seq == *last + 1
            && users.len() < MEMBERSHIPS as u64
            && users.try_push(user).is_ok()
        {
            *last = seq;
        } else if let Some((of, last, users)) = open.replace((of, seq, RoaringTreemap::from_iter([user]))) {
            write(of, last, &users)?;
        }
    }
    if let Some((of, last, users)) = open {
        write(of, last, &users)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use idsync_model::{FeedCursor, TenantName};
    use rusqlite::Connection;
    use rusqlite_migration::Migrations;

    use super::super::{connection, feed};
    use super::*;
    use crate::ChangeBody;

    /// Two users in one group and one of them in another; then the first leaves both, and comes back to one.
    const OLDER: &str = r#"
        INSERT INTO tenant (tenant_id, name, feed_id, last_seq, created_at)
        VALUES (1, 'default', '00000000000000000000000000000001', 13, 1);
        INSERT INTO directory (directory_key, tenant_id, id, provider, name, state, settings, generation, created_at)
        VALUES (1, 1, 'dir_01890a5dac96774bbcceb302099a8057', 'okta', 'one', 'active', '{}', 7, 1);
        INSERT INTO run (run_key, tenant_id, directory_key, id, cause, mode, dry_run, started_at, plugin_version, full_mark)
        VALUES (1, 1, 1, 'run_01890a5dac96774bbcceb302099a8057', 'schedule', 'full', 0, 10, '1.0.0', 1),
               (2, 1, 1, 'run_01890a5dac96774bbcceb302099a8058', 'schedule', 'full', 0, 20, '1.0.0', 1);
        INSERT INTO user_identity VALUES (1, 1, 1, 'ann'), (2, 1, 1, 'bob');
        INSERT INTO group_identity VALUES (3, 1, 1, 'g'), (4, 1, 1, 'h');
        INSERT INTO membership VALUES (3, 2, 1), (3, 9000000000, 1), (4, 1, 1);
        INSERT INTO membership_by_user VALUES (2, 3, 1), (9000000000, 3, 1), (1, 4, 1);
        INSERT INTO recent_membership_deletion VALUES (3, 1, 1, 1, 55), (4, 1, 1, 1, 55), (4, 2, 1, 1, 56);
        INSERT INTO change VALUES
            (1, 1, 1, 1, 1, 1, 1, NULL, NULL, NULL,
                '{"external_id":"ann","email":"a@x","username":"a","display_name":null,"given_name":null,"family_name":null,"status":"ACTIVE"}'),
            (1, 2, 1, 1, 1, 1, 2, NULL, NULL, NULL,
                '{"external_id":"bob","email":"b@x","username":"b","display_name":null,"given_name":null,"family_name":null,"status":"ACTIVE"}'),
            (1, 3, 1, 1, 2, 1, NULL, 3, NULL, NULL, '{"external_id":"g","name":"G","description":null}'),
            (1, 4, 1, 1, 2, 1, NULL, 4, NULL, NULL, '{"external_id":"h","name":"H","description":null}'),
            (1, 5, 1, 1, 3, 1, 1, 3, NULL, NULL, NULL),
            (1, 6, 1, 1, 3, 1, 2, 3, NULL, NULL, NULL),
            (1, 7, 1, 1, 3, 1, 1, 4, NULL, NULL, NULL),
            (1, 8, 1, 1, 4, NULL, NULL, NULL, NULL, NULL, '{"users":{"created":2,"updated":0,"deleted":0,"unchanged":0,"skipped":0}}'),
            (1, 9, 2, 1, 3, 3, 1, 3, 'absent', NULL, NULL),
            (1, 10, 2, 1, 3, 3, 2, 3, 'inactive', NULL, NULL),
            (1, 11, 2, 1, 1, 3, 2, NULL, 'inactive',
                '{"external_id":"bob","email":"b@x","username":"b","display_name":null,"given_name":null,"family_name":null,"status":"ACTIVE"}',
                NULL),
            (1, 12, 2, 1, 4, NULL, NULL, NULL, NULL, NULL, '{"users":{"created":0,"updated":0,"deleted":1,"unchanged":0,"skipped":0}}'),
            (1, 13, 2, 1, 4, NULL, NULL, NULL, NULL, NULL, '{}');
    "#;

    fn brought_over() -> Connection {
        let mut store = Connection::open_in_memory().unwrap();
        let mut older = connection::steps();
        older.truncate(3);
        Migrations::new(older).to_latest(&mut store).unwrap();
        store.execute_batch(OLDER).unwrap();
        Migrations::new(connection::steps())
            .to_latest(&mut store)
            .unwrap();
        store
    }

    fn sets(store: &Connection, statement: &str) -> Vec<(i64, Vec<u64>)> {
        let mut statement = store.prepare(statement).unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut sets = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let users = key_set::from_column(row, 1).unwrap();
            sets.push((row.get(0).unwrap(), users.iter().collect()));
        }
        sets
    }

    #[test]
    fn lists_and_what_went_lately_are_the_same_pairs() {
        let store = brought_over();
        let lists = sets(
            &store,
            "SELECT group_key, users FROM member_list ORDER BY group_key",
        );
        assert_eq!(lists, [(3, vec![2, 9_000_000_000]), (4, vec![1])]);
        let recent = sets(
            &store,
            "SELECT group_key * 100 + deleted_at, users FROM recent_list_deletion ORDER BY 1",
        );
        assert_eq!(recent, [(355, vec![1]), (455, vec![1]), (456, vec![2])]);
    }

    #[test]
    fn readers_are_told_the_same_with_the_same_numbers() {
        let mut store = brought_over();
        let start = FeedCursor { feed: None, seq: 0 };
        let page = feed::changes(&mut store, &TenantName::default_tenant(), &start, None, 100).unwrap();
        assert!(page.rows.iter().map(|change| change.seq).eq(1..=13));
        let told: Vec<_> = page
            .rows
            .iter()
            .map(|change| match &change.body {
                ChangeBody::User {
                    operation,
                    external_id,
                    row,
                    before,
                    reason,
                } => {
                    let email = |row: &Option<crate::UserRow>| row.as_ref().map(|row| row.email.clone());
                    format!(
                        "{operation:?} {external_id} {:?} {:?} {reason:?}",
                        email(before),
                        email(row)
                    )
                }
                ChangeBody::Group { external_id, row, .. } => {
                    format!("{external_id} {:?}", row.as_ref().map(|row| &row.name))
                }
                ChangeBody::Membership {
                    operation,
                    group,
                    user,
                    reason,
                } => format!("{operation:?} {group} {user} {reason:?}"),
                ChangeBody::Applied { counts } => {
                    format!("{} {}", counts.users.created, counts.users.deleted)
                }
            })
            .collect();
        assert_eq!(
            told,
            [
                r#"Create ann None Some("a@x") None"#,
                r#"Create bob None Some("b@x") None"#,
                r#"g Some("G")"#,
                r#"h Some("H")"#,
                "Create g ann None",
                "Create g bob None",
                "Create h ann None",
                "2 0",
                "Delete g ann Some(Absent)",
                "Delete g bob Some(Inactive)",
                r#"Delete bob Some("b@x") None Some(Inactive)"#,
                "0 1",
                "0 0",
            ]
        );
    }

    #[test]
    fn plans_and_stagings_of_before_are_stale() {
        let generation: i64 = brought_over()
            .query_row("SELECT generation FROM directory", [], |row| row.get(0))
            .unwrap();
        // The fifth and the sixth version do the same.
        assert_eq!(generation, 10);
    }
}
