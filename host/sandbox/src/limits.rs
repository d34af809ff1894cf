//! What one call of a plugin may use, and what one engine may hold.

use std::time::Duration;

use idsync_capability::egress::EgressLimits;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What one call of a plugin may use. Each limit ends the call with an error of its own; those of requests, headers,
/// bodies and log lines are kept by the capabilities, which are built from these numbers. How many rows a run may stage
/// is the staging's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, all memories of the instance together, in bytes.
    pub memory_bytes: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Core modules that one component may instantiate: a component made by Rust has three or four.
    pub core_instances: u32,
    /// Tables of one component: one made by Rust has two.
    pub tables: u32,
    /// Time on the processor between two calls of the host.
    pub cpu_between_host_calls: Duration,
    /// Time on the processor in all.
    pub cpu_total: Duration,
    /// The longest a sync may take, whatever its caller allows.
    pub wall_time: Duration,
    /// How long a plugin may go on after it was asked to end.
    pub grace: Duration,
    /// Requests that are under way at once.
    pub requests_in_flight: u64,
    /// Requests in all.
    pub requests: u64,
    /// The headers of one request, and those of one response, in bytes.
    pub header_bytes: usize,
    /// A response's body after decompression, in bytes.
    pub body_bytes: u64,
    /// How long a request may take to connect: name, connection and TLS together. More than 10 seconds have no effect.
    pub connect: Duration,
    /// How long a response's headers may be waited for once the connection is there.
    pub first_byte: Duration,
    /// How long a response's body may rest between two pieces.
    pub stall: Duration,
    /// What one call of the host may carry out of the plugin, in bytes.
    pub boundary_call_bytes: usize,
    /// Lines of log.
    pub log_lines: u64,
    /// Resources that are open at once: requests, bodies, streams, timers, keys.
    pub open_resources: usize,
}

impl Limits {
    /// Those that egress keeps.
    pub fn of_egress(&self) -> EgressLimits {
        EgressLimits {
            in_flight: self.requests_in_flight,
            requests: self.requests,
            header_bytes: self.header_bytes,
            body_bytes: self.body_bytes,
            connect: self.connect,
            first_byte: self.first_byte,
            stall: self.stall,
        }
    }

    /// The same, where no more is given than each place of `pool` holds.
    #[must_use]
    pub fn within(self, pool: &Pool) -> Self {
        Self {
            memory_bytes: self.memory_bytes.min(pool.memory_bytes),
            table_elements: self.table_elements.min(pool.table_elements),
            core_instances: self.core_instances.min(pool.core_instances),
            tables: self.tables.min(pool.tables),
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 128 * MIB,
            table_elements: 20_000,
            core_instances: 8,
            tables: 4,
            cpu_between_host_calls: Duration::from_secs(10),
            cpu_total: Duration::from_mins(10),
            wall_time: Duration::from_hours(6),
            grace: Duration::from_secs(5),
            requests_in_flight: 64,
            requests: 1_000_000,
            header_bytes: 64 * KIB,
            body_bytes: 16 << 20,
            connect: Duration::from_secs(10),
            first_byte: Duration::from_mins(1),
            stall: Duration::from_secs(30),
            boundary_call_bytes: 4 * MIB,
            log_lines: 10_000,
            open_resources: 1_024,
        }
    }
}

/// What one engine reserves. No call is given more than this, whatever its limits say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Instances that live at once; further calls wait for their turn.
    pub instances: u32,
    /// The most linear memory that any call is given, in bytes.
    pub memory_bytes: usize,
    /// The most elements that a table of any call is given.
    pub table_elements: usize,
    /// The most core modules of one component.
    pub core_instances: u32,
    /// The most tables of one component.
    pub tables: u32,
}

impl Pool {
    /// A pool for as many calls at once, each with these limits.
    pub fn new(instances: u32, limits: &Limits) -> Self {
        Self {
            instances,
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            core_instances: limits.core_instances,
            tables: limits.tables,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(128, &Limits::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_reaches_beyond_the_pool() {
        let few = Limits {
            memory_bytes: MIB,
            table_elements: 10,
            core_instances: 2,
            tables: 1,
            ..Limits::default()
        };
        let pool = Pool::new(1, &few);
        assert_eq!(Limits::default().within(&pool), few);
        assert_eq!(few.clone().within(&Pool::default()), few);
    }
}
