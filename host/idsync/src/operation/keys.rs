//! A directory's keys: showing their public halves, replacing one by another without a gap.

use idsync_capability::keys::{DirectorySealer, NewKeyPair, public_pem};
use idsync_model::KeyAlgorithm;
use idsync_store::{NewKey, Sealed, SigningKey};
use serde_json::Value;

use super::view::{DirectoryView, view};
use crate::app::{App, spawn_blocking};
use crate::error::{CommandError, Kind};

/// The public half of a key.
#[derive(Debug)]
pub struct PublicKey {
    /// The key's id.
    pub kid: String,
    /// As a JWK.
    pub jwk: Value,
    /// As PEM.
    pub pem: String,
}

/// The public halves of a directory's keys.
#[derive(Debug)]
pub struct PublicKeys {
    /// The key that runs use.
    pub current: PublicKey,
    /// The one that takes its place once it is verified.
    pub next: Option<PublicKey>,
}

/// The public halves of a directory's keys.
pub async fn public_keys(app: &App, id_or_name: &str) -> Result<PublicKeys, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    let keys = app.store().signing_keys(app.tenant(), &directory.id).await?;
    let Some(current) = keys.current else {
        return Err(without_key(&directory.name, &directory.provider));
    };
    Ok(PublicKeys {
        current: public(&current)?,
        next: keys.next.as_ref().map(public).transpose()?,
    })
}

/// Makes a second key, which takes the first one's place when it is verified (RUNS §7.2).
pub async fn rotate(app: &App, id_or_name: &str) -> Result<DirectoryView, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    let plugin = app.plugin(&directory.provider).await?;
    let Some(algorithm) = plugin.description().key else {
        return Err(without_key(&directory.name, &directory.provider));
    };
    let key = new_key(algorithm, app.master_key().directory_sealer(directory.id.clone())).await?;
    let directory = app.store().add_next_key(app.tenant(), &directory.id, key).await?;
    view(app, directory, Some(plugin.description())).await
}

/// Erases the second key.
pub async fn abort_rotation(app: &App, id_or_name: &str) -> Result<DirectoryView, CommandError> {
    let directory = app.store().directory(app.tenant(), id_or_name).await?;
    let directory = app.store().drop_next_key(app.tenant(), &directory.id).await?;
    view(app, directory, None).await
}

/// A new key pair, its private half sealed.
pub async fn new_key(algorithm: KeyAlgorithm, sealer: DirectorySealer) -> Result<NewKey, CommandError> {
    let made = spawn_blocking(move || NewKeyPair::generate(algorithm, &sealer))
        .await?
        .map_err(|error| CommandError::host(&error, "Try again; report this if it happens again."))?;
    Ok(NewKey {
        kid: made.kid,
        algorithm: made.algorithm,
        public_jwk: made.public_jwk,
        sealed_private: Sealed(made.sealed_private),
    })
}

fn public(key: &SigningKey) -> Result<PublicKey, CommandError> {
    Ok(PublicKey {
        kid: key.kid.clone(),
        jwk: serde_json::from_str(&key.public_jwk).map_err(|error| unreadable_key(&error))?,
        pem: public_pem(&key.public_jwk).map_err(|error| unreadable_key(&error))?,
    })
}

fn without_key(name: &str, provider: &str) -> CommandError {
    CommandError::new(
        Kind::Usage,
        format!("directory `{name}` has no key"),
        format!("The provider `{provider}` works without one."),
    )
}

/// A key of the store that is no key.
pub fn unreadable_key(error: &(dyn std::error::Error + 'static)) -> CommandError {
    CommandError::host(
        error,
        "The stored key can't be read: restore the data directory from a backup.",
    )
}
