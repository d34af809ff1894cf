//! Reads a plugin's file, and refuses what is none before any of it is compiled or run.

use std::io::Read as _;
use std::path::Path;

use crate::error::{FileKind, SandboxError};

/// The largest file that is taken for a plugin, in bytes.
pub const PLUGIN_BYTES: u64 = 64 << 20;

/// The preamble of a core module, version 1 (WebAssembly core specification, section 5.5.16).
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// The preamble of a component (component-model, Binary.md).
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// The bytes of a file that begins as a component does.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, SandboxError> {
    let cannot_read = |source| SandboxError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(cannot_read)?;
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
        None => Ok(bytes),
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
