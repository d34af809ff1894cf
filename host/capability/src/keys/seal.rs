//! Sealing: what the store keeps of secrets is encrypted, and bound to one directory, one purpose and one name.

use std::sync::Arc;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use idsync_model::DirectoryId;
use zeroize::Zeroizing;

/// The first byte of sealed bytes: which way of sealing it is.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// What a sealed value is for. A value sealed for one purpose does not open for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The private half of a key pair; the name is its `kid`.
    PrivateKey,
    /// A secret setting.
    Secret,
    /// A value that a plugin remembers.
    Memory,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::PrivateKey => "private-key",
            Self::Secret => "secret",
            Self::Memory => "memory",
        }
    }
}

/// Sealed bytes that do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sealed value could not be opened: it was sealed with another master key or for another directory, or it is \
     damaged; restore the data directory and its master key from the same backup"
)]
pub struct OpenError;

/// Encrypts with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) under one key.
#[derive(Clone)]
pub(super) struct Sealer {
    cipher: Arc<XChaCha20Poly1305>,
}

impl Sealer {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            cipher: Arc::new(XChaCha20Poly1305::new(key.into())),
        }
    }

    /// `bound` is not kept in what is sealed, and must be the same to open it.
    pub(super) fn seal(&self, bound: &[&str], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).expect("a system without randomness can't seal anything");
        let aad = bound_bytes(bound);
        let sealed = self
            .cipher
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: plain,
                    aad: &aad,
                },
            )
            .expect("a value shorter than 256 GiB can be encrypted");
        [&[VERSION], nonce.as_slice(), &sealed].concat()
    }

    pub(super) fn open(&self, bound: &[&str], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (version, rest) = sealed.split_first().ok_or(OpenError)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
        if *version != VERSION {
            return Err(OpenError);
        }
        let aad = bound_bytes(bound);
        self.cipher
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: sealed,
                    aad: &aad,
                },
            )
            .map(Zeroizing::new)
            .map_err(|_| OpenError)
    }
}

/// Each part with its length before it, so that no two lists of parts give the same bytes.
fn bound_bytes(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// Seals and opens the values of one directory.
#[derive(Clone)]
pub struct DirectorySealer {
    sealer: Sealer,
    directory: DirectoryId,
}

impl DirectorySealer {
    /// Bytes by which a sealed value is longer than the plain one.
    pub const OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

    pub(super) fn new(sealer: Sealer, directory: DirectoryId) -> Self {
        Self { sealer, directory }
    }

    /// Seals a value under its name.
    pub fn seal(&self, purpose: Purpose, name: &str, plain: &[u8]) -> Vec<u8> {
        self.sealer.seal(&self.bound(purpose, name), plain)
    }

    /// Opens what was sealed for this directory, purpose and name.
    pub fn open(&self, purpose: Purpose, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.sealer.open(&self.bound(purpose, name), sealed)
    }

    fn bound<'a>(&'a self, purpose: Purpose, name: &'a str) -> [&'a str; 4] {
        ["directory", self.directory.as_str(), purpose.word(), name]
    }
}
