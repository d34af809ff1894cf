//! The wasmtime engine that plugins run on: its settings, its pool of instances, its epochs.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{Config, Engine, PoolingAllocationConfig};

use crate::error::SandboxError;
use crate::limits::Pool;
use crate::ticker::{Running, Ticker};

/// The stack of a plugin, in bytes. Recursion beyond it traps.
const STACK_BYTES: usize = 1 << 20;
/// The stack that plugin and host share while the plugin runs: what the plugin leaves is the host's.
const FIBER_STACK_BYTES: usize = STACK_BYTES + (1 << 20);
/// Memories of one component. Rust makes one; the other is for adapters of older toolchains.
const MEMORIES: u32 = 2;
/// Memory that a slot keeps for its next instance instead of giving it back to the system, in bytes.
const KEPT_BYTES: usize = 256 * 1024;

/// Identifies the settings that machine code depends on, with the version of wasmtime.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SettingsDigest(pub(crate) [u8; 32]);

/// The first eight bytes in hexadecimal: enough to tell apart the files of several versions.
impl fmt::Display for SettingsDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The engine and all that belongs to it.
pub(crate) struct PluginEngine {
    engine: Engine,
    ticker: Ticker,
    slots: Arc<Semaphore>,
    digest: SettingsDigest,
}

impl PluginEngine {
    pub(crate) fn new(pool: &Pool) -> Result<Self, SandboxError> {
        let engine = Engine::new(&pooling_config(pool)).map_err(SandboxError::Engine)?;
        let ticker = Ticker::start(engine.clone()).map_err(SandboxError::Ticker)?;
        Ok(Self {
            digest: digest_of(&engine),
            slots: Arc::new(Semaphore::new(pool.instances as usize)),
            ticker,
            engine,
        })
    }

    pub(crate) fn wasmtime(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn digest(&self) -> SettingsDigest {
        self.digest
    }

    /// A place in the pool, with epochs that go on while it is held. Waits where all are taken.
    pub(crate) async fn slot(&self) -> Slot {
        let permit = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        Slot {
            _permit: permit,
            _running: self.ticker.while_running(),
        }
    }
}

impl fmt::Debug for PluginEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginEngine").finish_non_exhaustive()
    }
}

/// One call's place in the pool.
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
    _running: Running,
}

/// The settings that machine code depends on. The process that compiles has these alone: a pool reserves terabytes of
/// address space, which its own limit would refuse.
pub(crate) fn compiling_config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // Nothing that Rust, C, Go or JavaScript compile to needs these, and each is code that could be wrong.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_custom_page_sizes(false)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES);
    config
}

fn pooling_config(pool: &Pool) -> Config {
    let mut pooling = PoolingAllocationConfig::new();
    let core_instances = pool.instances.saturating_mul(pool.core_instances);
    pooling
        .total_component_instances(pool.instances)
        .total_stacks(pool.instances)
        .total_core_instances(core_instances)
        .max_core_instances_per_component(pool.core_instances)
        .total_memories(pool.instances.saturating_mul(MEMORIES))
        .max_memories_per_component(MEMORIES)
        .max_memory_size(pool.memory_bytes)
        .total_tables(pool.instances.saturating_mul(pool.tables))
        .max_tables_per_component(pool.tables)
        .max_tables_per_module(pool.tables)
        .table_elements(pool.table_elements)
        .linear_memory_keep_resident(KEPT_BYTES)
        .table_keep_resident(4096)
        .max_unused_warm_slots(16);
    let mut config = compiling_config();
    config.allocation_strategy(pooling);
    config
}

fn digest_of(engine: &Engine) -> SettingsDigest {
    let mut hasher = DigestHasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    SettingsDigest(hasher.0.finalize().into())
}

/// A digest is kept on disk, so it may not be one that `std` is free to change.
struct DigestHasher(Sha256);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        u64::from_le_bytes(digest[..8].try_into().expect("eight of 32 bytes"))
    }
}
