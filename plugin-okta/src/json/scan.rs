//! Goes through JSON (RFC 8259) without keeping any of it. Of objects and lists that are skipped only strings, what follows
//! these, and brackets are looked at: where they end is certain, and whether all in them is JSON is not asked.
//!
//! Nearly all of a listing is skipped, so that this is most of the work of a run. In the sandbox each call of a function and
//! each turn of a loop costs something besides, which is why what is small is inlined, and why places are passed by value.

#![allow(
    clippy::inline_always,
    reason = "measured: a call costs as much as what the smallest of these functions do"
)]

mod brackets;

use brackets::end_of_open;

/// Why bytes are no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Value,
    Word,
    Number,
    Control,
    Escape,
    Unfinished,
    Utf8,
    Crossed,
    Key,
    Colon,
    ListEnd,
    ObjectEnd,
    Trailing,
    AfterString,
}

impl Fault {
    /// In words.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Value => "no value where one must be",
            Self::Word => "a word that JSON doesn't have",
            Self::Number => "a number that is none",
            Self::Control => "a control character in a string",
            Self::Escape => "an escape that JSON doesn't have",
            Self::Unfinished => "a string, a list or an object without an end",
            Self::Utf8 => "a text that is no UTF-8",
            Self::Crossed => "a bracket that closes another kind",
            Self::Key => "no string where a key must be",
            Self::Colon => "no colon after a key",
            Self::ListEnd => "neither comma nor end after an item",
            Self::ObjectEnd => "neither comma nor end after a field",
            Self::Trailing => "more after the end",
            Self::AfterString => "a string that is not followed by a comma, a colon or a bracket",
        }
    }
}

/// A place in a text.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

/// A string as it is written.
pub(super) struct Raw<'a> {
    /// What is between the quotes.
    pub(super) inside: &'a str,
    /// With the quotes.
    pub(super) whole: &'a str,
    pub(super) has_escapes: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// What lies between two places.
    #[inline(always)]
    fn text(&self, from: usize, to: usize) -> Result<&'a str, Fault> {
        std::str::from_utf8(&self.bytes[from..to]).map_err(|_| Fault::Utf8)
    }

    /// The byte here; at the end, zero, which stands nowhere in JSON.
    #[inline(always)]
    fn here(&self) -> u8 {
        byte(self.bytes, self.at)
    }

    /// The next byte that is no white space, which is not taken.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> u8 {
        let byte = self.here();
        if byte > b' ' {
            return byte;
        }
        self.at = past_space(self.bytes, self.at);
        self.here()
    }

    /// Takes the byte that was seen.
    #[inline(always)]
    pub(super) fn take(&mut self) {
        self.at += 1;
    }

    /// Whether nothing but white space is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.peek();
        self.at >= self.bytes.len()
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(Fault::Trailing)
        }
    }

    /// Takes a string whose first quote is here.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<Raw<'a>, Fault> {
        let start = self.at;
        let has_escapes = self.skip_string()?;
        let whole = self.text(start, self.at)?;
        Ok(Raw {
            inside: &whole[1..whole.len() - 1],
            whole,
            has_escapes,
        })
    }

    /// Skips a string whose first quote is here; says whether it has escapes.
    #[inline(always)]
    fn skip_string(&mut self) -> Result<bool, Fault> {
        self.at += 1;
        // Most strings are short and without escapes: their end is found with one look or two.
        for _ in 0..2 {
            let Some(chunk) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) else {
                break;
            };
            let plain = plain_bytes(chunk);
            self.at += plain;
            if plain < CHUNK_BYTES {
                if self.here() == b'"' {
                    self.at += 1;
                    return Ok(false);
                }
                break;
            }
        }
        let (at, has_escapes) = past_string(self.bytes, self.at)?;
        self.at = at;
        Ok(has_escapes)
    }

    /// Takes `null`, `true` or `false`.
    #[inline(always)]
    pub(super) fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Fault::Word);
        }
        self.at += word.len();
        Ok(())
    }

    /// Takes a number that begins here.
    #[inline(always)]
    pub(super) fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        self.at = past_number(self.bytes, start)?;
        self.text(start, self.at)
    }

    /// Takes the colon after a key.
    #[inline(always)]
    pub(super) fn colon(&mut self) -> Result<(), Fault> {
        if self.peek() != b':' {
            return Err(Fault::Colon);
        }
        self.at += 1;
        Ok(())
    }

    /// Skips a value with all that is in it, however deep. What is in an object or a list is not looked at.
    #[inline(always)]
    pub(super) fn skip_value(&mut self) -> Result<(), Fault> {
        match self.peek() {
            b'"' => self.skip_string().map(|_| ()),
            b'{' => {
                self.at += 1;
                self.skip_to_end(b'}')
            }
            b'[' => {
                self.at += 1;
                self.skip_to_end(b']')
            }
            b'n' => self.word(b"null"),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            _ => Err(Fault::Value),
        }
    }

    /// Skips all that is left of the object or list that is open here, with its last bracket.
    #[inline(always)]
    pub(super) fn skip_to_end(&mut self, bracket: u8) -> Result<(), Fault> {
        let end = end_of_open(self.bytes, self.at)?;
        if byte(self.bytes, end) != bracket {
            return Err(Fault::Crossed);
        }
        self.at = end + 1;
        Ok(())
    }
}

/// The byte at a place; at the end, zero, which stands nowhere in JSON.
#[inline(always)]
fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

#[inline(never)]
fn past_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(byte(bytes, at), b' ' | b'\n' | b'\t' | b'\r') {
        at += 1;
    }
    at
}

/// Where a string ends that has begun, and whether the rest of it has escapes.
#[inline(never)]
fn past_string(bytes: &[u8], mut at: usize) -> Result<(usize, bool), Fault> {
    let mut has_escapes = false;
    loop {
        at = past_plain(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok((at + 1, has_escapes)),
            Some(b'\\') => {
                has_escapes = true;
                at = past_escape(bytes, at)?;
            }
            Some(_) => return Err(Fault::Control),
            None => return Err(Fault::Unfinished),
        }
    }
}

/// Where the next quote, backslash or control character is, or the end.
#[inline(always)]
fn past_plain(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let plain = plain_bytes(chunk);
        at += plain;
        if plain < CHUNK_BYTES {
            return at;
        }
    }
    while bytes.get(at).is_some_and(|byte| !is_special(*byte)) {
        at += 1;
    }
    at
}

#[inline(always)]
fn past_escape(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match byte(bytes, at + 1) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 2),
        b'u' => {
            let digits = bytes.get(at + 2..at + 6).ok_or(Fault::Escape)?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return Err(Fault::Escape);
            }
            Ok(at + 6)
        }
        _ => Err(Fault::Escape),
    }
}

#[inline(never)]
fn past_number(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    if byte(bytes, at) == b'-' {
        at += 1;
    }
    let whole = at;
    at = past_digits(bytes, at)?;
    if byte(bytes, whole) == b'0' && at > whole + 1 {
        return Err(Fault::Number);
    }
    if byte(bytes, at) == b'.' {
        at = past_digits(bytes, at + 1)?;
    }
    if matches!(byte(bytes, at), b'e' | b'E') {
        at += 1;
        if matches!(byte(bytes, at), b'+' | b'-') {
            at += 1;
        }
        at = past_digits(bytes, at)?;
    }
    Ok(at)
}

#[inline(always)]
fn past_digits(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    while byte(bytes, at).is_ascii_digit() {
        at += 1;
    }
    if at == start {
        return Err(Fault::Number);
    }
    Ok(at)
}

/// Bytes of a string that are looked at together.
const CHUNK_BYTES: usize = 16;

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// How many bytes are before the first that is special.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn plain_bytes(chunk: &[u8; CHUNK_BYTES]) -> usize {
    use std::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, u64x2, v128_or};
    let [first, second] = halves(chunk); // Compiled to one load.
    let bytes = u64x2(first, second);
    let quotes = u8x16_eq(bytes, u8x16_splat(b'"'));
    let backslashes = u8x16_eq(bytes, u8x16_splat(b'\\'));
    let controls = u8x16_lt(bytes, u8x16_splat(0x20));
    let special = u8x16_bitmask(v128_or(v128_or(quotes, backslashes), controls));
    (u32::from(special) | 1 << CHUNK_BYTES).trailing_zeros() as usize
}

/// How many bytes are before the first that is special.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
fn plain_bytes(chunk: &[u8; CHUNK_BYTES]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    // The top bit of the lowest byte that is zero; those above it may be wrong.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let special = |word: u64| {
        let controls = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | controls
    };
    let [first, second] = halves(chunk).map(special);
    let bit = if first == 0 {
        64 + second.trailing_zeros()
    } else {
        first.trailing_zeros()
    };
    bit as usize / 8
}

/// The first bytes in the lowest bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the other half goes another way")]
fn halves(chunk: &[u8; CHUNK_BYTES]) -> [u64; 2] {
    let whole = u128::from_le_bytes(*chunk);
    [whole as u64, (whole >> 64) as u64]
}
