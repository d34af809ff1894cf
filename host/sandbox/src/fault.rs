//! Why one call of a plugin ended before it returned, and what an admin is told of it.

use std::fmt::Write as _;
use std::time::Duration;

use idsync_capability::CapabilityError;
use idsync_model::{ErrorKind, Failure, OWN_LIMIT_HINT, with_causes};
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

use crate::limits::Limits;

/// What to do about a plugin that misbehaves: it is no setting that an admin could mend.
const TELL_THE_AUTHOR: &str = "Report this to the author of the plugin, with these lines.";

/// Why a call ended before it returned.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It asked for more memory.
    #[error("the plugin was ended because it asked for more than its {} MiB of memory", .limit_bytes / (1024 * 1024))]
    Memory {
        /// The limit.
        limit_bytes: usize,
    },
    /// The machine had no memory for it.
    #[error("the plugin was ended because this machine has no memory left for it")]
    MemoryUnavailable,
    /// It asked for a larger table.
    #[error("the plugin was ended because it asked for a table of more than {limit} elements")]
    Table {
        /// The limit.
        limit: usize,
    },
    /// It computed for too long without calling the host.
    #[error(
        "the plugin was ended because it computed for {} s without calling the host; it may be in an endless loop",
        .limit.as_secs_f64()
    )]
    CpuBetweenHostCalls {
        /// The limit.
        limit: Duration,
    },
    /// It computed for too long in all.
    #[error("the plugin was ended because it used more than its {} s of processor time", .limit.as_secs_f64())]
    CpuTotal {
        /// The limit.
        limit: Duration,
    },
    /// Its time was over, and it went on.
    #[error("the plugin was ended because it did not return within {} s", .limit.as_secs_f64())]
    Deadline {
        /// The limit.
        limit: Duration,
    },
    /// It was asked to end, and went on.
    #[error("the plugin was asked to end and was ended when it had not returned after {} s", .grace.as_secs_f64())]
    Cancelled {
        /// How long it was waited for.
        grace: Duration,
    },
    /// One call of the host carried too much.
    #[error(
        "the plugin was ended because it handed over more than {} KiB in one call of the host",
        .limit_bytes / 1024
    )]
    BoundaryCall {
        /// The limit.
        limit_bytes: usize,
    },
    /// It opened too much at once.
    #[error(
        "the plugin was ended because it had more than {limit} requests, bodies, streams, timers or keys open at once"
    )]
    OpenResources {
        /// The limit.
        limit: usize,
    },
    /// It needs more instances or tables than it is given.
    #[error("the plugin needs more than it is given: {reason}")]
    TooDemanding {
        /// wasmtime's words.
        reason: String,
    },
    /// Its calls went too deep.
    #[error("the plugin was ended because its stack is full; it may recurse without end")]
    StackOverflow,
    /// It left through `exit`.
    #[error("the plugin called exit with code {code} instead of returning")]
    Exit {
        /// The code.
        code: i32,
    },
    /// It did what WebAssembly forbids: a panic ends so too.
    #[error("the plugin crashed: {trap}")]
    Trap {
        /// wasmtime's word for it.
        trap: String,
    },
    /// A capability ended the call.
    #[error(transparent)]
    Capability(CapabilityError),
    /// It answered what the contract does not allow.
    #[error("the plugin broke its contract: {0}")]
    Contract(String),
    /// The instance could not be made, or something else of the host's failed.
    #[error("the plugin could not be run, through no fault of its own")]
    Host(#[source] wasmtime::Error),
}

/// What was under way when a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The host made the instance. The plugin's own code runs in it only where it has a start function.
    Instantiating,
    /// The plugin's function ran.
    Calling,
}

impl Fault {
    /// Reads what came out of a call. What nothing is known of is the host's fault while the instance is made, and
    /// afterwards the plugin's: an answer that can't be read, for instance, has no type.
    pub(crate) fn from_error(error: wasmtime::Error, stage: Stage, limits: &Limits) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(fault) => return fault,
            Err(error) => error,
        };
        let error = match error.downcast::<CapabilityError>() {
            Ok(capability) => return Self::Capability(capability),
            Err(error) => error,
        };
        match error.downcast_ref() {
            Some(ResourceTableError::Full) => {
                return Self::OpenResources {
                    limit: limits.open_resources,
                };
            }
            Some(_) => return Self::Contract("it used a handle that does not exist".to_owned()),
            None => {}
        }
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Self::Exit { code: exit.0 };
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => return Self::StackOverflow,
            // Rust lays its own stack below all else in the memory of a component.
            Some(trap @ Trap::MemoryOutOfBounds) => {
                return Self::Trap {
                    trap: format!("{trap} (as when its stack is full)"),
                };
            }
            Some(trap) => {
                return Self::Trap {
                    trap: trap.to_string(),
                };
            }
            None => {}
        }
        // A system call that failed is never the plugin's own: none of its imports answers with one.
        if error.is::<PoolConcurrencyLimitError>() || error.root_cause().is::<std::io::Error>() {
            return Self::Host(error);
        }
        let root = error.root_cause().to_string();
        // wasmtime 48 has no public types for these four; the tests of loading and of hostile plugins notice when the
        // texts change.
        if error.to_string().starts_with("failed to convert function") {
            Self::Contract(format!(
                "it was built against other types than those of this version of idsync ({root})"
            ))
        } else if root.contains("fuel allocated for hostcalls") {
            Self::BoundaryCall {
                limit_bytes: limits.boundary_call_bytes,
            }
        } else if root.contains("store handle limit exceeded") {
            Self::OpenResources {
                limit: limits.open_resources,
            }
        } else if root.contains("resource limit exceeded") {
            Self::TooDemanding { reason: root }
        } else if stage == Stage::Instantiating {
            Self::Host(error)
        } else {
            Self::Trap { trap: root }
        }
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Deadline { .. } => ErrorKind::Deadline,
            Self::Cancelled { .. } => ErrorKind::Cancelled,
            Self::MemoryUnavailable | Self::Host(_) => ErrorKind::Host,
            Self::Capability(error) if !error.is_the_plugins() => ErrorKind::Host,
            _ => ErrorKind::Plugin,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Memory { .. } | Self::CpuTotal { .. } | Self::Deadline { .. } => OWN_LIMIT_HINT,
            Self::Cancelled { .. } => "",
            Self::MemoryUnavailable => "Run fewer syncs at once, or give the machine more memory.",
            Self::Host(error) if error.is::<PoolConcurrencyLimitError>() => "Run fewer syncs at once.",
            Self::Host(_) => "Look at the log of idsync; this is no fault of the directory's.",
            _ => TELL_THE_AUTHOR,
        }
    }

    /// The failure that the run ends with. `stage` is the function that was called.
    pub fn to_failure(&self, stage: &str) -> Failure {
        if let Self::Capability(error) = self {
            return error.to_failure(stage);
        }
        Failure::new(self.kind(), stage, with_causes(self), self.hint())
    }

    /// The same, with the last that the plugin wrote to its standard error, where that says more.
    pub(crate) fn to_failure_with(&self, stage: &str, last_words: &str) -> Failure {
        let mut failure = self.to_failure(stage);
        let crashed = matches!(
            self,
            Self::Trap { .. }
                | Self::Exit { .. }
                | Self::StackOverflow
                | Self::Memory { .. }
                | Self::Table { .. }
        );
        if crashed && !last_words.is_empty() {
            let _ = write!(
                failure.summary,
                "; its last words: {}",
                last_words.replace('\n', " / ")
            );
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use wasmtime::Store;
    use wasmtime::component::{Component, Linker};

    use super::*;
    use crate::engine::PluginEngine;
    use crate::limits::Pool;

    fn fault(error: wasmtime::Error, stage: Stage) -> Fault {
        Fault::from_error(error, stage, &Limits::default())
    }

    fn no_memory() -> wasmtime::Error {
        wasmtime::Error::from(io::Error::from(io::ErrorKind::OutOfMemory)).context("a fiber's stack")
    }

    #[test]
    fn an_instance_that_could_not_be_made_is_the_hosts_fault() {
        for error in [no_memory(), wasmtime::Error::msg("failed to make the instance")] {
            let failure = fault(error, Stage::Instantiating).to_failure("sync");
            assert_eq!(failure.kind, ErrorKind::Host, "{failure:?}");
            assert!(failure.summary.contains("no fault of its own"), "{failure:?}");
        }
        let failure = fault(no_memory(), Stage::Calling).to_failure("sync");
        assert_eq!(failure.kind, ErrorKind::Host, "{failure:?}");
        assert!(failure.summary.contains("out of memory"), "{failure:?}");
    }

    #[tokio::test]
    async fn a_pool_without_room_is_the_hosts_fault() {
        let limits = Limits::default();
        let engine = PluginEngine::new(&Pool::new(1, &limits)).expect("an engine");
        let engine = engine.wasmtime();
        let text = "(component (core module $m (memory 1)) (core instance (instantiate $m)))";
        let component =
            Component::new(engine, wat::parse_str(text).expect("right text")).expect("it compiles");
        let linker = Linker::<()>::new(engine);
        let (mut first, mut second) = (Store::new(engine, ()), Store::new(engine, ()));
        for store in [&mut first, &mut second] {
            store.set_epoch_deadline(1);
        }
        let fits = linker.instantiate_async(&mut first, &component).await;
        fits.expect("there is one place");
        let full = linker.instantiate_async(&mut second, &component).await;
        let failure = fault(full.expect_err("it is taken"), Stage::Instantiating).to_failure("sync");
        assert_eq!(failure.kind, ErrorKind::Host, "{failure:?}");
        assert_eq!(failure.hint, "Run fewer syncs at once.");
    }

    #[test]
    fn a_start_function_that_traps_is_the_plugins_fault() {
        let trapped = fault(Trap::UnreachableCodeReached.into(), Stage::Instantiating);
        assert_eq!(trapped.kind(), ErrorKind::Plugin);
        let own = fault(Fault::StackOverflow.into(), Stage::Instantiating);
        assert!(matches!(own, Fault::StackOverflow));
        let demanding = wasmtime::Error::msg("resource limit exceeded: instance count too high at 9");
        assert_eq!(fault(demanding, Stage::Instantiating).kind(), ErrorKind::Plugin);
    }

    #[test]
    fn an_answer_that_can_not_be_read_is_the_plugins_fault() {
        let failure = fault(wasmtime::Error::msg("invalid utf-8"), Stage::Calling).to_failure("sync");
        assert_eq!(failure.kind, ErrorKind::Plugin);
        assert!(failure.summary.contains("invalid utf-8"), "{failure:?}");
        let unknown = fault(ResourceTableError::NotPresent.into(), Stage::Calling);
        assert!(matches!(unknown, Fault::Contract(_)), "{unknown:?}");
    }
}
