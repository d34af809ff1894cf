//! The changes of one run, as the feed keeps them: those that follow each other and are alike lie in one row.

use rusqlite::{Row, Transaction, named_params};
use serde::Serialize;

use idsync_model::{Entity, Operation};
use roaring::RoaringTreemap;

use super::scope::RunScope;
use super::word::{json, kind_number, operation_number, signed};
use super::{feed_mark, key_set};
use crate::{AppliedCounts, StoreError};

/// A row of the feed is closed once it has as many bytes: whoever reads some changes of it reads all of it.
const BODY_BYTES: usize = 32 << 10;
/// And a row of memberships holds at most as many.
pub(super) const MEMBERSHIPS: usize = 10_000;

/// The changes of one run, which readers see together.
pub(super) struct Block<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) scope: &'a RunScope,
    /// The number of the last change that was written.
    pub(super) seq: i64,
}

/// A row of the feed, whose changes end at the block's number.
struct FeedRow<'a> {
    changes: i64,
    kind: i64,
    operation: Option<i64>,
    group_key: Option<i64>,
    reason: Option<&'a str>,
    body: &'a [u8],
}

/// A user's columns, in the order of their fields in `UserRow`: without the names, a row takes half the bytes.
pub(super) type UserColumns<T> = (T, T, T, Option<T>, Option<T>, Option<T>, T);

/// A group's columns, in the order of their fields in `GroupRow`.
pub(super) type GroupColumns<T> = (T, T, Option<T>);

/// A change of a user or a group: the row that readers saw, and the one that they see.
pub(super) type Step<R> = (Option<R>, Option<R>);

impl Block<'_> {
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
        let mut find = self.transaction.prepare(statement)?;
        if let Some(directory) = find.parameter_index(":directory_key")? {
            find.raw_bind_parameter(directory, self.scope.directory_key)?;
        }
        let mut found = find.raw_query();
        let mut body = Vec::with_capacity(BODY_BYTES + BODY_BYTES / 4);
        let mut open: (i64, Option<String>) = (0, None);
        let mut changes = 0;
        while let Some(row) = found.next()? {
            let operation: i64 = row.get(0)?;
            let reason = text(row, 1)?;
            let is_alike = operation == open.0 && reason == open.1.as_deref();
            if changes > 0 && (!is_alike || body.len() >= BODY_BYTES) {
                self.write_steps(kind, &open, changes, &mut body)?;
                changes = 0;
            }
            if changes == 0 && !is_alike {
                open = (operation, reason.map(str::to_owned));
            }
            body.push(if changes == 0 { b'[' } else { b',' });
            append(row, &mut body)?;
            changes += 1;
        }
        if changes > 0 {
            self.write_steps(kind, &open, changes, &mut body)?;
        }
        Ok(())
    }

    fn write_steps(
        &mut self,
        kind: Entity,
        of: &(i64, Option<String>),
        changes: i64,
        body: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        body.push(b']');
        self.write(&FeedRow {
            changes,
            kind: kind_number(kind),
            operation: Some(of.0),
            group_key: None,
            reason: of.1.as_deref(),
            body,
        })?;
        body.clear();
        Ok(())
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
            self.write(&FeedRow {
                changes: signed(part.len()),
                kind: kind_number(Entity::Membership),
                operation: Some(operation_number(operation)),
                group_key: Some(group_key),
                reason,
                body: &key_set::to_bytes(&part),
            })?;
        }
        Ok(())
    }

    /// Writes the closing record and keeps the tenant's counter. Returns the record's number.
    pub(super) fn close(&mut self, counts: &AppliedCounts) -> Result<i64, StoreError> {
        const COUNT: &str = "
            UPDATE tenant
            SET last_seq = :seq
            WHERE tenant_id = :tenant_id";
        self.write(&FeedRow {
            changes: 1,
            kind: 4,
            operation: None,
            group_key: None,
            reason: None,
            body: json(counts).as_bytes(),
        })?;
        self.transaction.execute(
            COUNT,
            named_params! { ":tenant_id": self.scope.tenant_id, ":seq": self.seq },
        )?;
        feed_mark::announce(self.transaction)?;
        Ok(self.seq)
    }

    fn write(&mut self, row: &FeedRow<'_>) -> Result<(), StoreError> {
        const WRITE: &str = "
            INSERT INTO change_block (
                tenant_id, last_seq, changes, run_key, directory_key, kind, operation, group_key, reason, body
            )
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        self.seq += row.changes;
        self.transaction.prepare_cached(WRITE)?.execute((
            self.scope.tenant_id,
            self.seq,
            row.changes,
            self.scope.run_key,
            self.scope.directory_key,
            row.kind,
            row.operation,
            row.group_key,
            row.reason,
            row.body,
        ))?;
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
