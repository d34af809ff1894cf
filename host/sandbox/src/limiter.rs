//! Refuses memory and tables beyond the limits, with an error that says which limit it was.

use wasmtime::ResourceLimiter;

use crate::fault::Fault;
use crate::limits::Limits;

/// Follows the memory of one call. Growth beyond the limit ends the call at once: a plugin that is told "no" would
/// abort with less to say.
pub(crate) struct MemoryLimiter {
    memory_limit: usize,
    table_limit: usize,
    core_instances: usize,
    tables: usize,
    memory: usize,
    peak: usize,
}

impl MemoryLimiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory_bytes,
            table_limit: limits.table_elements,
            core_instances: limits.core_instances as usize,
            tables: limits.tables as usize,
            memory: 0,
            peak: 0,
        }
    }

    /// The most memory that the call had at once, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak as u64
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let all = self.memory.saturating_add(desired.saturating_sub(current));
        if all > self.memory_limit {
            return Err(Fault::Memory {
                limit_bytes: self.memory_limit,
            }
            .into());
        }
        // Beyond the maximum that the module declares for itself, growth fails as it would anywhere.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory = all;
        self.peak = self.peak.max(all);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error.context(Fault::MemoryUnavailable))
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_limit {
            return Err(Fault::Table {
                limit: self.table_limit,
            }
            .into());
        }
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        self.core_instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.core_instances
    }
}
