//! Reads a plugin's file, and refuses what is none before any of it is compiled or run.

use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use idsync_model::UnixMillis;

use crate::error::{FileKind, SandboxError};

/// The largest file that is taken for a plugin, in bytes.
pub const PLUGIN_BYTES: u64 = 64 << 20;

/// The preamble of a core module, version 1 (WebAssembly core specification, section 5.5.16).
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// The preamble of a component (component-model, Binary.md).
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// By which a file that was replaced or written to is told from the one that was read, without reading it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size_bytes: u64,
    /// Nobody can set it, as one can the time of the last write.
    changed_at: (i64, i64),
}

impl Stamp {
    /// The stamp of the file that is there now.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&std::fs::metadata(path)?))
    }

    /// Whether every later write to the file makes another stamp. One that follows within the step of the file
    /// system's clock, two seconds at most, might not.
    pub(crate) fn is_settled(&self, now: UnixMillis) -> bool {
        let (seconds, _) = self.changed_at;
        now.0.div_euclid(1000).saturating_sub(seconds) > 2
    }
}

impl From<&Metadata> for Stamp {
    fn from(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size_bytes: file.len(),
            changed_at: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// The bytes of a file that begins as a component does, and the stamp that it had before they were read.
pub(crate) fn read(path: &Path) -> Result<(Vec<u8>, Stamp), SandboxError> {
    let cannot_read = |source| SandboxError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(cannot_read)?;
    let stamp = Stamp::from(&file.metadata().map_err(cannot_read)?);
    let mut bytes = Vec::new();
    file.take(PLUGIN_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot_read)?;
    if bytes.len() as u64 > PLUGIN_BYTES {
        return Err(SandboxError::TooLarge {
            path: path.to_owned(),
            limit_bytes: PLUGIN_BYTES,
        });
    }
    match kind(&bytes) {
        None => Ok((bytes, stamp)),
        Some(found) => Err(SandboxError::NoComponent {
            path: path.to_owned(),
            found,
        }),
    }
}

/// What the bytes are, where they are no component.
fn kind(bytes: &[u8]) -> Option<FileKind> {
    if bytes.starts_with(COMPONENT) {
        None
    } else if bytes.starts_with(CORE_MODULE) {
        Some(FileKind::CoreModule)
    } else if bytes.is_empty() {
        Some(FileKind::Empty)
    } else if bytes.contains(&0) {
        Some(FileKind::Other)
    } else {
        Some(std::str::from_utf8(bytes).map_or(FileKind::Other, text_kind))
    }
}

fn text_kind(text: &str) -> FileKind {
    let text = text.trim_start();
    if text.starts_with("(module") || text.starts_with("(component") || text.starts_with(";;") {
        FileKind::WebAssemblyText
    } else {
        FileKind::Text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_is_called_what_it_is() {
        assert_eq!(kind(b"\0asm\x0d\0\x01\0rest"), None);
        assert_eq!(kind(b"\0asm\x01\0\0\0rest"), Some(FileKind::CoreModule));
        assert_eq!(kind(b"\n (component)"), Some(FileKind::WebAssemblyText));
        assert_eq!(kind(b"fn main() {}"), Some(FileKind::Text));
        assert_eq!(kind(b""), Some(FileKind::Empty));
        assert_eq!(kind(b"\x7fELF\0\0"), Some(FileKind::Other));
        assert_eq!(kind(b"\0asm\x0d\0"), Some(FileKind::Other));
    }

    #[test]
    fn a_stamp_is_relied_on_once_its_file_was_left_alone_for_a_while() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let stamp = Stamp::of(file.path()).expect("it is there");
        let changed_at = UnixMillis(stamp.changed_at.0 * 1000);
        for (now, is_settled) in [
            (changed_at, false),
            (changed_at.plus(Duration::from_secs(2)), false),
            (changed_at.plus(Duration::from_secs(3)), true),
            // The host's clock was set back.
            (UnixMillis(0), false),
        ] {
            assert_eq!(stamp.is_settled(now), is_settled, "{now}");
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read_whole() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.as_file().set_len(PLUGIN_BYTES + 1).expect("a sparse file");
        assert!(matches!(read(file.path()), Err(SandboxError::TooLarge { .. })));
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let error = read(Path::new("/nowhere/okta.wasm")).expect_err("there is none");
        assert!(error.to_string().contains("/nowhere/okta.wasm"));
    }
}
