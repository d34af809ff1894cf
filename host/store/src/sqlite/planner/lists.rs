//! Plans memberships: each member list as it was read beside the stored one.

use roaring::RoaringTreemap;
use rusqlite::{CachedStatement, Connection, named_params};

use super::super::key_set;
use super::super::word::signed;
use super::super::writer::staged_list;
use super::people::People;
use crate::StoreError;

/// The groups that readers see or will see: those that were put, then those that were not put and go.
const GROUPS: &str = "
    SELECT p.group_key, p.group_no, p.was_live, p.is_live, p.is_live AND s.list_state = 2
    FROM plan_staged_group AS p
    JOIN staged_group AS s ON s.group_no = p.group_no
    WHERE p.was_live OR p.is_live
    UNION ALL
    SELECT group_key, NULL, 1, 0, 0
    FROM plan_group
    WHERE operation = 3 AND group_no IS NULL
    ORDER BY 1";

/// What becomes of one group.
struct Fate {
    group_key: i64,
    was_live: bool,
    is_live: bool,
    /// The group's number in the staging, when its list was read to its end.
    read: Option<i64>,
}

/// Writes which lists change, and what readers see of that.
pub(super) fn plan(run_file: &Connection, people: &People) -> Result<(), StoreError> {
    let mut groups = run_file.prepare_cached(GROUPS)?;
    let mut groups = groups.query([])?;
    let mut lists = Lists::new(run_file, people)?;
    while let Some(row) = groups.next()? {
        let is_read: bool = row.get(4)?;
        let number: Option<i64> = row.get(1)?;
        lists.plan(&Fate {
            group_key: row.get(0)?,
            was_live: row.get(2)?,
            is_live: row.get(3)?,
            read: number.filter(|_| is_read),
        })?;
    }
    Ok(())
}

struct Lists<'a> {
    run_file: &'a Connection,
    people: &'a People,
    /// Who goes and who comes: where neither is in a list that was not read, it needs no look.
    gone: RoaringTreemap,
    changed: RoaringTreemap,
    stored: CachedStatement<'a>,
    write: CachedStatement<'a>,
}

impl<'a> Lists<'a> {
    fn new(run_file: &'a Connection, people: &'a People) -> Result<Self, StoreError> {
        const STORED: &str = "
            SELECT users
            FROM member_list
            WHERE group_key = ?1";
        const WRITE: &str = "
            INSERT INTO plan_member_list (
                group_key, users, created, deleted, created_count, deleted_count, with_user
            )
            VALUES (:group_key, :users, :created, :deleted, :created_count, :deleted_count, :with_user)";
        Ok(Self {
            run_file,
            people,
            gone: &people.was_live - &people.is_live,
            changed: &people.was_live ^ &people.is_live,
            stored: run_file.prepare_cached(STORED)?,
            write: run_file.prepare_cached(WRITE)?,
        })
    }

    fn plan(&mut self, group: &Fate) -> Result<(), StoreError> {
        let stays_unread = group.was_live && group.is_live && group.read.is_none();
        if stays_unread && self.changed.is_empty() {
            return Ok(());
        }
        let before = self.stored(group.group_key)?;
        let after = match group.read {
            Some(number) => Some(self.people.keys(&staged_list(self.run_file, number)?)?),
            None if !group.is_live => Some(RoaringTreemap::new()),
            None => None,
        };
        let after = after.filter(|after| *after != before);
        let seen = |is_live: bool, list: &RoaringTreemap, live: &RoaringTreemap| {
            if is_live {
                list & live
            } else {
                RoaringTreemap::new()
            }
        };
        let seen_before = seen(group.was_live, &before, &self.people.was_live);
        let seen_after = seen(
            group.is_live,
            after.as_ref().unwrap_or(&before),
            &self.people.is_live,
        );
        let created = &seen_after - &seen_before;
        let deleted = &seen_before - &seen_after;
        if after.is_none() && created.is_empty() && deleted.is_empty() {
            return Ok(());
        }
        let with_user = if group.is_live {
            deleted.intersection_len(&self.gone)
        } else {
            0
        };
        self.write.execute(named_params! {
            ":group_key": group.group_key,
            ":users": after.as_ref().map(key_set::to_bytes),
            ":created": key_set::to_bytes(&created),
            ":deleted": key_set::to_bytes(&deleted),
            ":created_count": signed(created.len()),
            ":deleted_count": signed(deleted.len()),
            ":with_user": signed(with_user),
        })?;
        Ok(())
    }

    fn stored(&mut self, group_key: i64) -> Result<RoaringTreemap, StoreError> {
        let mut rows = self.stored.query([group_key])?;
        match rows.next()? {
            Some(row) => key_set::from_column(row, 0),
            None => Ok(RoaringTreemap::new()),
        }
    }
}
