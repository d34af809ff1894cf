//! The master key: where it comes from, how it is checked, and the keys that are derived from it.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use idsync_model::DirectoryId;
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::seal::{DirectorySealer, Sealer};

const KEY_BYTES: usize = 32;
const KEY_FILE: &str = "master.key";
const CHECK_FILE: &str = "master.check";
/// More than a key file can have, in bytes.
const FILE_LIMIT_BYTES: u64 = 4_096;
/// What the check file holds, sealed.
const CHECK_TEXT: &[u8] = b"idsync master key";

/// Why there is no master key to work with.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The text given is no key.
    #[error("the master key could not be read: IDSYNC_MASTER_KEY is not 32 bytes in hexadecimal or base64")]
    NotAKey,
    /// The key file holds no key.
    #[error("the master key could not be read: {} holds no key", path.display())]
    FileWithoutKey {
        /// The key file.
        path: PathBuf,
    },
    /// Others may read the key file.
    #[error(
        "the master key in {path} is not used, because others can read it (mode {mode:03o})",
        path = path.display()
    )]
    OpenToOthers {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Someone else can change the key file.
    #[error(
        "the master key in {path} is not used, because it belongs to the user with the id {owner} and idsync runs as \
         {user}", path = path.display()
    )]
    OfAnotherUser {
        /// The key file.
        path: PathBuf,
        /// The id of its owner.
        owner: u32,
        /// The id that this process works under.
        user: u32,
    },
    /// What stands in the place of the key file is a link, a folder or a device.
    #[error(
        "the master key in {path} is not used, because it is no file of its own but a link, a folder or a device",
        path = path.display()
    )]
    NotAFile {
        /// The key file.
        path: PathBuf,
    },
    /// The values of this data directory were sealed with another key.
    #[error(
        "the master key does not fit the data directory {}: its keys and secrets were sealed with another one",
        data_dir.display()
    )]
    DoesNotFit {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// Values were sealed with a key that is no longer there.
    #[error(
        "there is no master key, and the data directory {} holds values that were sealed with one",
        data_dir.display()
    )]
    Missing {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// A file could not be read or written.
    #[error("the master key could not be kept or read: {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl MasterKeyError {
    /// What to do about it.
    pub fn hint(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NotAKey => {
                "Give it 64 hexadecimal digits or the base64 of 32 bytes; `openssl rand -base64 32` makes one."
            }
            Self::FileWithoutKey { .. } => "Restore it from a backup.",
            Self::OpenToOthers { path, .. } => {
                return Cow::Owned(format!(
                    "Run `chmod 600 {}`, and make new directory keys if someone may have seen it.",
                    path.display()
                ));
            }
            Self::OfAnotherUser { path, user, .. } => {
                return Cow::Owned(format!(
                    "Run idsync as that user, or run `chown {user} {}` as root, and make new directory keys if that \
                     user should not have seen it.",
                    path.display()
                ));
            }
            Self::NotAFile { .. } => "Put the key file itself there, or give the key in IDSYNC_MASTER_KEY.",
            Self::DoesNotFit { .. } => "Set IDSYNC_MASTER_KEY to that one, or restore its master.key.",
            Self::Missing { .. } => "Set IDSYNC_MASTER_KEY, or restore its master.key from a backup.",
            Self::File { .. } => {
                "Check that the disk is not full, and that the file and its folder belong to this user."
            }
        })
    }
}

/// The key from which all others are derived. It has no `Debug`, and is wiped from memory when it is dropped.
pub struct MasterKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl MasterKey {
    /// The master key of a data directory: `text` (of `IDSYNC_MASTER_KEY`) where there is one, else the file
    /// `master.key`, which is made at the first start. The key is checked against what the directory was sealed with.
    pub fn open(data_dir: &Path, text: Option<&str>) -> Result<Self, MasterKeyError> {
        let check_path = data_dir.join(CHECK_FILE);
        let check = read_if_there(&check_path)?;
        let key = match text {
            Some(text) => Self::from_text(text)?,
            None => Self::from_file(data_dir, check.is_some())?,
        };
        if let Some(check) = check {
            key.check(data_dir, &check)?;
        } else if !publish(&check_path, &key.sealer().seal(&["check"], CHECK_TEXT))? {
            // Another process was first.
            let check = read_if_there(&check_path)?.unwrap_or_default();
            key.check(data_dir, &check)?;
        }
        Ok(key)
    }

    fn check(&self, data_dir: &Path, check: &[u8]) -> Result<(), MasterKeyError> {
        match self.sealer().open(&["check"], check) {
            Ok(text) if text.as_slice() == CHECK_TEXT => Ok(()),
            _ => Err(MasterKeyError::DoesNotFit {
                data_dir: data_dir.to_owned(),
            }),
        }
    }

    /// Reads 32 bytes from hexadecimal digits or base64 (either alphabet, padded or not).
    pub fn from_text(text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        let bytes = Zeroizing::new(
            from_hex(text)
                .or_else(|| {
                    [
                        &BASE64_STANDARD,
                        &BASE64_STANDARD_NO_PAD,
                        &BASE64_URL_SAFE,
                        &BASE64_URL_SAFE_NO_PAD,
                    ]
                    .iter()
                    .find_map(|engine| engine.decode(text).ok())
                })
                .unwrap_or_default(),
        );
        let bytes = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| MasterKeyError::NotAKey)?;
        Ok(Self {
            bytes: Zeroizing::new(bytes),
        })
    }

    fn from_file(data_dir: &Path, must_exist: bool) -> Result<Self, MasterKeyError> {
        let path = data_dir.join(KEY_FILE);
        let mut file = open_private(&path)?;
        if file.is_none() && !must_exist {
            let mut bytes = Zeroizing::new([0; KEY_BYTES]);
            getrandom::fill(bytes.as_mut()).expect("a system without randomness can't make keys");
            let text = Zeroizing::new(format!("{}\n", BASE64_STANDARD.encode(bytes.as_slice())));
            publish(&path, text.as_bytes())?;
            file = open_private(&path)?;
        }
        let Some(file) = file else {
            return Err(MasterKeyError::Missing {
                data_dir: data_dir.to_owned(),
            });
        };
        let unread = |source| MasterKeyError::File {
            path: path.clone(),
            source,
        };
        let found = file.metadata().map_err(unread)?;
        if !found.is_file() {
            return Err(MasterKeyError::NotAFile { path });
        }
        check_access(
            &path,
            found.mode(),
            found.uid(),
            rustix::process::geteuid().as_raw(),
        )?;
        let mut text = Zeroizing::new(Vec::new());
        file.take(FILE_LIMIT_BYTES)
            .read_to_end(&mut text)
            .map_err(unread)?;
        let text = Zeroizing::new(String::from_utf8_lossy(&text).into_owned());
        Self::from_text(&text).map_err(|_| MasterKeyError::FileWithoutKey { path })
    }

    /// What seals and opens the values of one directory.
    pub fn directory_sealer(&self, directory: DirectoryId) -> DirectorySealer {
        DirectorySealer::new(self.sealer(), directory)
    }

    /// The key that vouches for the cache of compiled components.
    pub fn component_cache_key(&self) -> MacKey {
        MacKey {
            key: self.derive("component cache"),
        }
    }

    fn sealer(&self) -> Sealer {
        Sealer::new(&self.derive("sealing"))
    }

    /// HKDF with SHA-256 (RFC 5869); the purpose is its `info`.
    fn derive(&self, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::new(Some(b"idsync 1"), self.bytes.as_slice())
            .expand(purpose.as_bytes(), key.as_mut())
            .expect("HKDF with SHA-256 gives up to 8,160 bytes");
        key
    }
}

/// A key for HMAC with SHA-256 (RFC 2104). It has no `Debug`.
pub struct MacKey {
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl MacKey {
    /// The code of a message that is given in parts, whose borders count.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.mac(parts).finalize().into_bytes().into()
    }

    /// Whether `tag` is the code of the message, in a time that does not depend on where they differ.
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.mac(parts).verify_slice(tag).is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(self.key.as_slice()).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
        return None;
    }
    (0..KEY_BYTES)
        .map(|n| u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok())
        .collect()
}

/// Opens the key file, where there is one, and no other that a link in its place leads to. All that is asked about it
/// is asked of this handle: what stands under the name may change meanwhile.
fn open_private(path: &Path) -> Result<Option<fs::File>, MasterKeyError> {
    // Without `NONBLOCK`, opening a named pipe waits for someone who writes to it.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => Err(MasterKeyError::NotAFile {
            path: path.to_owned(),
        }),
        Err(source) => Err(MasterKeyError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether the key file with this mode and this owner is kept from others by `user`, who runs this process.
pub(super) fn check_access(path: &Path, mode: u32, owner: u32, user: u32) -> Result<(), MasterKeyError> {
    let path = path.to_owned();
    let mode = mode & 0o777;
    if owner != user {
        Err(MasterKeyError::OfAnotherUser { path, owner, user })
    } else if mode & 0o077 != 0 {
        Err(MasterKeyError::OpenToOthers { path, mode })
    } else {
        Ok(())
    }
}

fn read_if_there(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, MasterKeyError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(MasterKeyError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Writes a file with mode 0600 that is there whole or not at all. False where it was there already: then nothing is
/// written.
fn publish(path: &Path, bytes: &[u8]) -> Result<bool, MasterKeyError> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).expect("a system without randomness can't make keys");
    let draft = path.with_extension(format!("{:016x}.new", u64::from_be_bytes(suffix)));
    let written = write_private(&draft, bytes).and_then(|()| match fs::hard_link(&draft, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    });
    let removed = fs::remove_file(&draft);
    let sync_directory = || fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all();
    written
        .and_then(|is_new| removed.map(|()| is_new))
        .and_then(|is_new| sync_directory().map(|()| is_new))
        .map_err(|source| MasterKeyError::File {
            path: path.to_owned(),
            source,
        })
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
