//! Finds where an object or a list ends: 64 bytes are looked at together, in which each bit of a word stands for a byte.
//! What is known of this is from Langdale and Lemire, Parsing Gigabytes of JSON per Second (2019), section 3.1.
//!
//! What lies between is not checked to be JSON, but for one thing: behind each string comes what may come there. Where a
//! quote is missing, texts and what is between them change places, and whole rows would be skipped as part of a text. Then
//! what follows a supposed string is nearly always the first letter of a text.

use super::{CHUNK_BYTES, Fault, halves, past_space};

/// Bytes that are looked at together.
const BLOCK_BYTES: usize = 64;

/// Where each of these stands in a block, the first byte in the lowest bit.
#[derive(Default)]
struct Block {
    quotes: u64,
    brackets: u64,
    /// What may follow a string: commas, colons and closing brackets.
    following: u64,
}

/// What the bytes before a block mean for it.
#[derive(Default)]
struct Before {
    /// All ones when the block begins within a string.
    is_string: u64,
    /// Whether its first byte is escaped.
    is_escape: bool,
    /// One when its first byte follows a string, else zero.
    after_string: u64,
}

/// Where the bracket is that closes what is open at a place outside of strings.
#[inline(never)]
pub(super) fn end_of_open(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    let mut before = Before::default();
    let mut depth: u32 = 1;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let last;
        let bytes_here = if let Some(whole) = rest.first_chunk() {
            whole
        } else {
            last = filled_up(rest);
            &last
        };
        let block = Block::of(bytes_here);
        let (strings, after_strings) = before.strings(&block, bytes_here);
        let unexpected = after_strings & !block.following;
        if unexpected != 0 {
            check_after_strings(rest, unexpected)?;
        }
        let brackets = block.brackets & !strings;
        let closing = brackets & block.following;
        // Mostly so few are closed that it can't be over.
        if closing.count_ones() < depth {
            depth = depth + (brackets ^ closing).count_ones() - closing.count_ones();
        } else {
            let mut brackets = brackets;
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

/// Fails when anything but a comma, a colon or a closing bracket is at these places, or behind the white space there.
#[cold]
fn check_after_strings(bytes: &[u8], mut places: u64) -> Result<(), Fault> {
    while places != 0 {
        let next = past_space(bytes, places.trailing_zeros() as usize);
        if !matches!(bytes.get(next), None | Some(b',' | b':' | b'}' | b']')) {
            return Err(Fault::AfterString);
        }
        places &= places - 1;
    }
    Ok(())
}

impl Before {
    /// Which bytes of a block are within strings, the first quote of each counted to it, and which are the first behind one;
    /// from then on the block counts as what is before.
    #[inline(always)]
    fn strings(&mut self, block: &Block, bytes: &[u8; BLOCK_BYTES]) -> (u64, u64) {
        // Both are asked: one jump costs more than the second question.
        let quotes = if has_backslash(bytes) | self.is_escape {
            block.quotes & !self.escaped(backslashes(bytes))
        } else {
            block.quotes
        };
        // Each bit becomes the parity of those up to it: odd from a first quote to before the last.
        let parities = (0..6).fold(quotes, |bits, power| bits ^ bits << (1 << power));
        let strings = parities ^ self.is_string;
        self.is_string = 0_u64.wrapping_sub(strings >> 63);
        let last_quotes = quotes & !strings;
        let after_strings = last_quotes << 1 | self.after_string;
        self.after_string = last_quotes >> 63;
        (strings, after_strings)
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
            let [quotes, brackets, following] = found(chunk).map(|bits| u64::from(bits) << (n * CHUNK_BYTES));
            block.quotes |= quotes;
            block.brackets |= brackets;
            block.following |= following;
        }
        block
    }
}

/// What is left after the last whole block, as one.
#[inline(never)]
fn filled_up(rest: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut bytes = [0; BLOCK_BYTES];
    bytes[..rest.len()].copy_from_slice(rest);
    bytes
}

/// Where backslashes are, a bit for each byte.
#[inline(never)]
fn backslashes(bytes: &[u8; BLOCK_BYTES]) -> u64 {
    let bit = |(place, byte): (usize, &u8)| u64::from(*byte == b'\\') << place;
    bytes.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit)
}

/// Whether there is a backslash. Few blocks have one, and to tell where it is costs more.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn has_backslash(bytes: &[u8; BLOCK_BYTES]) -> bool {
    use std::arch::wasm32::{u8x16_eq, u8x16_splat, u64x2, v128_any_true, v128_or};
    let (chunks, _) = bytes.as_chunks::<CHUNK_BYTES>();
    let found = chunks.iter().map(|chunk| {
        let [first, second] = halves(chunk); // Compiled to one load.
        u8x16_eq(u64x2(first, second), u8x16_splat(b'\\'))
    });
    v128_any_true(found.fold(u64x2(0, 0), |all, found| v128_or(all, found)))
}

/// Whether there is a backslash.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn has_backslash(bytes: &[u8; BLOCK_BYTES]) -> bool {
    let (chunks, _) = bytes.as_chunks::<CHUNK_BYTES>();
    let found = chunks.iter().flat_map(halves);
    found.fold(0, |tops, word| tops | tops_where(word, b'\\')) != 0
}

/// Where quotes, brackets and what may follow a string are, a bit for each byte: as few words as tell it all, since to make
/// one costs most. The brackets of objects and of lists differ in one bit, which is set.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn found(chunk: &[u8; CHUNK_BYTES]) -> [u16; 3] {
    use std::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_splat, u64x2, v128_or};
    let [first, second] = halves(chunk); // Compiled to one load.
    let bytes = u64x2(first, second);
    let folded = v128_or(bytes, u8x16_splat(FOLD));
    let opening = u8x16_eq(folded, u8x16_splat(b'{'));
    let closing = u8x16_eq(folded, u8x16_splat(b'}'));
    let separators = v128_or(
        u8x16_eq(bytes, u8x16_splat(b',')),
        u8x16_eq(bytes, u8x16_splat(b':')),
    );
    [
        u8x16_bitmask(u8x16_eq(bytes, u8x16_splat(b'"'))),
        u8x16_bitmask(v128_or(opening, closing)),
        u8x16_bitmask(v128_or(separators, closing)),
    ]
}

/// Where quotes, brackets and what may follow a string are, a bit for each byte: as few words as tell it all, since to make
/// one costs most. The brackets of objects and of lists differ in one bit, which is set.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn found(chunk: &[u8; CHUNK_BYTES]) -> [u16; 3] {
    let words = halves(chunk);
    let folded = words.map(|word| word | u64::from_ne_bytes([FOLD; 8]));
    let tops = |words: [u64; 2], byte: u8| words.map(|word| tops_where(word, byte));
    let either = |[first, second]: [u64; 2], other: [u64; 2]| [first | other[0], second | other[1]];
    let closing = tops(folded, b'}');
    let separators = either(tops(words, b','), tops(words, b':'));
    let bits = |[first, second]: [u64; 2]| bits_of_tops(first) | bits_of_tops(second) << 8;
    [
        bits(tops(words, b'"')),
        bits(either(tops(folded, b'{'), closing)),
        bits(either(separators, closing)),
    ]
}

/// The bit by which `[` and `{`, and `]` and `}`, differ.
const FOLD: u8 = b'[' ^ b'{';

/// The top bit of each byte that is this one.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn tops_where(word: u64, byte: u8) -> u64 {
    const LOW_BITS: u64 = u64::from_ne_bytes([0x7f; 8]);
    let word = word ^ u64::from_ne_bytes([byte; 8]);
    // The sum reaches the top bit of each byte that has any of the lower ones.
    !(((word & LOW_BITS) + LOW_BITS) | word | LOW_BITS)
}

/// A bit for each byte, set where its top bit is.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn bits_of_tops(tops: u64) -> u16 {
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
                assert_eq!(backslashes(&bytes), bit(byte == b'\\'));
                assert_eq!(has_backslash(&bytes), byte == b'\\');
                assert_eq!(block.brackets, bit(matches!(byte, b'{' | b'[' | b'}' | b']')));
                assert_eq!(block.following, bit(matches!(byte, b'}' | b']' | b',' | b':')));
            }
        }
    }
}
