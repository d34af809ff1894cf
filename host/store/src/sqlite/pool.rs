//! Connections to the store that are kept for their next use: a new one would read all of the schema again, and compile
//! each statement.

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
    /// Whether it goes back: not where it was set up for one use.
    pub(super) is_kept: bool,
    pool: Arc<Pool>,
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
        if !self.is_kept || !connection.is_autocommit() || !(self.pool.tidy)(&connection).unwrap_or(false) {
            return;
        }
        let mut idle = lock(&self.pool.idle);
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }
}
