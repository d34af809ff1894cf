//! Ids that look like Okta's, and the seeded randomness that everything in the org is made from.

use std::fmt;

use serde::{Serialize, Serializer};

/// The digits of an id, in the order of their bytes, so that a later id sorts behind an earlier one.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The first counter: its leading digit is a lower-case letter, as in Okta's ids of today.
const FIRST: u64 = 50 * 62_u64.pow(5) + 17;

/// An id of 20 characters: three that tell the kind, six that count, eight at random, three of the cell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id([u8; 20]);

impl Id {
    /// The id of the `n`th thing of a kind in the org of a seed.
    pub(crate) fn nth(kind: &str, seed: u64, n: u64) -> Self {
        let mut text = [b'0'; 20];
        text[..3].copy_from_slice(&kind.as_bytes()[..3]);
        let noise = mix(seed ^ n.wrapping_mul(0x9E37_79B9) ^ u64::from(text[2]) << 40);
        digits(&mut text[3..9], FIRST + n * 97 + noise % 97);
        digits(&mut text[9..17], mix(noise));
        text[17..].copy_from_slice(b"5d7");
        Self(text)
    }

    /// The id written as `text`, when it has the length of one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 20] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Writes a number in base 62, the lowest digits where it is too long.
fn digits(into: &mut [u8], mut number: u64) {
    for place in into.iter_mut().rev() {
        *place = DIGITS[usize::try_from(number % 62).unwrap_or(0)];
        number /= 62;
    }
}

/// A number that depends on every bit of `n` (the finalizer of SplitMix64).
pub(crate) fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A row of numbers that a seed decides (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The row of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn roll(&mut self) -> u64 {
        let rolled = mix(self.0);
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        rolled
    }

    /// The next number below `end` (0 when `end` is 0).
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(1).max(1);
        usize::try_from(self.roll() % end).unwrap_or(0)
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Letters and digits that stand for `n`: for nonces, token ids and request ids.
pub(crate) fn word(seed: u64, n: u64, length: usize) -> String {
    let mut dice = Dice::new(mix(seed) ^ n);
    (0..length).map(|_| char::from(*dice.pick(DIGITS))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_like_oktas_and_sort_as_they_were_made() {
        let ids: Vec<_> = (0..5_000).map(|n| Id::nth("00u", 7, n)).collect();
        assert!(ids.is_sorted());
        assert!(
            ids.iter()
                .all(|id| id.as_str().len() == 20 && id.as_str().starts_with("00u"))
        );
        assert_eq!(Id::parse(ids[9].as_str()), Some(ids[9]));
        assert_ne!(Id::nth("00u", 8, 0), ids[0]);
    }
}
