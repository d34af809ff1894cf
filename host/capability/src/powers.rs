//! The whole list of a guest's powers: what one call is granted, and what is linked.

use std::sync::Arc;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView};

use crate::egress::{EgressCtx, EgressCtxView, EgressView};
use crate::keys::{KeysCtx, KeysCtxView, KeysView};
use crate::log::{LogBook, LogCtx, LogView};
use crate::staging::{StagingCtx, StagingView};
use crate::timer::{TimerCtx, TimerView};
use crate::vault::{VaultCtx, VaultView};
use crate::wasi::WasiGrantView;
use crate::{egress, keys, log, staging, timer, vault, wasi};

/// All that one call of a guest is granted. It lives in the wasmtime store of the call's instance.
pub struct Granted {
    table: ResourceTable,
    wasi: WasiCtx,
    /// Requests to the hosts of the description.
    pub egress: EgressCtx,
    /// The directory's key, and keys of the call's own.
    pub keys: KeysCtx,
    /// Secrets and remembered values.
    pub vault: VaultCtx,
    /// Time left, cancellation, the wish for the next run.
    pub timer: TimerCtx,
    /// Where a run puts what it reads.
    pub staging: StagingCtx,
    /// What the plugin says.
    pub log: LogCtx,
}

impl Granted {
    /// Puts the grants of one call together. The guest may have `open_resources` handles (requests, bodies, streams,
    /// timers, keys) at once.
    pub fn new(
        book: Arc<LogBook>,
        egress: EgressCtx,
        keys: KeysCtx,
        vault: VaultCtx,
        timer: TimerCtx,
        staging: StagingCtx,
        open_resources: usize,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(open_resources);
        Self {
            table,
            wasi: wasi::context(&book),
            egress,
            keys,
            vault,
            timer,
            staging,
            log: LogCtx::new(book),
        }
    }
}

/// A wasmtime store's state that lends what its call is granted.
pub trait Powers: Send + 'static {
    /// The grants of this call.
    fn granted(&mut self) -> &mut Granted;
}

impl Powers for Granted {
    fn granted(&mut self) -> &mut Granted {
        self
    }
}

impl<T: Powers> WasiGrantView for T {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        let granted = self.granted();
        WasiCtxView {
            ctx: &mut granted.wasi,
            table: &mut granted.table,
        }
    }
}

impl<T: Powers> EgressView for T {
    fn egress(&mut self) -> EgressCtxView<'_> {
        let granted = self.granted();
        EgressCtxView {
            ctx: &mut granted.egress,
            table: &mut granted.table,
        }
    }
}

impl<T: Powers> KeysView for T {
    fn keys(&mut self) -> KeysCtxView<'_> {
        let granted = self.granted();
        KeysCtxView {
            ctx: &mut granted.keys,
            table: &mut granted.table,
        }
    }
}

impl<T: Powers> VaultView for T {
    fn vault(&mut self) -> &mut VaultCtx {
        &mut self.granted().vault
    }
}

impl<T: Powers> TimerView for T {
    fn timer(&mut self) -> &mut TimerCtx {
        &mut self.granted().timer
    }
}

impl<T: Powers> StagingView for T {
    fn staging(&mut self) -> &mut StagingCtx {
        &mut self.granted().staging
    }
}

impl<T: Powers> LogView for T {
    fn log(&mut self) -> &mut LogCtx {
        &mut self.granted().log
    }
}

/// Links everything that a guest may reach. What is not linked here does not exist for it.
pub fn add_all_to_linker<T: Powers>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasi::add_to_linker(linker)?;
    egress::add_to_linker(linker)?;
    keys::add_to_linker(linker)?;
    vault::add_to_linker(linker)?;
    timer::add_to_linker(linker)?;
    staging::add_to_linker(linker)?;
    log::add_to_linker(linker)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine;

    use super::*;

    #[test]
    fn everything_is_linked_once() {
        let mut linker = Linker::<Granted>::new(&Engine::default());
        add_all_to_linker(&mut linker).unwrap();
        assert!(add_all_to_linker(&mut linker).is_err());
    }
}
