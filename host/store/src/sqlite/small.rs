//! The rows of small runs, which never become a file: most runs have read all before they would take a checkpoint, and
//! what a file costs is then more than what is put there. A run that goes on for longer, or is larger, spills its rows
//! to a file.

use std::path::Path;
use std::time::Duration;

use idsync_model::StoredCounts;
use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::connection::{PAGE_BYTES, attach, open_for_apply};
use super::{planner, run_file};
use crate::StoreError;

/// Beside so much that is stored, a plan is no small one whatever was read: all of it may have to go.
const STORED: u64 = 100_000;

/// How much memory a connection keeps for the next run's rows, in pages.
const KEPT_PAGES: i64 = (4 << 20) / PAGE_BYTES;

/// Empties the tables of a staging.
pub(super) const CLEAR: [&str; 8] = [
    "DROP INDEX IF EXISTS beside.staged_person_by_id",
    "DELETE FROM staged_head",
    "DELETE FROM staged_person",
    "DELETE FROM staged_user",
    "DELETE FROM staged_group",
    "DELETE FROM staged_list_part",
    "DELETE FROM staged_skip",
    "DELETE FROM staged_checkpoint",
];

const PAGES: &str = "PRAGMA beside.page_count";
const FREE_PAGES: &str = "PRAGMA beside.freelist_count";

/// A connection to the store with the empty tables of a run beside it, in memory.
pub(super) fn open(store: &Path) -> Result<Connection, StoreError> {
    let mut connection = open_for_apply(store)?;
    attach(&connection, Path::new(":memory:"), 0)?;
    // What is cleared lies in no file that the next run spills.
    connection.pragma_update(Some("beside"), "secure_delete", "on")?;
    Backup::new_with_names(&run_file::open_empty()?, "main", &mut connection, "beside")?.run_to_completion(
        i32::MAX,
        Duration::ZERO,
        None,
    )?;
    Ok(connection)
}

/// Empties the tables for the next run. Not where they have taken so much that it is better given back.
pub(super) fn clear(rows: &Connection) -> Result<bool, StoreError> {
    let taken: i64 = rows.prepare_cached(PAGES)?.query_row([], |row| row.get(0))?;
    if taken > KEPT_PAGES {
        return Ok(false);
    }
    let transaction = rows.unchecked_transaction()?;
    for statement in CLEAR.into_iter().chain(planner::CLEAR) {
        transaction.prepare_cached(statement)?.execute([])?;
    }
    transaction.commit()?;
    rows.release_memory()?;
    Ok(true)
}

/// How many pages the rows take. Those that a run before has taken and given back do not count.
pub(super) fn pages(rows: &Connection) -> Result<i64, StoreError> {
    let taken: i64 = rows.prepare_cached(PAGES)?.query_row([], |row| row.get(0))?;
    let free: i64 = rows.prepare_cached(FREE_PAGES)?.query_row([], |row| row.get(0))?;
    Ok(taken - free)
}

/// Whether a plan beside so much stays small.
pub(super) fn is_beside(stored: &StoredCounts) -> bool {
    stored.users + stored.groups + stored.memberships <= STORED
}

/// Writes the rows to the file of their run. They must not be in a transaction.
pub(super) fn spill(rows: &Connection, path: &Path) -> Result<(), StoreError> {
    run_file::write(path, &rows.serialize("beside")?)
}
