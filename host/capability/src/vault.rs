//! `vault`: a directory's secrets, and what its plugin remembers from run to run, sealed at rest.

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::{HasData, Linker};

use crate::bindings::vault;
use crate::keys::{DirectorySealer, Purpose};
use crate::{CallKind, CapabilityError};

/// Bytes of all remembered values of a directory, names included.
pub const MEMORY_LIMIT_BYTES: u64 = 64 * 1024;
/// How often one call may remember something: each time is a commit to disk.
const REMEMBER_LIMIT: u64 = 1_000;

/// Why sealed bytes could not be read or kept.
pub type SealedValuesError = Box<dyn std::error::Error + Send + Sync>;

/// Why a value was not kept.
#[derive(Debug, thiserror::Error)]
pub enum RememberError {
    /// It does not fit beside the others.
    #[error("the value does not fit beside the others that the directory's vault holds")]
    Full,
    /// The run that it was kept for may write no more: it was ended, or another process has taken it over.
    #[error("the run may write no more")]
    RunOver(#[source] SealedValuesError),
    /// The store failed.
    #[error("the store did not keep the value")]
    Store(#[source] SealedValuesError),
}

/// The sealed values of one directory. Whoever implements it knows which, and sees sealed bytes only.
#[async_trait]
pub trait SealedValues: Send + Sync {
    /// A secret setting.
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, SealedValuesError>;
    /// A remembered value.
    async fn remembered(&self, name: &str) -> Result<Option<Vec<u8>>, SealedValuesError>;
    /// Keeps a value for good before it returns, or removes the name where there is none. A value of `plain_bytes`
    /// before it was sealed is kept only where the names and plain sizes of all remembered values, this one
    /// included, are at most `limit_bytes`.
    async fn remember(
        &self,
        name: &str,
        sealed: Option<Vec<u8>>,
        plain_bytes: u64,
        limit_bytes: u64,
    ) -> Result<(), RememberError>;
}

/// The vault of one directory for one call.
pub struct VaultCtx {
    call: CallKind,
    opened: Option<(Arc<dyn SealedValues>, DirectorySealer)>,
    remembered: u64,
}

impl VaultCtx {
    /// The vault of the directory that `values` and `sealer` are of.
    pub fn new(call: CallKind, values: Arc<dyn SealedValues>, sealer: DirectorySealer) -> Self {
        Self {
            call,
            opened: Some((values, sealer)),
            remembered: 0,
        }
    }

    /// A vault without values, for calls that have no directory. What is remembered in it is lost.
    pub fn empty(call: CallKind) -> Self {
        Self {
            call,
            opened: None,
            remembered: 0,
        }
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

impl vault::Host for VaultCtx {
    async fn secret(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.call.permit("vault.secret")?;
        let Some((values, directory)) = &self.opened else {
            return Ok(None);
        };
        let Some(sealed) = values.secret(&name).await.map_err(unread)? else {
            return Ok(None);
        };
        let secret = directory
            .open(Purpose::Secret, &name, &sealed)
            .map_err(|error| unread(error.into()))?;
        let text = std::str::from_utf8(&secret).map_err(|error| unread(error.into()))?;
        Ok(Some(text.to_owned()))
    }

    async fn remember(&mut self, name: String, value: Vec<u8>) -> wasmtime::Result<()> {
        self.call.permit("vault.remember")?;
        if self.remembered >= REMEMBER_LIMIT {
            return Err(CapabilityError::Limit {
                what: "values remembered in the vault",
                limit: REMEMBER_LIMIT,
            }
            .into());
        }
        self.remembered += 1;
        let Some((values, directory)) = &self.opened else {
            return Ok(());
        };
        let sealed = (!value.is_empty()).then(|| directory.seal(Purpose::Memory, &name, &value));
        let kept = values
            .remember(&name, sealed, value.len() as u64, MEMORY_LIMIT_BYTES)
            .await;
        match kept {
            Ok(()) => Ok(()),
            Err(RememberError::Full) => Err(CapabilityError::Limit {
                what: "bytes remembered in the vault",
                limit: MEMORY_LIMIT_BYTES,
            }
            .into()),
            Err(RememberError::RunOver(source)) => Err(CapabilityError::RunOver { source }.into()),
            Err(RememberError::Store(source)) => Err(CapabilityError::Vault {
                attempt: "kept",
                source,
            }
            .into()),
        }
    }

    async fn recall(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.call.permit("vault.recall")?;
        let Some((values, directory)) = &self.opened else {
            return Ok(None);
        };
        let Some(sealed) = values.remembered(&name).await.map_err(unread)? else {
            return Ok(None);
        };
        let value = directory
            .open(Purpose::Memory, &name, &sealed)
            .map_err(|error| unread(error.into()))?;
        Ok(Some(value.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use idsync_model::{DirectoryId, ErrorKind};

    use super::vault::Host;
    use super::*;
    use crate::keys::MasterKey;

    #[derive(Default)]
    struct InMemory {
        secrets: BTreeMap<String, Vec<u8>>,
        remembered: Mutex<BTreeMap<String, Vec<u8>>>,
        is_away: bool,
        is_over: bool,
    }

    #[async_trait]
    impl SealedValues for InMemory {
        async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, SealedValuesError> {
            Ok(self.secrets.get(name).cloned())
        }
        async fn remembered(&self, name: &str) -> Result<Option<Vec<u8>>, SealedValuesError> {
            if self.is_away {
                return Err("the database is away".into());
            }
            Ok(self.remembered.lock().unwrap().get(name).cloned())
        }
        async fn remember(
            &self,
            name: &str,
            sealed: Option<Vec<u8>>,
            plain_bytes: u64,
            limit_bytes: u64,
        ) -> Result<(), RememberError> {
            if self.is_over {
                return Err(RememberError::RunOver("the run lost its lease".into()));
            }
            let mut remembered = self.remembered.lock().unwrap();
            let others: usize = remembered
                .iter()
                .filter(|(other, _)| *other != name)
                .map(|(other, sealed)| other.len() + sealed.len() - DirectorySealer::OVERHEAD_BYTES)
                .sum();
            if (others + name.len()) as u64 + plain_bytes > limit_bytes {
                return Err(RememberError::Full);
            }
            match sealed {
                Some(sealed) => remembered.insert(name.to_owned(), sealed),
                None => remembered.remove(name),
            };
            Ok(())
        }
    }

    fn sealer() -> DirectorySealer {
        MasterKey::from_text(&"5a".repeat(32))
            .unwrap()
            .directory_sealer(DirectoryId::generate())
    }

    #[tokio::test]
    async fn what_is_remembered_is_recalled_and_sealed_at_rest() {
        let values = Arc::new(InMemory::default());
        let mut vault = VaultCtx::new(CallKind::Sync, values.clone(), sealer());
        vault.remember("apps".to_owned(), b"0oa1".to_vec()).await.unwrap();
        assert_eq!(vault.recall("apps".to_owned()).await.unwrap().unwrap(), b"0oa1");
        assert!(
            !values.remembered.lock().unwrap()["apps"]
                .windows(4)
                .any(|w| w == b"0oa1")
        );
        vault.remember("apps".to_owned(), Vec::new()).await.unwrap();
        assert_eq!(vault.recall("apps".to_owned()).await.unwrap(), None);
        assert!(values.remembered.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_secret_is_given_as_the_admin_entered_it() {
        let sealer = sealer();
        let secrets = [(
            "token".to_owned(),
            sealer.seal(Purpose::Secret, "token", "pässword".as_bytes()),
        )];
        let values = Arc::new(InMemory {
            secrets: secrets.into(),
            ..InMemory::default()
        });
        let mut vault = VaultCtx::new(CallKind::Verify, values, sealer);
        assert_eq!(
            vault.secret("token".to_owned()).await.unwrap().as_deref(),
            Some("pässword")
        );
        assert_eq!(vault.secret("other".to_owned()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn all_values_together_have_a_limit() {
        let mut vault = VaultCtx::new(CallKind::Sync, Arc::new(InMemory::default()), sealer());
        let half = usize::try_from(MEMORY_LIMIT_BYTES / 2).unwrap();
        vault.remember("a".to_owned(), vec![1; half - 1]).await.unwrap();
        vault.remember("b".to_owned(), vec![1; half - 1]).await.unwrap();
        vault.remember("b".to_owned(), vec![2; half - 1]).await.unwrap();
        let error = vault.remember("c".to_owned(), vec![1]).await.unwrap_err();
        assert_eq!(crate::error::failure_in(&error, "sync").kind, ErrorKind::Plugin);
    }

    #[tokio::test]
    async fn a_flood_of_values_ends_the_call() {
        let mut vault = VaultCtx::new(CallKind::Sync, Arc::new(InMemory::default()), sealer());
        for n in 0..REMEMBER_LIMIT {
            vault
                .remember("nonce".to_owned(), n.to_le_bytes().to_vec())
                .await
                .unwrap();
        }
        let error = vault.remember("nonce".to_owned(), vec![1]).await.unwrap_err();
        let failure = crate::error::failure_in(&error, "sync");
        assert_eq!(failure.kind, ErrorKind::Plugin);
        assert!(failure.summary.contains("1000"), "{}", failure.summary);
        let last = vault.recall("nonce".to_owned()).await.unwrap().unwrap();
        assert_eq!(last, (REMEMBER_LIMIT - 1).to_le_bytes());
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_the_hosts_fault() {
        let values = Arc::new(InMemory {
            is_away: true,
            ..InMemory::default()
        });
        let mut vault = VaultCtx::new(CallKind::Sync, values, sealer());
        let error = vault.recall("apps".to_owned()).await.unwrap_err();
        let failure = crate::error::failure_in(&error, "sync");
        assert_eq!(failure.kind, ErrorKind::Host);
        assert!(
            failure.summary.ends_with("the database is away"),
            "{}",
            failure.summary
        );
    }

    #[tokio::test]
    async fn runs_6_3_a_run_that_lost_its_lease_remembers_nothing() {
        let values = Arc::new(InMemory {
            is_over: true,
            ..InMemory::default()
        });
        let mut vault = VaultCtx::new(CallKind::Sync, values.clone(), sealer());
        let error = vault
            .remember("apps".to_owned(), b"0oa1".to_vec())
            .await
            .unwrap_err();
        let failure = crate::error::failure_in(&error, "sync");
        assert_eq!(failure.kind, ErrorKind::Host);
        assert!(failure.hint.contains("run list"), "{}", failure.hint);
        assert!(
            failure.summary.ends_with("the run lost its lease"),
            "{}",
            failure.summary
        );
        assert!(values.remembered.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn describe_and_normalize_have_no_vault() {
        for call in [CallKind::Describe, CallKind::Normalize] {
            let mut vault = VaultCtx::empty(call);
            let error = vault.secret("token".to_owned()).await.unwrap_err();
            let failure = crate::error::failure_in(&error, call.as_str());
            assert!(failure.summary.contains("vault.secret"), "{}", failure.summary);
        }
    }
}
