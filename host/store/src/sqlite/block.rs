//! The changes of one run, as the feed keeps them.

use rusqlite::{Transaction, named_params};

use super::feed_mark;
use super::feed_rows::{FeedRow, Teller};
use super::scope::RunScope;
use super::word::json;
use crate::{AppliedCounts, StoreError};

/// The changes of one run, which readers see together.
pub(super) struct Block<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) scope: &'a RunScope,
    /// The number of the last change that was written.
    pub(super) seq: i64,
}

impl Block<'_> {
    /// Writes what is told, while it is told. Returns how many changes that were.
    pub(super) fn tell(
        &mut self,
        tell: impl FnOnce(&mut Teller<'_>) -> Result<(), StoreError>,
    ) -> Result<i64, StoreError> {
        let before = self.seq;
        tell(&mut Teller {
            connection: self.transaction,
            directory_key: self.scope.directory_key,
            hand_over: &mut |row| self.write(&row),
        })?;
        Ok(self.seq - before)
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
            body: json(counts).into_bytes(),
        })?;
        self.transaction
            .prepare_cached(COUNT)?
            .execute(named_params! { ":tenant_id": self.scope.tenant_id, ":seq": self.seq })?;
        feed_mark::announce(self.transaction)?;
        Ok(self.seq)
    }

    /// Writes a row under the next numbers.
    pub(super) fn write(&mut self, row: &FeedRow) -> Result<(), StoreError> {
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
            &row.reason,
            &row.body,
        ))?;
        Ok(())
    }
}
