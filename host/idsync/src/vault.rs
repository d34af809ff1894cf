//! A directory's sealed values in the store, as the vault of its plugin asks for them.

use async_trait::async_trait;
use idsync_capability::vault::{RememberError, SealedValues, SealedValuesError};
use idsync_store::{DirectoryVault, Sealed, StoreError};

/// The sealed values of one directory.
pub struct StoredValues(pub DirectoryVault);

/// The same, where no person asks: what the plugin keeps is accepted and dropped. What a plugin keeps while it verifies
/// stands for a person's word, such as that an app is no longer to be seen on purpose.
pub struct UnchangedValues(pub StoredValues);

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

#[async_trait]
impl SealedValues for UnchangedValues {
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, SealedValuesError> {
        self.0.secret(name).await
    }

    async fn remembered(&self, name: &str) -> Result<Option<Vec<u8>>, SealedValuesError> {
        self.0.remembered(name).await
    }

    async fn remember(&self, _: &str, _: Option<Vec<u8>>, _: u64, _: u64) -> Result<(), RememberError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use idsync_model::{Clock as _, DirectoryId, Settings, SystemClock, TenantName};
    use idsync_store::{NewDirectory, SealedSecret, SqliteStore, Store};

    use super::*;

    #[tokio::test]
    async fn runs_7_4_what_a_plugin_keeps_while_the_host_verifies_by_itself_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let store: Arc<dyn Store> = SqliteStore::open(folder.path(), clock.clone()).unwrap();
        let tenant: TenantName = "default".parse().unwrap();
        let new = NewDirectory {
            id: DirectoryId::generate(),
            provider: "okta".to_owned(),
            name: "acme".to_owned(),
            settings: Settings::default(),
            secrets: vec![SealedSecret {
                name: "token".to_owned(),
                value: Some(Sealed(b"sealed".to_vec())),
            }],
            key: None,
            created_at: clock.now(),
        };
        let directory = store.add_directory(&tenant, new).await.unwrap().id;
        let values = || {
            StoredValues(DirectoryVault::new(
                Arc::clone(&store),
                tenant.clone(),
                directory.clone(),
            ))
        };
        let by_person = values();
        let seen = b"two apps".to_vec();
        by_person
            .remember("apps", Some(seen.clone()), 8, 100)
            .await
            .unwrap();

        let by_host = UnchangedValues(values());
        by_host
            .remember("apps", Some(b"one app".to_vec()), 7, 100)
            .await
            .unwrap();
        by_host.remember("apps", None, 0, 100).await.unwrap();

        assert_eq!(by_host.remembered("apps").await.unwrap(), Some(seen.clone()));
        assert_eq!(by_host.secret("token").await.unwrap(), Some(b"sealed".to_vec()));
        assert_eq!(by_person.remembered("apps").await.unwrap(), Some(seen));
    }
}
