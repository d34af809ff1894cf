//! One call of a plugin: an instance of its own, its limits, its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use idsync_capability::log::LogBook;
use idsync_capability::{CallKind, Granted, Powers, Provider, ProviderPre};
use idsync_model::{Clock, ErrorKind, Failure, Usage};
use tokio_util::sync::CancellationToken;
use wasmtime::{CallHook, Store, UpdateDeadline};

use crate::engine::PluginEngine;
use crate::fault::{Fault, Stage};
use crate::limiter::MemoryLimiter;
use crate::limits::Limits;
use crate::meter::CpuMeter;

/// What an instance's store holds.
pub(crate) struct Guest {
    granted: Granted,
    memory: MemoryLimiter,
    /// Whether something that is linked asked for what is granted, since the plugin was last inside.
    was_reached: bool,
}

impl Powers for Guest {
    fn granted(&mut self) -> &mut Granted {
        self.was_reached = true;
        &mut self.granted
    }
}

/// A call that has not begun.
pub(crate) struct Call<'a> {
    pub(crate) kind: CallKind,
    pub(crate) engine: &'a PluginEngine,
    pub(crate) plugin: &'a ProviderPre<Guest>,
    pub(crate) limits: &'a Limits,
    pub(crate) clock: Arc<dyn Clock>,
    /// What it is granted, made once its turn has come: its time runs from then.
    pub(crate) granted: Granted,
    pub(crate) book: Arc<LogBook>,
    pub(crate) time_limit: Duration,
    pub(crate) cancel: CancellationToken,
}

/// What is under way inside the instance.
pub(crate) type InFlight<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

/// A call that has ended.
pub(crate) struct Ended<T> {
    pub(crate) usage: Usage,
    pub(crate) result: Result<T, Failure>,
}

impl Call<'_> {
    /// Makes an instance, calls one function of it and takes it down again.
    pub(crate) async fn run<T>(
        self,
        function: impl for<'a> FnOnce(&'a Provider, &'a mut Store<Guest>) -> InFlight<'a, T> + Send,
    ) -> Ended<T> {
        let Self {
            kind,
            engine,
            plugin,
            limits,
            clock,
            granted,
            book,
            time_limit,
            cancel,
        } = self;
        let cpu = CpuMeter::new(clock, limits.cpu_between_host_calls, limits.cpu_total);
        let guest = Guest {
            granted,
            memory: MemoryLimiter::new(limits),
            was_reached: false,
        };
        let mut store = store_of(engine, guest, limits, &cpu);
        let outcome = {
            let call = async {
                let instance = plugin
                    .instantiate_async(&mut store)
                    .await
                    .map_err(|error| Fault::from_error(error, Stage::Instantiating, limits))?;
                function(&instance, &mut store)
                    .await
                    .map_err(|error| Fault::from_error(error, Stage::Calling, limits))
            };
            tokio::select! {
                biased;
                outcome = call => outcome,
                fault = out_of_time(time_limit, &cancel, limits.grace) => Err(fault),
            }
        };
        let guest = store.data();
        let usage = Usage {
            requests: guest.granted.egress.requests(),
            cpu: cpu.total(),
            peak_memory_bytes: guest.memory.peak_bytes(),
            wake: guest.granted.timer.wake().cloned(),
            provider_time: guest.granted.egress.provider_time(),
        };
        // The store goes first: what the plugin was in the middle of saying reaches the book when its streams end.
        drop(store);
        Ended {
            usage,
            result: outcome.map_err(|fault| fault.to_failure_with(kind.as_str(), &book.error_tail())),
        }
    }
}

/// The failure of a call that was cancelled before its turn came.
pub(crate) fn cancelled_before(kind: CallKind) -> Failure {
    Failure::new(
        ErrorKind::Cancelled,
        kind.as_str(),
        "the call was cancelled before the plugin was started",
        "",
    )
}

fn store_of(engine: &PluginEngine, guest: Guest, limits: &Limits, cpu: &CpuMeter) -> Store<Guest> {
    let mut store = Store::new(engine.wasmtime(), guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(limits.boundary_call_bytes);
    // The table of resources, whose error has a type, is full first.
    store.set_max_component_handles(limits.open_resources.saturating_mul(2));
    // wasmtime calls this at the end of an epoch and at `memory.grow` as well. All that is linked asks for what is
    // granted, by which calls of the host are told apart.
    store.call_hook({
        let cpu = cpu.clone();
        move |mut store, hook| {
            match hook {
                CallHook::CallingWasm | CallHook::ReturningFromHost => {
                    if std::mem::take(&mut store.data_mut().was_reached) {
                        cpu.was_host_call();
                    }
                    cpu.enter();
                }
                CallHook::CallingHost | CallHook::ReturningFromWasm => cpu.leave()?,
            }
            Ok(())
        }
    });
    // Not set anew when the host returns: a plugin that calls the host all the time would never yield.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
    store
}

/// Returns when the call may go on no longer.
async fn out_of_time(limit: Duration, cancel: &CancellationToken, grace: Duration) -> Fault {
    let asked_and_waited = async {
        cancel.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        () = tokio::time::sleep(limit) => Fault::Deadline { limit },
        () = asked_and_waited => Fault::Cancelled { grace },
    }
}
