//! A loaded plugin: what it is, and how it is bound to a directory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use idsync_capability::ProviderPre;
use idsync_capability::egress::{GrantError, HostPort};
use idsync_model::{Description, Settings};
use serde::Serialize;

use crate::bound::{BoundPlugin, Grants};
use crate::call::Guest;
use crate::contract::Offer;
use crate::describe;
use crate::digest::Digest;
use crate::error::SandboxError;
use crate::sandbox::{Floor, off_the_executor};

/// A plugin that was checked and has said what it is.
pub struct Plugin {
    pub(crate) floor: Arc<Floor>,
    pub(crate) pre: ProviderPre<Guest>,
    path: PathBuf,
    digest: Digest,
    size_bytes: u64,
    imports: Vec<String>,
    contract: String,
    description: Description,
}

/// What `idsync plugin inspect` shows of a plugin.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// What it says of itself.
    #[serde(flatten)]
    pub description: Description,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The size of its file, in bytes.
    pub size_bytes: u64,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("path", &self.path)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Asks a component what it is, and refuses it when the answer can't be relied on.
    pub(crate) async fn ask(
        floor: Arc<Floor>,
        path: &Path,
        pre: ProviderPre<Guest>,
        digest: Digest,
        size_bytes: u64,
        offer: Offer,
    ) -> Result<Self, SandboxError> {
        let description = BoundPlugin::describe_unbound(&floor, &pre, path)
            .await
            .map_err(|source| SandboxError::Describe {
                path: path.to_owned(),
                source: Box::new(source),
            })?;
        let (description, problems) = off_the_executor(move || {
            let problems = describe::problems(&description);
            (description, problems)
        })
        .await;
        if !problems.is_empty() {
            return Err(SandboxError::Description {
                path: path.to_owned(),
                problems,
            });
        }
        Ok(Self {
            floor,
            pre,
            path: path.to_owned(),
            digest,
            size_bytes,
            imports: offer.imports,
            contract: offer.contract,
            description,
        })
    }

    /// What it says of itself, checked.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The contract that it was built against, as the name of the package and its version: `idsync:plugin@0.1.0`.
    pub fn contract(&self) -> &str {
        &self.contract
    }

    /// The hosts that a directory with these settings reaches, each as `HOST:PORT`, in order. An error says what is
    /// wrong with the setting, or with the description, that names a host.
    pub fn hosts(&self, settings: &Settings) -> Result<Vec<String>, GrantError> {
        let grant = self.floor.egress.grant(&self.description, settings)?;
        Ok(grant.hosts().map(HostPort::with_port).collect())
    }

    /// SHA-256 of its file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The file that it was loaded from first.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All that there is to show of it.
    pub fn inspect(&self) -> Inspection {
        Inspection {
            description: self.description.clone(),
            imports: self.imports.clone(),
            size_bytes: self.size_bytes,
            digest: self.digest.to_string(),
        }
    }

    /// The plugin as the provider of one directory, with what that directory grants it.
    pub fn bind(self: &Arc<Self>, grants: Grants) -> BoundPlugin {
        BoundPlugin::new(Arc::clone(self), grants)
    }
}
