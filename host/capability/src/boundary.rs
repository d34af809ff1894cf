//! How much one call may carry over the boundary between guest and host.

use crate::CapabilityError;

/// Bytes of text and lists in one call.
pub const CALL_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// What a value weighs beside its own bytes: a list of a million empty strings is not empty.
const ITEM_BYTES: usize = 16;

/// Adds up what one call carries.
#[derive(Debug, Default)]
pub(crate) struct Load {
    bytes: usize,
}

impl Load {
    /// Adds one text or list of bytes.
    pub(crate) fn add(&mut self, value: &(impl AsRef<[u8]> + ?Sized)) -> &mut Self {
        self.bytes = self
            .bytes
            .saturating_add(value.as_ref().len())
            .saturating_add(ITEM_BYTES);
        self
    }

    /// Adds one that may be missing.
    pub(crate) fn add_optional(&mut self, value: Option<&String>) -> &mut Self {
        if let Some(value) = value {
            self.add(value);
        }
        self
    }

    /// Refuses a call that carries too much.
    pub(crate) fn check(&self) -> Result<(), CapabilityError> {
        if self.bytes > CALL_LIMIT_BYTES {
            Err(CapabilityError::Limit {
                what: "bytes in one call over the boundary",
                limit: CALL_LIMIT_BYTES as u64,
            })
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_carries_four_mebibytes_and_no_more() {
        let mut load = Load::default();
        load.add(&vec![0_u8; CALL_LIMIT_BYTES - ITEM_BYTES]);
        load.check().unwrap();
        load.add("");
        assert!(load.check().is_err());
    }

    #[test]
    fn empty_strings_weigh_something() {
        let mut load = Load::default();
        for _ in 0..=CALL_LIMIT_BYTES / ITEM_BYTES {
            load.add("");
        }
        assert!(load.check().is_err());
    }
}
