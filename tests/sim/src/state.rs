//! What all connections of one org share.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use jsonwebtoken::jwk::Jwk;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::dpop::{Nonces, Seen};
use crate::faults::Faults;
use crate::limits::Limits;
use crate::org::Org;
use crate::seen::Log;
use crate::settings::Settings;
use crate::token::Tokens;

/// One org, with all that it remembers.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) seed: u64,
    /// Host and port.
    pub(crate) domain: String,
    pub(crate) clock: Clock,
    pub(crate) settings: RwLock<Settings>,
    pub(crate) org: RwLock<Org>,
    pub(crate) keys: RwLock<Vec<Jwk>>,
    pub(crate) tokens: Mutex<Tokens>,
    pub(crate) nonces: Mutex<Nonces>,
    pub(crate) seen: Mutex<Seen>,
    pub(crate) limits: Mutex<Limits>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) log: Mutex<Log>,
    /// Says that the log has grown.
    pub(crate) asked: Condvar,
    /// Compressed pages, by what was asked. Emptied by every change.
    pub(crate) pages: Mutex<HashMap<String, (Bytes, Option<String>)>>,
    /// Counts how often stalled answers were let go.
    pub(crate) released: watch::Sender<u64>,
}

impl State {
    /// The URL of the org.
    pub(crate) fn base(&self) -> String {
        format!("https://{}", self.domain)
    }

    /// The settings as they are now.
    pub(crate) fn settings(&self) -> Settings {
        read(&self.settings).clone()
    }

    /// Changes the settings.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut write(&self.settings));
        lock(&self.pages).clear();
    }

    /// Changes the org.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Org) -> T) -> T {
        let changed = change(&mut write(&self.org));
        lock(&self.pages).clear();
        changed
    }

    /// Lets stalled answers go.
    pub(crate) fn release(&self) {
        self.released.send_modify(|count| *count += 1);
    }
}

/// Locks, also after a panic of another holder: the simulator's state is whole between its statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks to read, as [`lock`].
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks to write, as [`lock`].
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
