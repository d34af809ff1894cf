//! Makes the rows of the feed: changes that follow each other and are alike lie in one.

use idsync_model::{Entity, Operation};
use roaring::RoaringTreemap;
use rusqlite::{Connection, Row};
use serde::Serialize;

use super::key_set;
use super::word::{kind_number, operation_number, signed};
use crate::StoreError;

/// A row of the feed is closed once it has as many bytes: whoever reads some changes of it reads all of it.
const BODY_BYTES: usize = 32 << 10;
/// And a row of memberships holds at most as many.
pub(super) const MEMBERSHIPS: usize = 10_000;

/// A row of the feed, before it has its numbers.
pub(super) struct FeedRow {
    pub(super) changes: i64,
    pub(super) kind: i64,
    pub(super) operation: Option<i64>,
    pub(super) group_key: Option<i64>,
    pub(super) reason: Option<String>,
    pub(super) body: Vec<u8>,
}

/// A user's columns, in the order of their fields in `UserRow`: without the names, a row takes half the bytes.
pub(super) type UserColumns<T> = (T, T, T, Option<T>, Option<T>, Option<T>, T);

/// A group's columns, in the order of their fields in `GroupRow`.
pub(super) type GroupColumns<T> = (T, T, Option<T>);

/// A change of a user or a group: the row that readers saw, and the one that they see.
pub(super) type Step<R> = (Option<R>, Option<R>);

/// Makes rows of the feed from what readers see until they are told.
pub(super) struct Teller<'a> {
    pub(super) connection: &'a Connection,
    pub(super) directory_key: i64,
    /// Takes each row when nothing more comes into it, in the order of the changes.
    pub(super) hand_over: &'a mut dyn FnMut(FeedRow) -> Result<(), StoreError>,
}

impl Teller<'_> {
    /// Tells of the users that a statement finds, in its order. Its columns are operation, reason, id, then six of the
    /// row before and six of the row after, whose addresses are null where there is no such row.
    pub(super) fn tell_users(&mut self, statement: &str) -> Result<(), StoreError> {
        self.tell_rows(Entity::User, statement, |row, body| {
            let columns = |first: usize| -> Result<Option<UserColumns<&str>>, StoreError> {
                let Some(email) = text(row, first)? else {
                    return Ok(None);
                };
                Ok(Some((
                    needed(row, 2)?,
                    email,
                    needed(row, first + 1)?,
                    text(row, first + 2)?,
                    text(row, first + 3)?,
                    text(row, first + 4)?,
                    needed(row, first + 5)?,
                )))
            };
            push(body, &(columns(3)?, columns(9)?));
            Ok(())
        })
    }

    /// The same for groups: operation, reason, id, then two columns of the row before and two of the row after, whose
    /// names are null where there is no such row.
    pub(super) fn tell_groups(&mut self, statement: &str) -> Result<(), StoreError> {
        self.tell_rows(Entity::Group, statement, |row, body| {
            let columns = |first: usize| -> Result<Option<GroupColumns<&str>>, StoreError> {
                let Some(name) = text(row, first)? else {
                    return Ok(None);
                };
                Ok(Some((needed(row, 2)?, name, text(row, first + 1)?)))
            };
            push(body, &(columns(3)?, columns(5)?));
            Ok(())
        })
    }

    fn tell_rows(
        &mut self,
        kind: Entity,
        statement: &str,
        append: impl Fn(&Row<'_>, &mut Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut find = self.connection.prepare_cached(statement)?;
        if let Some(directory) = find.parameter_index(":directory_key")? {
            find.raw_bind_parameter(directory, self.directory_key)?;
        }
        let mut found = find.raw_query();
        let mut open: Option<FeedRow> = None;
        while let Some(row) = found.next()? {
            let operation: Option<i64> = row.get(0)?;
            let reason = text(row, 1)?;
            let has_room = |open: &FeedRow| {
                operation == open.operation
                    && reason == open.reason.as_deref()
                    && open.body.len() < BODY_BYTES
            };
            if let Some(full) = open.take_if(|open| !has_room(open)) {
                self.hand_over_steps(full)?;
            }
            let open = open.get_or_insert_with(|| FeedRow {
                changes: 0,
                kind: kind_number(kind),
                operation,
                group_key: None,
                reason: reason.map(str::to_owned),
                body: Vec::with_capacity(BODY_BYTES + BODY_BYTES / 4),
            });
            open.body.push(if open.changes == 0 { b'[' } else { b',' });
            append(row, &mut open.body)?;
            open.changes += 1;
        }
        open.map_or(Ok(()), |last| self.hand_over_steps(last))
    }

    fn hand_over_steps(&mut self, mut row: FeedRow) -> Result<(), StoreError> {
        row.body.push(b']');
        (self.hand_over)(row)
    }

    /// Tells of memberships of one group.
    pub(super) fn tell_memberships(
        &mut self,
        operation: Operation,
        reason: Option<&str>,
        group_key: i64,
        users: &RoaringTreemap,
    ) -> Result<(), StoreError> {
        let users: Vec<u64> = users.iter().collect();
        for part in users.chunks(MEMBERSHIPS) {
            let part: RoaringTreemap = part.iter().copied().collect();
            (self.hand_over)(FeedRow {
                changes: signed(part.len()),
                kind: kind_number(Entity::Membership),
                operation: Some(operation_number(operation)),
                group_key: Some(group_key),
                reason: reason.map(str::to_owned),
                body: key_set::to_bytes(&part),
            })?;
        }
        Ok(())
    }
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r str>, StoreError> {
    Ok(row
        .get_ref(column)?
        .as_str_or_null()
        .map_err(rusqlite::Error::from)?)
}

fn needed<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, StoreError> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

fn push(body: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(body, value).expect("writing text fields to memory does not fail");
}
