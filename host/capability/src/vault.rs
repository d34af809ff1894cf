//! `vault`: a directory's secrets, and what its plugin remembers from run to run, sealed at rest.

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::{HasData, Linker};

use crate::bindings::vault;
use crate::keys::{DirectorySealer, Purpose};
use crate::{CallKind, CapabilityError};

/// Bytes of all remembered values of a directory, names included.
pub const MEMORY_LIMIT_BYTES: usize = 64 * 1024;

/// Why sealed bytes could not be read or kept.
pub type SealedValuesError = Box<dyn std::error::Error + Send + Sync>;

/// The sealed values of one directory. Whoever implements it knows which, and sees sealed bytes only.
#[async_trait]
pub trait SealedValues: Send + Sync {
    /// A secret setting.
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, SealedValuesError>;
    /// A remembered value.
    async fn remembered(&self, name: &str) -> Result<Option<Vec<u8>>, SealedValuesError>;
    /// The names of all remembered values, each with the size of its sealed bytes.
    async fn remembered_sizes(&self) -> Result<Vec<(String, usize)>, SealedValuesError>;
    /// Keeps a value for good before it returns, or removes the name where there is none.
    async fn remember(&self, name: &str, sealed: Option<Vec<u8>>) -> Result<(), SealedValuesError>;
}

/// The vault of one directory for one call.
pub struct VaultCtx {
    call: CallKind,
    opened: Option<(Arc<dyn SealedValues>, DirectorySealer)>,
}

impl VaultCtx {
    /// The vault of the directory that `values` and `sealer` are of.
    pub fn new(call: CallKind, values: Arc<dyn SealedValues>, sealer: DirectorySealer) -> Self {
        Self {
            call,
            opened: Some((values, sealer)),
        }
    }

    /// A vault without values, for calls that have no directory. What is remembered in it is lost.
    pub fn empty(call: CallKind) -> Self {
        Self { call, opened: None }
    }
}

/// How a store's state lends the capability.
pub trait VaultView: Send {
    /// The context of this call.
    fn vault(&mut self) -> &mut VaultCtx;
}

struct HasVault;

impl HasData for HasVault {
    type Data<'a> = &'a mut VaultCtx;
}

/// Links `vault`.
pub fn add_to_linker<T: VaultView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    vault::add_to_linker::<T, HasVault>(linker, T::vault)
}

fn unread(source: SealedValuesError) -> CapabilityError {
    CapabilityError::Vault {
        attempt: "read",
        source,
    }
}

fn unkept(source: SealedValuesError) -> CapabilityError {
    CapabilityError::Vault {
        attempt: "kept",
        source,
    }
}

impl vault::Host for VaultCtx {
    async fn secret(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.call.permit("vault.secret")?;
        let Some((values, sealer)) = &self.opened else {
            return Ok(None);
        };
        let Some(sealed) = values.secret(&name).await.map_err(unread)? else {
            return Ok(None);
        };
        let secret = sealer
            .open(Purpose::Secret, &name, &sealed)
            .map_err(|error| unread(error.into()))?;
        let text = std::str::from_utf8(&secret).map_err(|error| unread(error.into()))?;
        Ok(Some(text.to_owned()))
    }

    async fn remember(&mut self, name: String, value: Vec<u8>) -> wasmtime::Result<()> {
        self.call.permit("vault.remember")?;
        let Some((values, sealer)) = &self.opened else {
            return Ok(());
        };
        if value.is_empty() {
            values.remember(&name, None).await.map_err(unkept)?;
            return Ok(());
        }
        let others: usize = values
            .remembered_sizes()
            .await
            .map_err(unread)?
            .iter()
            .filter(|(other, _)| *other != name)
            .map(|(other, sealed)| other.len() + sealed.saturating_sub(DirectorySealer::OVERHEAD_BYTES))
            .sum();
        if others + name.len() + value.len() > MEMORY_LIMIT_BYTES {
            return Err(CapabilityError::Limit {
                what: "bytes to remember in the vault",
                limit: MEMORY_LIMIT_BYTES as u64,
            }
            .into());
        }
        let sealed = sealer.seal(Purpose::Memory, &name, &value);
        values.remember(&name, Some(sealed)).await.map_err(unkept)?;
        Ok(())
    }

    async fn recall(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.call.permit("vault.recall")?;
        let Some((values, sealer)) = &self.opened else {
            return Ok(None);
        };
        let Some(sealed) = values.remembered(&name).await.map_err(unread)? else {
            return Ok(None);
        };
        let value = sealer
            .open(Purpose::Memory, &name, &sealed)
            .map_err(|error| unread(error.into()))?;
        Ok(Some(value.to_vec()))
    }
}
