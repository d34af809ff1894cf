//! A directory's sealed values in the store, as the vault of its plugin asks for them.

use async_trait::async_trait;
use idsync_capability::vault::{RememberError, SealedValues, SealedValuesError};
use idsync_store::{DirectoryVault, Sealed, StoreError};

/// The sealed values of one directory.
pub struct StoredValues(pub DirectoryVault);

#[async_trait]
impl SealedValues for StoredValues {
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, SealedValuesError> {
        Ok(self.0.secret(name).await?.map(|sealed| sealed.0))
    }

    async fn remembered(&self, name: &str) -> Result<Option<Vec<u8>>, SealedValuesError> {
        Ok(self.0.recall(name).await?.map(|sealed| sealed.0))
    }

    async fn remember(
        &self,
        name: &str,
        sealed: Option<Vec<u8>>,
        plain_bytes: u64,
        limit_bytes: u64,
    ) -> Result<(), RememberError> {
        match self
            .0
            .remember(name, sealed.map(Sealed), plain_bytes, limit_bytes)
            .await
        {
            Err(StoreError::VaultFull { .. }) => Err(RememberError::Full),
            Err(error @ (StoreError::RunEnded { .. } | StoreError::LeaseLost { .. })) => {
                Err(RememberError::RunOver(error.into()))
            }
            other => other.map_err(|error| RememberError::Store(error.into())),
        }
    }
}
