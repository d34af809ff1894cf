//! Connections to the store that are kept for their next use: a new one would read all of the schema again, and compile
//! each statement. Which of that a connection still has is up to how it is made ready.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use super::lock;
use crate::StoreError;

/// How many are kept while nobody uses them.
const IDLE: usize = 8;

/// Makes a connection ready for its next use. Not where it is better closed.
type Tidy = fn(&Connection) -> Result<bool, StoreError>;

/// Connections of one kind.
pub(super) struct Pool {
    store: PathBuf,
    open: fn(&Path) -> Result<Connection, StoreError>,
    tidy: Tidy,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    /// None yet. `open` makes one for the store's file, and `tidy` goes over one that comes back.
    pub(super) fn new(
        store: PathBuf,
        open: fn(&Path) -> Result<Connection, StoreError>,
        tidy: Tidy,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            open,
            tidy,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// One that nobody else uses.
    pub(super) fn take(self: &Arc<Self>) -> Result<Lent, StoreError> {
        let idle = lock(&self.idle).pop();
        Ok(Lent {
            connection: Some(match idle {
                Some(connection) => connection,
                None => (self.open)(&self.store)?,
            }),
            is_kept: true,
            pool: Arc::clone(self),
        })
    }
}

/// A connection of a pool, which goes back when this is dropped. One that was left in a transaction does not.
pub(super) struct Lent {
    /// There until the drop.
    connection: Option<Connection>,
    is_kept: bool,
    pool: Arc<Pool>,
}

impl Lent {
    /// It is set up for this use, and closed after it.
    pub(super) fn close_after_use(&mut self) {
        self.is_kept = false;
    }
}

impl Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is there until the drop")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is there until the drop")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if !self.is_kept || !connection.is_autocommit() {
            return;
        }
        match (self.pool.tidy)(&connection) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::debug!(%error, "a connection to the store could not be kept");
                return;
            }
        }
        let mut idle = lock(&self.pool.idle);
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::connection::connect;

    const MARK: &str = "CREATE TEMP TABLE mark (n INTEGER)";

    fn pool(folder: &Path) -> Arc<Pool> {
        let path = folder.join("any.db");
        Connection::open(&path).unwrap();
        Pool::new(
            path,
            |path| Ok(connect(path)?),
            |connection| Ok(connection.execute_batch("SELECT 1").is_ok()),
        )
    }

    /// Whether a connection is the one that was marked.
    fn is_marked(connection: &Connection) -> bool {
        connection.prepare("SELECT n FROM temp.mark").is_ok()
    }

    #[test]
    fn a_connection_is_lent_again() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(folder.path());
        let lent = pool.take().unwrap();
        lent.execute_batch(MARK).unwrap();
        let other = pool.take().unwrap();
        assert!(!is_marked(&other), "nobody else has it meanwhile");
        drop(lent);
        assert!(is_marked(&pool.take().unwrap()));
    }

    #[test]
    fn one_that_was_left_in_a_transaction_or_set_up_for_one_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(folder.path());
        let lent = pool.take().unwrap();
        lent.execute_batch(MARK).unwrap();
        lent.execute_batch("BEGIN").unwrap();
        drop(lent);
        assert!(!is_marked(&pool.take().unwrap()));

        let mut lent = pool.take().unwrap();
        lent.execute_batch(MARK).unwrap();
        lent.close_after_use();
        drop(lent);
        assert!(!is_marked(&pool.take().unwrap()));
    }

    #[test]
    fn only_a_few_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(folder.path());
        let many: Vec<_> = (0..2 * IDLE).map(|_| pool.take().unwrap()).collect();
        drop(many);
        assert_eq!(lock(&pool.idle).len(), IDLE);
    }
}
