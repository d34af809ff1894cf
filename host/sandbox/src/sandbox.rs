//! Loads plugins: reads, compiles or takes from the cache, checks against the contract, asks what they are.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use idsync_capability::ProviderPre;
use idsync_capability::egress::Egress;
use idsync_capability::keys::MacKey;
use idsync_model::Clock;
use wasmtime::component::{Component, Linker};

use crate::cache::{Cache, Found, TrustedCode};
use crate::call::Guest;
use crate::compile::Compiling;
use crate::contract;
use crate::digest::Digest;
use crate::engine::PluginEngine;
use crate::error::SandboxError;
use crate::limits::{Limits, Pool};
use crate::load::{self, Stamp};
use crate::plugin::Plugin;

/// How a sandbox is set up.
pub struct Setup {
    /// What each call may use, where its directory says nothing else. What exceeds the pool counts as the pool's.
    pub limits: Limits,
    /// What the engine reserves.
    pub pool: Pool,
    /// How components are compiled.
    pub compiling: Compiling,
    /// The folder of compiled components. It is made where it is missing.
    pub cache_folder: PathBuf,
    /// The key that they are tagged with.
    pub cache_key: MacKey,
    /// What the connections of all directories share.
    pub egress: Egress,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What plugins stand on: all that a call needs beside its plugin.
pub(crate) struct Floor {
    pub(crate) engine: PluginEngine,
    pub(crate) limits: Limits,
    pub(crate) pool: Pool,
    pub(crate) egress: Egress,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A plugin that is loaded, or will be. Its lock is held while it is, so that it is compiled once however many ask for
/// it, and nobody waits for the compiling of another one.
type LoadedOnce = tokio::sync::Mutex<Weak<Plugin>>;

/// One engine, and the plugins that are loaded into it.
pub struct Sandbox {
    floor: Arc<Floor>,
    linker: Linker<Guest>,
    compiling: Compiling,
    cache: Arc<Cache>,
    loaded: Mutex<HashMap<Digest, Arc<LoadedOnce>>>,
    /// What was loaded last from each file: between two runs too, nothing is loaded twice.
    files: Mutex<HashMap<PathBuf, (Stamp, Arc<Plugin>)>>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Makes the engine, links what plugins are given, and opens the cache.
    pub fn new(setup: Setup) -> Result<Arc<Self>, SandboxError> {
        let engine = PluginEngine::new(&setup.pool)?;
        let mut linker = Linker::new(engine.wasmtime());
        idsync_capability::add_all_to_linker(&mut linker).map_err(SandboxError::Linking)?;
        let cache = Cache::open(&setup.cache_folder, setup.cache_key).map_err(|source| {
            SandboxError::CacheFolder {
                folder: setup.cache_folder.clone(),
                source,
            }
        })?;
        Ok(Arc::new(Self {
            floor: Arc::new(Floor {
                engine,
                limits: setup.limits.within(&setup.pool),
                pool: setup.pool,
                egress: setup.egress,
                clock: setup.clock,
            }),
            linker,
            compiling: setup.compiling,
            cache: Arc::new(cache),
            loaded: Mutex::default(),
            files: Mutex::default(),
        }))
    }

    /// Loads the plugin in a file. One that is loaded already, under whatever name, is the same plugin; a file that
    /// was replaced is another one. A file that was not touched since it was loaded is not read again.
    pub async fn load(&self, path: &Path) -> Result<Arc<Plugin>, SandboxError> {
        if let Some(plugin) = self.unchanged(path).await {
            return Ok(plugin);
        }
        let file = path.to_owned();
        let (bytes, stamp, digest) = off_the_executor(move || {
            load::read(&file).map(|(bytes, stamp)| {
                let digest = Digest::of(&bytes);
                (bytes, stamp, digest)
            })
        })
        .await?;
        let plugin = self.load_once(path, bytes, digest).await?;
        if stamp.is_settled(self.floor.clock.now()) {
            self.files().insert(path.to_owned(), (stamp, Arc::clone(&plugin)));
        }
        Ok(plugin)
    }

    /// What was loaded from the file, where it was not touched since. What was loaded from a file that is no longer
    /// the same is given up.
    async fn unchanged(&self, path: &Path) -> Option<Arc<Plugin>> {
        let file = path.to_owned();
        let present = off_the_executor(move || Stamp::of(&file).ok()).await;
        let mut files = self.files();
        let (stamp, plugin) = files.get(path)?;
        if Some(*stamp) == present {
            return Some(Arc::clone(plugin));
        }
        files.remove(path);
        None
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, (Stamp, Arc<Plugin>)>> {
        // A map of handles is right whatever panicked beside it.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads a plugin that nobody has.
    async fn load_once(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        digest: Digest,
    ) -> Result<Arc<Plugin>, SandboxError> {
        let once = self.once(digest);
        let mut loaded = once.lock().await;
        if let Some(plugin) = loaded.upgrade() {
            return Ok(plugin);
        }
        let component = self.component(path, &bytes, &digest).await?;
        let offer = contract::check(self.floor.engine.wasmtime(), &component, path)?;
        let pre = self
            .linker
            .instantiate_pre(&component)
            .and_then(ProviderPre::new)
            .map_err(|error| SandboxError::Contract {
                path: path.to_owned(),
                reason: format!("{error:#}"),
            })?;
        let plugin = Plugin::ask(
            Arc::clone(&self.floor),
            path,
            pre,
            digest,
            bytes.len() as u64,
            offer,
        )
        .await?;
        let plugin = Arc::new(plugin);
        *loaded = Arc::downgrade(&plugin);
        Ok(plugin)
    }

    /// The place of a plugin. Places of plugins that nobody has or waits for are given up.
    fn once(&self, digest: Digest) -> Arc<LoadedOnce> {
        // A map of handles is right whatever panicked beside it.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, once| {
            Arc::strong_count(once) > 1 || once.try_lock().is_ok_and(|plugin| plugin.strong_count() > 0)
        });
        Arc::clone(loaded.entry(digest).or_default())
    }

    async fn component(&self, path: &Path, bytes: &[u8], digest: &Digest) -> Result<Component, SandboxError> {
        if let Some(code) = self.cached(digest).await {
            match self.deserialize(&code) {
                Ok(component) => return Ok(component),
                // Ours, and of no use: an engine with a smaller pool may refuse it, which compiling anew will tell.
                Err(error) => {
                    tracing::warn!(component = %digest, "a compiled plugin is compiled anew: {error:#}");
                }
            }
        }
        let code = self.compiling.compile(path, bytes).await?;
        let component = self
            .deserialize(&code)
            .map_err(|error| not_loadable(path, error))?;
        let (cache, settings, digest) = (Arc::clone(&self.cache), self.floor.engine.digest(), *digest);
        let kept = off_the_executor(move || cache.write(&digest, settings, &code)).await;
        if let Err(error) = kept {
            tracing::warn!(component = %digest, "a compiled plugin could not be kept, and is compiled again next time: {error}");
        }
        Ok(component)
    }

    async fn cached(&self, digest: &Digest) -> Option<TrustedCode> {
        let (cache, settings, digest) = (Arc::clone(&self.cache), self.floor.engine.digest(), *digest);
        match off_the_executor(move || cache.read(&digest, settings)).await {
            Ok(Found::Code(code)) => Some(code),
            Ok(Found::Nothing) => None,
            Ok(Found::Untrusted) => {
                tracing::warn!(component = %digest, "a compiled plugin does not carry this installation's tag; it is compiled anew");
                None
            }
            Err(error) => {
                tracing::warn!(component = %digest, "a compiled plugin could not be read; it is compiled anew: {error}");
                None
            }
        }
    }

    fn deserialize(&self, code: &TrustedCode) -> wasmtime::Result<Component> {
        #[expect(
            unsafe_code,
            reason = "deserialising is loading machine code; `TrustedCode` is either what our own compiling process \
                      has just answered, or what was read once into memory and carries this installation's HMAC"
        )]
        // SAFETY: by the construction of `TrustedCode`, the bytes are unchanged output of `precompile_component`.
        unsafe {
            Component::deserialize(self.floor.engine.wasmtime(), code.bytes())
        }
    }
}

/// Why freshly compiled code could not be loaded: it asks for more than the pool gives, or the host failed.
fn not_loadable(path: &Path, error: wasmtime::Error) -> SandboxError {
    let path = path.to_owned();
    // wasmtime 48 has no types for the limits of its pool, whose texts all say this; the tests of loading notice when
    // they change.
    let is_over_a_limit = error
        .chain()
        .any(|cause| cause.to_string().contains("exceeds the "));
    if is_over_a_limit {
        SandboxError::TooDemanding {
            path,
            reason: format!("{error:#}"),
        }
    } else {
        SandboxError::Code { path, source: error }
    }
}

/// Runs what reads and writes files, or computes for long, where it holds nobody up.
pub(crate) async fn off_the_executor<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It is never aborted, so that it ends early by a panic alone.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use idsync_model::ErrorKind;

    use super::*;

    #[test]
    fn a_machine_without_memory_is_not_a_demanding_plugin() {
        let error = wasmtime::Error::from(std::io::Error::from(std::io::ErrorKind::OutOfMemory));
        let refused = not_loadable(Path::new("a.wasm"), error.context("mapping the code"));
        assert!(matches!(refused, SandboxError::Code { .. }), "{refused}");
        let failure = refused.to_failure();
        assert_eq!(failure.kind, ErrorKind::Host);
        assert_eq!(failure.hint, refused.hint());
        assert!(failure.hint.contains("memory"), "{failure:?}");
    }
}
