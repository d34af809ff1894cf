//! `key-store`: keys that a plugin uses and never sees.

mod jwt;
mod master;
mod pair;
mod seal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use idsync_model::{Clock, KeyAlgorithm};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

pub use master::{MacKey, MasterKey, MasterKeyError};
pub use pair::{KeyPair, KeyPairError, NewKeyPair, public_pem};
pub use seal::{DirectorySealer, OpenError, Purpose};

use crate::bindings::key_store as wit;
use crate::egress::EgressGrant;
use crate::{CallKind, CapabilityError};

/// Signatures and keys of its own that one call may have made: two for each request that it may send.
pub const SIGNATURE_LIMIT: u64 = 2_000_000;

/// A key that a guest holds a handle to.
pub struct SigningKey {
    pair: Arc<KeyPair>,
    is_the_directorys: bool,
}

/// The keys of one call.
pub struct KeysCtx {
    call: CallKind,
    directory_key: Option<Arc<KeyPair>>,
    grant: EgressGrant,
    clock: Arc<dyn Clock>,
    signatures: u64,
    signature_limit: u64,
}

impl KeysCtx {
    /// The directory's key, where it has one, and the hosts that a signed JWT may be meant for. What lies far ahead of
    /// `clock` is not signed.
    pub fn new(
        call: CallKind,
        directory_key: Option<Arc<KeyPair>>,
        grant: EgressGrant,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            call,
            directory_key,
            grant,
            clock,
            signatures: 0,
            signature_limit: SIGNATURE_LIMIT,
        }
    }

    /// Lets the call have as many signatures made, in place of [`SIGNATURE_LIMIT`].
    #[must_use]
    pub fn with_signature_limit(mut self, limit: u64) -> Self {
        self.signature_limit = limit;
        self
    }

    /// Counts work with a key, for which the guest's own time does not count.
    fn count_signature(&mut self) -> Result<(), CapabilityError> {
        if self.signatures >= self.signature_limit {
            return Err(CapabilityError::Limit {
                what: "signatures and keys of its own making",
                limit: self.signature_limit,
            });
        }
        self.signatures += 1;
        Ok(())
    }
}

/// The context with the handles of its guest.
pub struct KeysCtxView<'a> {
    /// The context of this call.
    pub ctx: &'a mut KeysCtx,
    /// The guest's handles.
    pub table: &'a mut ResourceTable,
}

/// How a store's state lends the capability.
pub trait KeysView: Send {
    /// The context of this call.
    fn keys(&mut self) -> KeysCtxView<'_>;
}

struct HasKeys;

impl HasData for HasKeys {
    type Data<'a> = KeysCtxView<'a>;
}

/// Links `key-store`.
pub fn add_to_linker<T: KeysView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, HasKeys>(linker, T::keys)
}

impl wit::Host for KeysCtxView<'_> {
    fn directory_key(&mut self) -> wasmtime::Result<Result<Resource<SigningKey>, wit::KeyError>> {
        self.ctx.call.permit("key-store.directory-key")?;
        let Some(pair) = self.ctx.directory_key.clone() else {
            return Ok(Err(wit::KeyError::Unavailable(
                "the directory has no key: its provider's description asks for none".to_owned(),
            )));
        };
        let key = SigningKey {
            pair,
            is_the_directorys: true,
        };
        Ok(Ok(self.table.push(key)?))
    }

    fn ephemeral_key(
        &mut self,
        algorithm: wit::Algorithm,
    ) -> wasmtime::Result<Result<Resource<SigningKey>, wit::KeyError>> {
        self.ctx.call.permit("key-store.ephemeral-key")?;
        let wit::Algorithm::Es256 = algorithm else {
            return Ok(Err(wit::KeyError::NotAllowed(
                "ephemeral keys are es256: making an rsa key takes seconds of the host's time".to_owned(),
            )));
        };
        self.ctx.count_signature()?;
        let pair = match KeyPair::ephemeral() {
            Ok(pair) => Arc::new(pair),
            Err(error) => return Ok(Err(wit::KeyError::Unavailable(error.to_string()))),
        };
        let key = SigningKey {
            pair,
            is_the_directorys: false,
        };
        Ok(Ok(self.table.push(key)?))
    }
}

impl wit::HostSigningKey for KeysCtxView<'_> {
    fn algorithm(&mut self, key: Resource<SigningKey>) -> wasmtime::Result<wit::Algorithm> {
        Ok(match self.table.get(&key)?.pair.algorithm() {
            KeyAlgorithm::Rs256 => wit::Algorithm::Rs256,
            KeyAlgorithm::Es256 => wit::Algorithm::Es256,
        })
    }

    fn public_jwk(&mut self, key: Resource<SigningKey>) -> wasmtime::Result<String> {
        let key = self.table.get(&key)?;
        Ok(if key.is_the_directorys {
            key.pair.public_jwk()
        } else {
            pair::json_text(&key.pair.bare_jwk())
        })
    }

    fn thumbprint(&mut self, key: Resource<SigningKey>) -> wasmtime::Result<String> {
        Ok(self.table.get(&key)?.pair.kid().to_owned())
    }

    fn sign_jwt(
        &mut self,
        key: Resource<SigningKey>,
        claims: String,
        options: wit::JwtOptions,
    ) -> wasmtime::Result<Result<String, wit::KeyError>> {
        self.ctx.count_signature()?;
        let key = self.table.get(&key)?;
        let KeysCtx { grant, clock, .. } = &*self.ctx;
        Ok(jwt::sign(key, &claims, &options, grant, clock.now()))
    }

    fn drop(&mut self, key: Resource<SigningKey>) -> wasmtime::Result<()> {
        self.table.delete(key)?;
        Ok(())
    }
}
