//! Connections to the store that are kept for their next use: a new one would read all of the schema again, and compile
//! each statement.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use super::connection::{attach_run_file, detach_run_file};
use super::lock;
use crate::StoreError;

/// How many are kept while nobody uses them.
const IDLE: usize = 8;

/// Connections of one kind.
pub(super) struct Pool {
    store: PathBuf,
    open: fn(&Path) -> Result<Connection, StoreError>,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    /// None yet; `open` makes one for the store's file.
    pub(super) fn new(store: PathBuf, open: fn(&Path) -> Result<Connection, StoreError>) -> Arc<Self> {
        Arc::new(Self {
            store,
            open,
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
            has_run_file: false,
            is_kept: true,
            pool: Arc::clone(self),
        })
    }
}

/// A connection of a pool, which goes back when this is dropped. One that was left in a transaction does not.
pub(super) struct Lent {
    /// There until the drop.
    connection: Option<Connection>,
    has_run_file: bool,
    /// Whether it goes back: not where it was set up for one use.
    pub(super) is_kept: bool,
    pool: Arc<Pool>,
}

impl Lent {
    /// Makes the tables of a run's file visible beside those of the store.
    pub(super) fn attach(&mut self, run_file: &Path) -> Result<(), StoreError> {
        self.has_run_file = true;
        attach_run_file(self, run_file)
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
        let mut is_clean = self.is_kept && connection.is_autocommit();
        if is_clean && self.has_run_file {
            // Others write before its next use, and most of what it read is of no use then.
            is_clean = detach_run_file(&connection).is_ok() && connection.release_memory().is_ok();
        }
        let mut idle = lock(&self.pool.idle);
        if is_clean && idle.len() < IDLE {
            idle.push(connection);
        }
    }
}
