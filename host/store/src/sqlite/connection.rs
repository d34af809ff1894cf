//! Connections to the store: how each is set up, and how the file comes to its present version.

use std::path::Path;
use std::time::Duration;

use idsync_model::{Clock, TenantName};
use rusqlite::{Connection, ErrorCode, OpenFlags, backup::Backup, named_params};
use rusqlite_migration::{M, Migrations};

use super::files::{DataDir, make_private};
use super::{feed_mark, to_version_4};
use crate::StoreError;

/// Marks the file as a store of idsync: the letters `idsy`.
const APPLICATION_ID: i64 = 0x6964_7379;

/// The steps that lead to the present version, which is their number.
pub(super) fn steps() -> Vec<M<'static>> {
    vec![
        M::up(include_str!("migrations/0001_identity_store.sql")),
        M::up(include_str!("migrations/0002_runs_over_time.sql")),
        M::up(include_str!("migrations/0003_many_directories.sql")),
        M::up_with_hook(
            include_str!("migrations/0004_member_lists.sql"),
            to_version_4::bring_over,
        ),
        M::up(include_str!("migrations/0005_rows_in_order.sql")),
        M::up(include_str!("migrations/0006_files_with_a_version.sql")),
    ]
}

/// How long a statement waits for a writer of another process: longer than a large apply takes.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_mins(2);

/// How long emptying the journal waits for who reads: others wait for it meanwhile.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The size of a page in files that are made. Of larger pages fewer are read and written, each with a cost of its own; of
/// smaller ones less is written for a change of one row. A store of before keeps its own.
pub(super) const PAGE_BYTES: i64 = 8_192;

/// As many compiled statements are kept with a connection: a run has some eighty.
const STATEMENTS_KEPT: usize = 128;

/// What the journal keeps of the disk once a large apply is over.
const JOURNAL_KEPT_BYTES: i64 = 64 * 1024 * 1024;

/// Opens the store, makes it where there is none, and brings an older one up to this version.
pub(super) fn open_writer(files: &DataDir, clock: &dyn Clock) -> Result<Connection, StoreError> {
    let mut connection = open_steps(files, clock, steps())?;
    feed_mark::go_on_or_begin_anew(&mut connection, &files.database())?;
    Ok(connection)
}

fn open_steps(files: &DataDir, clock: &dyn Clock, steps: Vec<M<'static>>) -> Result<Connection, StoreError> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let path = files.database();
    make_private(&path)?;
    let mut connection = connect(&path).map_err(|error| told_by_path(error, &path))?;
    let found = version(&connection, &path, known)?;
    // What is erased is overwritten: keys and secrets are written by this connection, rows by those of applies.
    connection.pragma_update(None, "secure_delete", "on")?;
    if found < known {
        let lock = make_private(&files.upgrade_lock())?;
        lock.lock().map_err(|source| StoreError::File {
            action: "locking",
            path: files.upgrade_lock(),
            source,
        })?;
        let found = version(&connection, &path, known)?;
        if found < known {
            upgrade(&mut connection, files, found, steps)?;
        }
    }
    add_first_tenant(&connection, clock)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_KEPT_BYTES)?;
    Ok(connection)
}

/// Overwrites what the journal still holds of rows that were erased. Whoever reads through the journal is waited for
/// only shortly; what stays then goes when the last connection to the store is closed.
pub(super) fn empty_journal(store: &Connection) {
    let emptied = store
        .busy_timeout(JOURNAL_TIMEOUT)
        .and_then(|()| store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)));
    match emptied {
        Ok(false) => {}
        Ok(true) => {
            tracing::warn!(
                "the journal of the store is in use, and keeps what was erased until all commands end"
            );
        }
        Err(error) => tracing::warn!(%error, "the journal of the store could not be emptied"),
    }
    if let Err(error) = store.busy_timeout(BUSY_TIMEOUT) {
        tracing::warn!(%error, "the store's wait for other writers could not be set");
    }
}

/// Copies what lies in the journal to where it belongs, as far as nobody reads what is there. What stays is copied after
/// a later commit.
pub(super) fn copy_journal(path: &Path) {
    let copied =
        connect(path).and_then(|store| store.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
    if let Err(error) = copied {
        tracing::warn!(%error, "the journal of the store could not be copied; a later commit does it");
    }
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A connection for plans and applies: a commit is on the disk when it returns.
pub(super) fn open_for_apply(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_KEPT_BYTES)?;
    connection.pragma_update(None, "secure_delete", "fast")?;
    connection.pragma_update(None, "cache_size", -24_576)?;
    Ok(connection)
}

/// A connection to the file of a run. It is rebuilt from nothing rather than repaired, so nothing waits for the disk.
pub(super) fn open_run_file(path: &Path) -> Result<Connection, StoreError> {
    open_run_file_within(path, BUSY_TIMEOUT)
}

/// The same, for a file that another one may still have: each statement waits for it no longer than `timeout`, and so do
/// those that set the connection up.
pub(super) fn open_run_file_within(path: &Path, timeout: Duration) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection.busy_timeout(timeout)?;
    connection.pragma_update(None, "synchronous", "off")?;
    connection.pragma_update(None, "cache_size", -12_288)?;
    Ok(connection)
}

/// Makes the tables of a run's file visible beside those of the store. A table of the file that is called like one of the
/// store's, which only a forged file has, is not seen: the store's own come first.
pub(super) fn attach_run_file(store: &Connection, path: &Path) -> Result<(), StoreError> {
    attach(store, path, 12_288)?;
    // As it is for a connection of the file's own.
    store.pragma_update(Some("beside"), "synchronous", "off")?;
    Ok(())
}

/// Lets the run's file go, and what was read of the store: others write before its next use. SQLite compiles all
/// statements of the connection anew after this.
pub(super) fn detach_run_file(store: &Connection) -> Result<bool, StoreError> {
    store.execute_batch("DETACH DATABASE beside")?;
    store.release_memory()?;
    Ok(true)
}

/// Makes the tables of another file visible beside those of a connection's own. Names of tables differ between the two
/// kinds of file, so none needs a prefix.
pub(super) fn attach(connection: &Connection, path: &Path, cache_kib: i64) -> Result<(), StoreError> {
    connection.execute(
        "ATTACH DATABASE :path AS beside",
        named_params! { ":path": path.to_string_lossy() },
    )?;
    connection.pragma_update(Some("beside"), "cache_size", -cache_kib)?;
    Ok(())
}

pub(super) fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

/// The version of the file, where this program can use it.
fn version(connection: &Connection, path: &Path, known: i64) -> Result<i64, StoreError> {
    const WHAT_IT_IS: &str = "
        SELECT
            (SELECT application_id FROM pragma_application_id),
            (SELECT user_version FROM pragma_user_version),
            (SELECT count(*) FROM sqlite_schema)";
    let (application, found, objects): (i64, i64, i64) = connection
        .query_row(WHAT_IT_IS, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .map_err(|error| told_by_path(error, path))?;
    if application != APPLICATION_ID && (application != 0 || found != 0 || objects != 0) {
        return Err(StoreError::NotAStore {
            path: path.to_owned(),
        });
    }
    if found > known {
        return Err(StoreError::NewerVersion {
            path: path.to_owned(),
            found,
            known,
        });
    }
    Ok(found)
}

/// A copy first, then all steps in one transaction.
fn upgrade(
    connection: &mut Connection,
    files: &DataDir,
    found: i64,
    steps: Vec<M<'static>>,
) -> Result<(), StoreError> {
    if found > 0 {
        let path = files.copy_of_version(found);
        make_private(&path)?;
        let mut copy = connect(&path)?;
        Backup::new(connection, &mut copy)?.run_to_completion(1024, Duration::ZERO, None)?;
    } else {
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    Migrations::new(steps)
        .to_latest(connection)
        .map_err(|error| match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
            other => StoreError::Unreadable {
                what: "a version",
                source: Box::new(other),
            },
        })
}

/// The tenant `default` exists from the start; one that was removed later does not come back. It is looked for at each
/// opening, since a process may have died between making the tables and this.
fn add_first_tenant(connection: &Connection, clock: &dyn Clock) -> Result<(), StoreError> {
    const HAD_TENANTS: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'tenant')";
    const ADD: &str = "
        INSERT INTO tenant (name, created_at)
        SELECT :name, :now
        WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'tenant')";
    // Looked up before it is written, so that most openings need not wait for who writes.
    if connection.query_row(HAD_TENANTS, [], |row| row.get(0))? {
        return Ok(());
    }
    connection.execute(
        ADD,
        named_params! { ":name": TenantName::default_tenant().as_str(), ":now": clock.now().0 },
    )?;
    Ok(())
}

fn told_by_path(error: rusqlite::Error, path: &Path) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotAStore {
            path: path.to_owned(),
        },
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::NotWritable {
                path: path.to_owned(),
                source: std::io::Error::other(error),
            }
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use idsync_model::SystemClock;

    use super::*;

    /// The steps up to a version.
    fn up_to(version: usize) -> Vec<M<'static>> {
        let mut steps = steps();
        steps.truncate(version);
        steps
    }

    /// The first version and one step after it.
    fn first_and(step: &'static str) -> Vec<M<'static>> {
        let mut steps = up_to(1);
        steps.push(M::up(step));
        steps
    }

    fn tenants(connection: &Connection) -> i64 {
        connection
            .query_row("SELECT count(*) FROM tenant", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn an_older_store_is_copied_and_then_brought_up() {
        let folder = tempfile::tempdir().unwrap();
        let files = DataDir::open(folder.path()).unwrap();
        let clock = SystemClock::new();
        drop(open_steps(&files, &clock, up_to(1)).unwrap());

        let upgraded = open_steps(&files, &clock, first_and("CREATE TABLE later (word TEXT)")).unwrap();

        assert_eq!(version(&upgraded, &files.database(), 2).unwrap(), 2);
        assert_eq!(tenants(&upgraded), 1, "`default` is not added again");
        let copy = connect(&files.copy_of_version(1)).unwrap();
        assert_eq!(version(&copy, &files.database(), 2).unwrap(), 1);
        assert_eq!(tenants(&copy), 1);
    }

    #[test]
    fn the_third_version_finds_the_last_successes_in_the_records_and_knows_no_hosts() {
        const DATA: &str = "
            INSERT INTO directory (directory_key, tenant_id, id, provider, name, state, settings, verified_settings,
                created_at)
            VALUES
                (1, 1, 'one', 'okta', 'one', 'active', '{}', '{}', 1),
                (2, 1, 'two', 'okta', 'two', 'active', '{}', '{}', 1),
                (3, 1, 'new', 'okta', 'new', 'draft', '{}', NULL, 1);
            INSERT INTO run (tenant_id, directory_key, id, cause, mode, dry_run, started_at, ended_at, outcome,
                plugin_version, full_mark)
            VALUES
                (1, 1, 'approved', 'schedule', 'full', 0, 10, 50, 'succeeded', '1.0.0', 1),
                (1, 1, 'earlier', 'schedule', 'full', 0, 20, 30, 'succeeded', '1.0.0', 1),
                (1, 1, 'dry', 'manual', 'full', 1, 60, 70, 'succeeded', '1.0.0', 1),
                (1, 1, 'failed', 'schedule', 'full', 0, 80, 90, 'failed', '1.0.0', 1),
                (1, 1, 'running', 'schedule', 'full', 0, 95, NULL, NULL, '1.0.0', 1),
                (1, 2, 'only-failed', 'schedule', 'full', 0, 80, 90, 'failed', '1.0.0', 1)";
        let folder = tempfile::tempdir().unwrap();
        let files = DataDir::open(folder.path()).unwrap();
        let clock = SystemClock::new();
        let older = open_steps(&files, &clock, up_to(2)).unwrap();
        older.execute_batch(DATA).unwrap();
        drop(older);

        let store = open_writer(&files, &clock).unwrap();

        let mut statement = store
            .prepare("SELECT id, last_success_at, hosts FROM directory ORDER BY directory_key")
            .unwrap();
        let found: Vec<(String, Option<i64>, Option<String>)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let expected = [("one", Some(50)), ("two", None), ("new", None)];
        assert_eq!(found, expected.map(|(id, at)| (id.to_owned(), at, None)));
    }

    #[test]
    fn a_first_start_that_died_before_it_added_the_first_tenant_is_completed() {
        let folder = tempfile::tempdir().unwrap();
        let files = DataDir::open(folder.path()).unwrap();
        let clock = SystemClock::new();
        let store = open_writer(&files, &clock).unwrap();
        store
            .execute_batch("DELETE FROM tenant; DELETE FROM sqlite_sequence WHERE name = 'tenant'")
            .unwrap();
        drop(store);

        let store = open_writer(&files, &clock).unwrap();
        assert_eq!(tenants(&store), 1);

        store.execute_batch("DELETE FROM tenant").unwrap();
        drop(store);
        let store = open_writer(&files, &clock).unwrap();
        assert_eq!(tenants(&store), 0, "one that was removed does not come back");
    }

    #[test]
    fn a_step_that_fails_leaves_the_older_store() {
        const BROKEN: &str = "CREATE TABLE later (word TEXT); INSERT INTO nowhere VALUES (1)";
        let folder = tempfile::tempdir().unwrap();
        let files = DataDir::open(folder.path()).unwrap();
        let clock = SystemClock::new();
        drop(open_steps(&files, &clock, up_to(1)).unwrap());

        assert!(open_steps(&files, &clock, first_and(BROKEN)).is_err());

        let store = open_writer(&files, &clock).unwrap();
        assert_eq!(tenants(&store), 1);
    }
}
