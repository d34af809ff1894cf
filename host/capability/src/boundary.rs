//! How much one call may carry over the boundary between guest and host.

use crate::CapabilityError;

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

    /// Refuses a call that carries more than `limit_bytes` of text and lists.
    pub(crate) fn check(&self, limit_bytes: usize) -> Result<(), CapabilityError> {
        if self.bytes > limit_bytes {
            Err(CapabilityError::Limit {
                what: "bytes handed over at once",
                limit: limit_bytes as u64,
            })
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1024;

    #[test]
    fn a_call_carries_as_much_as_its_limit_and_no_more() {
        let mut load = Load::default();
        load.add(&vec![0_u8; LIMIT - ITEM_BYTES]);
        load.check(LIMIT).unwrap();
        load.add("");
        assert!(load.check(LIMIT).is_err());
    }

    #[test]
    fn empty_strings_weigh_something() {
        let mut load = Load::default();
        for _ in 0..=LIMIT / ITEM_BYTES {
            load.add("");
        }
        assert!(load.check(LIMIT).is_err());
    }
}
