//! Tenants and directories as the store keeps them.

use std::fmt;

use idsync_model::{
    DeleteLimits, DirectoryId, DirectoryState, DisabledReason, KeyAlgorithm, Settings, StoredCounts,
    TenantName, UnixMillis,
};

use crate::{Failing, Lease, RunRecord, Times};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: TenantName,
    /// When it was added.
    pub created_at: UnixMillis,
    /// How many directories it has.
    pub directories: u64,
}

/// Bytes that only the holder of the master key can open. They have no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// A secret setting to be stored, or erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// The setting.
    pub name: String,
    /// Its value; `None` erases it.
    pub value: Option<Sealed>,
}

/// Which value of a secret setting is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecretOf {
    /// The one that runs use.
    #[default]
    Verified,
    /// The one that the next verification is of: what waits for it, else the present one.
    Next,
}

/// A key pair to be stored with a new directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The key's id, as in its JWK.
    pub kid: String,
    /// How it signs.
    pub algorithm: KeyAlgorithm,
    /// The public half: the JSON text of a JWK.
    pub public_jwk: String,
    /// The private half.
    pub sealed_private: Sealed,
}

/// The key pair of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The key's id, as in its JWK.
    pub kid: String,
    /// How it signs.
    pub algorithm: KeyAlgorithm,
    /// The public half: the JSON text of a JWK.
    pub public_jwk: String,
    /// The private half.
    pub sealed_private: Sealed,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// The key pairs of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SigningKeys {
    /// The one that runs use.
    pub current: Option<SigningKey>,
    /// The one that takes its place when it is verified.
    pub next: Option<SigningKey>,
}

/// What a directory begins with. It is a draft.
#[derive(Debug, Clone)]
pub struct NewDirectory {
    /// Its id.
    pub id: DirectoryId,
    /// The kind of provider.
    pub provider: String,
    /// Its name, unique in the tenant.
    pub name: String,
    /// Its settings that are no secret.
    pub settings: Settings,
    /// Its secret settings.
    pub secrets: Vec<SealedSecret>,
    /// Its key pair, where the provider needs one.
    pub key: Option<NewKey>,
    /// When it is added.
    pub created_at: UnixMillis,
}

/// What the last successful verification stood for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The settings that were verified.
    pub settings: Settings,
    /// A digest of all that was verified: settings, secrets, key, plugin's major version. The store only compares it.
    pub fingerprint: String,
    /// The version of the plugin that verified.
    pub plugin_version: String,
    /// The org that answered.
    pub org_id: Option<String>,
    /// The parts of the org that the settings sync, by the provider's ids; all of the org where it is empty. No two
    /// directories of a tenant share one. It is empty too where the verification is older than the keeping of parts.
    pub scope: Vec<String>,
    /// The id of the key that signed, where the provider needs one.
    pub kid: Option<String>,
    /// The hosts that the settings reach, each as `HOST:PORT`. Unknown where the verification is older than their keeping.
    pub hosts: Option<Vec<String>>,
    /// When.
    pub at: UnixMillis,
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Its id.
    pub id: DirectoryId,
    /// The tenant it belongs to.
    pub tenant: TenantName,
    /// The kind of provider.
    pub provider: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: DirectoryState,
    /// Why it is disabled, where it is.
    pub disabled_reason: Option<DisabledReason>,
    /// Its settings that are no secret.
    pub settings: Settings,
    /// Raised by each change of its settings, secrets and keys. A verification counts only for the mark that it began with.
    pub settings_mark: u64,
    /// The names of its secret settings, those that wait for a verification among them.
    pub secret_names: Vec<String>,
    /// The names of secret settings that were set or erased since the last verification.
    pub waiting_secrets: Vec<String>,
    /// The id of the key that takes the present one's place when it is verified.
    pub next_key: Option<String>,
    /// What was last verified.
    pub verified: Option<Verified>,
    /// Its newest run, of whatever outcome.
    pub last_run: Option<RunRecord>,
    /// The end of its last run that succeeded, dry runs aside. It is known even when the run's record is purged.
    pub last_success_at: Option<UnixMillis>,
    /// Since when its plans have been held, without an apply between.
    pub held_since: Option<UnixMillis>,
    /// When the last full read that was applied began.
    pub last_full_at: Option<UnixMillis>,
    /// The version of the plugin that made it.
    pub last_full_plugin_version: Option<String>,
    /// The contract that this plugin kept.
    pub last_full_contract: Option<String>,
    /// Whether the next run must be full whatever its time (RUNS: changes of settings, key or plugin; held plans).
    pub full_run_due: bool,
    /// Raised by every apply, purge and removal, and by a verification of other settings or of another org. A plan of
    /// an older generation is never applied.
    pub generation: u64,
    /// How much a plan may delete without a person's word.
    pub limits: DeleteLimits,
    /// What decides when it runs next.
    pub times: Times,
    /// How its runs fail now.
    pub failing: Option<Failing>,
    /// Who runs it now.
    pub lease: Option<Lease>,
    /// What readers see of it.
    pub counts: StoredCounts,
    /// When it was added.
    pub created_at: UnixMillis,
}
