//! Finds where an object or a list ends: 64 bytes are looked at together, in which each bit of a word stands for a byte.
//! What is known of this is from Langdale and Lemire, Parsing Gigabytes of JSON per Second (2019), section 3.1.

use super::{CHUNK_BYTES, Fault, halves};

/// Bytes that are looked at together.
const BLOCK_BYTES: usize = 64;

/// Where each of these stands in a block, the first byte in the lowest bit.
#[derive(Default)]
struct Block {
    quotes: u64,
    backslashes: u64,
    opening: u64,
    closing: u64,
}

/// What the bytes before a block mean for it.
#[derive(Default)]
struct Before {
    /// All ones when the block begins within a string.
    is_string: u64,
    /// Whether its first byte is escaped.
    is_escape: bool,
}

/// Where the bracket is that closes what is open at a place outside of strings.
#[inline(never)]
pub(super) fn end_of_open(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    let mut before = Before::default();
    let mut depth: u32 = 1;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let block = match rest.first_chunk() {
            Some(chunk) => Block::of(chunk),
            None => Block::of_last(rest),
        };
        let strings = before.strings(&block);
        let (opening, closing) = (block.opening & !strings, block.closing & !strings);
        // Mostly so few are closed that it can't be over.
        if closing.count_ones() < depth {
            depth = depth + opening.count_ones() - closing.count_ones();
        } else {
            let mut brackets = opening | closing;
            while brackets != 0 {
                let first = brackets & brackets.wrapping_neg();
                depth = if closing & first == 0 {
                    depth + 1
                } else {
                    depth - 1
                };
                if depth == 0 {
                    return Ok(at + first.trailing_zeros() as usize);
                }
                brackets ^= first;
            }
        }
        at += BLOCK_BYTES;
    }
    Err(Fault::Unfinished)
}

impl Before {
    /// Which bytes of a block are within strings, the first quote of each counted to it; from then on the block counts as
    /// what is before.
    #[inline(always)]
    fn strings(&mut self, block: &Block) -> u64 {
        let quotes = if block.backslashes == 0 && !self.is_escape {
            block.quotes
        } else {
            block.quotes & !self.escaped(block.backslashes)
        };
        // Each bit becomes the parity of those up to it: odd from a first quote to before the last.
        let parities = (0..6).fold(quotes, |bits, power| bits ^ bits << (1 << power));
        let strings = parities ^ self.is_string;
        self.is_string = 0_u64.wrapping_sub(strings >> 63);
        strings
    }

    /// Which bytes of a block are escaped. Few blocks have any.
    fn escaped(&mut self, mut backslashes: u64) -> u64 {
        let mut escaped = u64::from(std::mem::take(&mut self.is_escape));
        backslashes &= !escaped;
        while backslashes != 0 {
            let backslash = backslashes & backslashes.wrapping_neg();
            let next = backslash << 1;
            self.is_escape = next == 0;
            escaped |= next;
            backslashes &= !(backslash | next);
        }
        escaped
    }
}

impl Block {
    #[inline(always)]
    fn of(bytes: &[u8; BLOCK_BYTES]) -> Self {
        let (chunks, _) = bytes.as_chunks::<CHUNK_BYTES>();
        let mut block = Self::default();
        for (n, chunk) in chunks.iter().enumerate() {
            let [quotes, backslashes, opening, closing] =
                found(chunk).map(|bits| u64::from(bits) << (n * CHUNK_BYTES));
            block.quotes |= quotes;
            block.backslashes |= backslashes;
            block.opening |= opening;
            block.closing |= closing;
        }
        block
    }

    /// What is left after the last whole block.
    #[inline(never)]
    fn of_last(rest: &[u8]) -> Self {
        let mut bytes = [0; BLOCK_BYTES];
        bytes[..rest.len()].copy_from_slice(rest);
        Self::of(&bytes)
    }
}

/// Where quotes, backslashes, opening and closing brackets are, a bit for each byte. The brackets of objects and of lists
/// differ in one bit, which is set.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn found(chunk: &[u8; CHUNK_BYTES]) -> [u16; 4] {
    use std::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_splat, u64x2, v128_or};
    let [first, second] = halves(chunk); // Compiled to one load.
    let bytes = u64x2(first, second);
    let folded = v128_or(bytes, u8x16_splat(FOLD));
    [
        u8x16_bitmask(u8x16_eq(bytes, u8x16_splat(b'"'))),
        u8x16_bitmask(u8x16_eq(bytes, u8x16_splat(b'\\'))),
        u8x16_bitmask(u8x16_eq(folded, u8x16_splat(b'{'))),
        u8x16_bitmask(u8x16_eq(folded, u8x16_splat(b'}'))),
    ]
}

/// Where quotes, backslashes, opening and closing brackets are, a bit for each byte. The brackets of objects and of lists
/// differ in one bit, which is set.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn found(chunk: &[u8; CHUNK_BYTES]) -> [u16; 4] {
    let words = halves(chunk);
    let folded = words.map(|word| word | u64::from_ne_bytes([FOLD; 8]));
    let bits = |words: [u64; 2], byte: u8| {
        let [first, second] = words.map(|word| bits_of_zeros(word ^ u64::from_ne_bytes([byte; 8])));
        first | second << 8
    };
    [
        bits(words, b'"'),
        bits(words, b'\\'),
        bits(folded, b'{'),
        bits(folded, b'}'),
    ]
}

/// The bit by which `[` and `{`, and `]` and `}`, differ.
const FOLD: u8 = b'[' ^ b'{';

/// A bit for each byte, set where it is zero.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn bits_of_zeros(word: u64) -> u16 {
    const LOW_BITS: u64 = u64::from_ne_bytes([0x7f; 8]);
    // The sum reaches the top bit of each byte that has any of the lower ones.
    let tops = !(((word & LOW_BITS) + LOW_BITS) | word | LOW_BITS);
    // Brings the top bits together, each to its place in the last byte.
    ((tops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_found_at_its_place() {
        for place in 0..BLOCK_BYTES {
            for byte in 0..=u8::MAX {
                let mut bytes = [b'x'; BLOCK_BYTES];
                bytes[place] = byte;
                let block = Block::of(&bytes);
                let bit = |is_there: bool| u64::from(is_there) << place;
                assert_eq!(block.quotes, bit(byte == b'"'));
                assert_eq!(block.backslashes, bit(byte == b'\\'));
                assert_eq!(block.opening, bit(matches!(byte, b'{' | b'[')));
                assert_eq!(block.closing, bit(matches!(byte, b'}' | b']')));
            }
        }
    }
}
