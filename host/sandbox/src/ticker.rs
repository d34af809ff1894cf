//! Counts an engine's epochs, one each 10 ms, while a plugin runs.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

/// How long an epoch lasts: the longest a plugin keeps a thread of the executor to itself.
pub(crate) const EPOCH: Duration = Duration::from_millis(10);

/// The thread that counts. It is no task of the executor, whose threads may all be busy with plugins that do not yield
/// before the next epoch. It rests while no call is under way, and ends with the last handle.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    calls: usize,
    ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Two plain fields are right whatever panicked beside them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("plugin-epochs".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || count(&shared, &engine)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Keeps the epochs coming until it is dropped.
    pub(crate) fn while_running(&self) -> Running {
        let mut state = self.shared.state();
        state.calls += 1;
        if state.calls == 1 {
            self.shared.changed.notify_one();
        }
        drop(state);
        Running {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has nothing to report; a panic in it was printed already.
            let _ = thread.join();
        }
    }
}

fn count(shared: &Shared, engine: &Engine) {
    let mut state = shared.state();
    while !state.ended {
        state = if state.calls == 0 {
            shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
        } else {
            let (state, _) = shared
                .changed
                .wait_timeout(state, EPOCH)
                .unwrap_or_else(PoisonError::into_inner);
            engine.increment_epoch();
            state
        };
    }
}

/// While one lives, epochs are counted.
pub(crate) struct Running {
    shared: Arc<Shared>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.state().calls -= 1;
    }
}
