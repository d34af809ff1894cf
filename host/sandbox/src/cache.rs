//! Compiled components on disk.
//!
//! Machine code that is loaded is run outside any sandbox, so a file counts only when it carries the tag (HMAC, RFC
//! 2104, with SHA-256) of this installation over its code, its component and the settings it was compiled with. A file
//! that does not is compiled anew. Files are written beside their place and renamed into it: two processes that compile
//! the same component both leave a whole file.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use idsync_capability::keys::MacKey;

use crate::compile::CODE_BYTES;
use crate::digest::Digest;
use crate::engine::SettingsDigest;

/// The first bytes of a file; the number is that of its layout.
const MAGIC: &[u8; 16] = b"idsync-machine-1";
const TAG_BYTES: usize = 32;
/// The largest file that can be ours, in bytes.
const FILE_BYTES: u64 = CODE_BYTES + (MAGIC.len() + TAG_BYTES) as u64;

/// Machine code that this process compiled, or that carries this installation's tag. Only these are run.
pub(crate) struct TrustedCode(Vec<u8>);

impl TrustedCode {
    /// Code that the compiling child of this process has just answered with.
    pub(crate) fn just_compiled(code: Vec<u8>) -> Self {
        Self(code)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a look into the cache found.
pub(crate) enum Found {
    Code(TrustedCode),
    /// There is no file.
    Nothing,
    /// There is one that is not ours, is damaged or was made for something else.
    Untrusted,
}

/// The folder of compiled components.
pub(crate) struct Cache {
    folder: PathBuf,
    key: MacKey,
}

impl Cache {
    /// Opens the folder, and makes it where it is missing. Its owner alone may enter it.
    pub(crate) fn open(folder: &Path, key: MacKey) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        Ok(Self {
            folder: folder.to_owned(),
            key,
        })
    }

    /// Reads the code of a component. It is read once, and what was checked is what is returned: a file that changes
    /// meanwhile changes nothing.
    pub(crate) fn read(&self, component: &Digest, settings: SettingsDigest) -> io::Result<Found> {
        let file = match fs::File::open(self.path(component, settings)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() > FILE_BYTES {
            return Ok(Found::Untrusted);
        }
        let mut bytes = Vec::new();
        // A file that grows meanwhile is cut, and its tag does not fit.
        file.take(FILE_BYTES).read_to_end(&mut bytes)?;
        let Some((tag, code)) = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.split_first_chunk::<TAG_BYTES>())
        else {
            return Ok(Found::Untrusted);
        };
        if !self.key.verify(&tagged(component, &settings, code), tag) {
            return Ok(Found::Untrusted);
        }
        bytes.drain(..MAGIC.len() + TAG_BYTES);
        Ok(Found::Code(TrustedCode(bytes)))
    }

    /// Keeps the code of a component. The file is readable by its owner alone.
    pub(crate) fn write(
        &self,
        component: &Digest,
        settings: SettingsDigest,
        code: &TrustedCode,
    ) -> io::Result<()> {
        let tag = self.key.tag(&tagged(component, &settings, code.bytes()));
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&self.folder)?;
        file.write_all(MAGIC)?;
        file.write_all(&tag)?;
        file.write_all(code.bytes())?;
        file.persist(self.path(component, settings))
            .map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self, component: &Digest, settings: SettingsDigest) -> PathBuf {
        self.folder.join(format!("{component}-{settings}.machine"))
    }
}

/// What the tag is over: code of ours in the place of other code is as wrong as code that is not ours.
fn tagged<'a>(component: &'a Digest, settings: &'a SettingsDigest, code: &'a [u8]) -> [&'a [u8]; 4] {
    [MAGIC, component.as_bytes(), &settings.0, code]
}

#[cfg(test)]
mod tests {
    use idsync_capability::keys::MasterKey;

    use super::*;

    const SETTINGS: SettingsDigest = SettingsDigest([7; 32]);

    fn component() -> Digest {
        Digest::of(b"a component")
    }

    fn cache(folder: &Path, key: u8) -> Cache {
        let key = MasterKey::from_text(&format!("{key:02x}").repeat(32)).expect("64 hexadecimal digits");
        Cache::open(&folder.join("cache"), key.component_cache_key()).expect("a folder of our own")
    }

    fn filled(folder: &Path) -> Cache {
        let cache = cache(folder, 1);
        cache
            .write(
                &component(),
                SETTINGS,
                &TrustedCode::just_compiled(b"code".to_vec()),
            )
            .expect("room on the disk");
        cache
    }

    fn is_untrusted(cache: &Cache) -> bool {
        matches!(cache.read(&component(), SETTINGS), Ok(Found::Untrusted))
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = filled(folder.path());
        let Ok(Found::Code(code)) = cache.read(&component(), SETTINGS) else {
            panic!("nothing was found");
        };
        assert_eq!(code.bytes(), b"code");
        assert!(matches!(
            cache.read(&Digest::of(b"another"), SETTINGS),
            Ok(Found::Nothing)
        ));
    }

    #[test]
    fn only_the_owner_may_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = filled(folder.path());
        let mode = |path: &Path| fs::metadata(path).expect("it was written").permissions().mode() & 0o777;
        assert_eq!(mode(&cache.folder), 0o700);
        assert_eq!(mode(&cache.path(&component(), SETTINGS)), 0o600);
    }

    #[test]
    fn a_changed_byte_is_seen() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = filled(folder.path());
        let path = cache.path(&component(), SETTINGS);
        let whole = fs::read(&path).expect("it was written");
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).expect("our own file");
            assert!(is_untrusted(&cache), "byte {at}");
        }
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("our own file");
            assert!(is_untrusted(&cache), "cut to {length} bytes");
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = filled(folder.path());
        let file = fs::File::create(cache.path(&component(), SETTINGS)).expect("our own file");
        file.set_len(1 << 50)
            .or_else(|_| file.set_len(FILE_BYTES + 1))
            .expect("a sparse file");
        assert!(is_untrusted(&cache));
    }

    #[test]
    fn another_key_or_another_component_is_seen() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ours = filled(folder.path());
        assert!(is_untrusted(&cache(folder.path(), 2)));
        let other = Digest::of(b"another");
        fs::copy(ours.path(&component(), SETTINGS), ours.path(&other, SETTINGS)).expect("our own folder");
        assert!(matches!(ours.read(&other, SETTINGS), Ok(Found::Untrusted)));
    }
}
