//! How the file of a run begins: as a copy of an empty one, which is made once in a process. Making the tables in each by
//! statements takes longer than what a small run puts there.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use rusqlite::Connection;

use super::connection::PAGE_BYTES;
use super::files::{make_private, unfinished};
use super::numbers;
use super::word::damaged;
use crate::StoreError;

/// Of the tables in a run's file: what a program of before left with other ones is not gone on from. It goes up with each
/// change of them, and a migration of the store makes held plans stale then.
const VERSION: i64 = 1;

/// Writes an empty file to `path`, where there is none.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    write(path, empty()?)
}

/// Writes what a file shall have. Nobody meets it before it is whole.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let new = unfinished(path);
    make_private(&new)?
        .write_all(bytes)
        .and_then(|()| fs::rename(&new, path))
        .map_err(|source| {
            // It is in nobody's way, and goes with the files of its run at the latest.
            let _ = fs::remove_file(&new);
            StoreError::File {
                action: "making",
                path: path.to_owned(),
                source,
            }
        })
}

/// Whether its tables are those of this program. Errs where anything else is in it: a forged file may have a view in the
/// place of a table, a trigger that writes what nobody has put, or a table that is called like one of the store's.
pub(super) fn is_of_this_version(file: &Connection) -> Result<bool, StoreError> {
    static SCHEMA: OnceLock<Vec<Item>> = OnceLock::new();
    let version: i64 = file.query_row("PRAGMA main.user_version", [], |row| row.get(0))?;
    if version != VERSION {
        return Ok(false);
    }
    let ours = if let Some(ours) = SCHEMA.get() {
        ours
    } else {
        let whole = open_empty()?;
        whole.execute_batch(numbers::INDEX)?;
        let whole = schema(&whole)?;
        SCHEMA.get_or_init(|| whole)
    };
    if schema(file)?.iter().all(|item| ours.contains(item)) {
        Ok(true)
    } else {
        Err(damaged("a run's file"))
    }
}

/// A table or an index: what it is, its name, the table that it is of, and how it was made.
type Item = (String, String, String, Option<String>);

fn schema(file: &Connection) -> Result<Vec<Item>, StoreError> {
    const SCHEMA: &str = "SELECT type, name, tbl_name, sql FROM main.sqlite_schema";
    let mut items = file.prepare(SCHEMA)?;
    let items = items.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    Ok(items.collect::<Result<_, _>>()?)
}

fn empty() -> Result<&'static [u8], StoreError> {
    static EMPTY: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(made) = EMPTY.get() {
        return Ok(made);
    }
    let made = open_empty()?.serialize("main")?.to_vec();
    Ok(EMPTY.get_or_init(|| made))
}

/// One in memory.
pub(super) fn open_empty() -> Result<Connection, StoreError> {
    let file = Connection::open_in_memory()?;
    file.pragma_update(None, "page_size", PAGE_BYTES)?;
    file.pragma_update(None, "user_version", VERSION)?;
    file.execute_batch(include_str!("sql/staging.sql"))?;
    file.execute_batch(include_str!("sql/plan/tables.sql"))?;
    Ok(file)
}
