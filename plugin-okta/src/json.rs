//! Reads JSON (RFC 8259) into types, as `serde_json` does, but skips faster what they don't ask for: of a listing that is
//! nearly all.
//!
//! What `serde_json` takes of a `str` is taken, with the same in it, with one exception: an object is an object, never a
//! list of its fields (RUNS §1.3). A string that is no text, since it has half of a character, is given as bytes, with U+FFFD
//! in its place: whoever takes these can go on (RUNS §1.8). What it does not take is refused where it is looked at: inside of objects and lists that
//! nobody asks for, and behind the last field that is asked for, only strings, what follows them and brackets are. So an
//! object whose fields are all there may have one of them again, which counts as nothing. Types must not contain themselves: how deep they go
//! is how deep this goes.

mod scan;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer as _, MapAccess,
    SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use scan::{Fault, Raw, Scanner};

/// Why a text could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    what: String,
    /// What is wrong with the text as such.
    pub flaw: Flaw,
}

/// What is wrong with a text that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It ends before its JSON does.
    Cut,
    /// It is no JSON.
    NoJson,
    /// As far as it was read it is JSON, but not what was asked for.
    OtherShape,
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self {
            what: what.to_string(),
            flaw: Flaw::OtherShape,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self {
            what: fault.as_str().to_owned(),
            flaw: match fault {
                Fault::Unfinished => Flaw::Cut,
                _ => Flaw::NoJson,
            },
        }
    }
}

/// Reads a whole text. Types with enums are not supported.
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    let mut reader = Reader {
        scanner: Scanner::new(bytes),
    };
    T::deserialize(&mut reader)
        .and_then(|value| {
            reader.scan(Scanner::end)?;
            Ok(value)
        })
        .map_err(|error| Error {
            what: format!("{error}, at byte {}", reader.scanner.at),
            flaw: match error.flaw {
                Flaw::NoJson if reader.scanner.is_at_end() => Flaw::Cut,
                flaw => flaw,
            },
        })
}

/// Whether a text ends before its JSON does.
pub fn is_cut(bytes: &[u8]) -> bool {
    read::<IgnoredAny>(bytes).is_err_and(|error| error.flaw == Flaw::Cut)
}

struct Reader<'de> {
    scanner: Scanner<'de>,
}

impl<'de> Reader<'de> {
    #[expect(clippy::inline_always, reason = "its steps are: see there")]
    #[inline(always)]
    fn scan<T>(&mut self, step: impl FnOnce(&mut Scanner<'de>) -> Result<T, Fault>) -> Result<T, Error> {
        step(&mut self.scanner).map_err(Error::from)
    }

    /// Where something else stands, or nothing that is a value.
    fn not_there(&mut self, what: &str) -> Error {
        match self.scanner.peek() {
            b'"' | b'{' | b'[' | b'n' | b't' | b'f' | b'-' | b'0'..=b'9' => de::Error::custom(what),
            _ => Fault::Value.into(),
        }
    }

    fn string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let raw = self.scan(Scanner::string)?;
        if raw.has_escapes {
            return match decoded(&raw) {
                Ok(text) => visitor.visit_string(text),
                Err(mended) => visitor.visit_byte_buf(mended.into_bytes()),
            };
        }
        visitor.visit_borrowed_str(raw.inside)
    }

    fn object<V: Visitor<'de>>(&mut self, wanted: Option<Wanted>, visitor: V) -> Result<V::Value, Error> {
        if self.scanner.peek() != b'{' {
            return Err(self.not_there("no object where one must be"));
        }
        self.scanner.take();
        let mut fields = Inside::new(self, wanted);
        let value = visitor.visit_map(&mut fields)?;
        fields.check_over()?;
        Ok(value)
    }

    fn list<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.scanner.take();
        let mut items = Inside::new(self, None);
        let value = visitor.visit_seq(&mut items)?;
        items.check_over()?;
        Ok(value)
    }

    fn number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let written = self.scan(Scanner::number)?;
        let number: serde_json::Number =
            serde_json::from_str(written).map_err(<Error as de::Error>::custom)?;
        number.deserialize_any(visitor).map_err(de::Error::custom)
    }
}

/// A string without its escapes; as an error, one that is no text, with U+FFFD where that is so.
fn decoded(raw: &Raw<'_>) -> Result<String, String> {
    serde_json::from_str(raw.whole).map_err(|_| mended(raw.inside))
}

/// Decodes a string whose escapes name halves of characters (surrogates) without the other half: JSON allows these (RFC 8259,
/// section 8.2), and no text can have them.
fn mended(inside: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(char) = chars.next() {
        let char = match (char, chars.as_str().as_bytes().first()) {
            ('\\', Some(b'u')) => {
                // Four digits follow: escapes were checked when the string was taken.
                let (escape, rest) = chars.as_str().split_at(5);
                units.extend(u16::from_str_radix(&escape[1..], 16));
                chars = rest.chars();
                continue;
            }
            ('\\', _) => match chars.next() {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(itself) => itself,
                None => break,
            },
            (char, _) => char,
        };
        units.extend_from_slice(char.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scanner.peek() {
            b'"' => self.string(visitor),
            b'{' => self.object(None, visitor),
            b'[' => self.list(visitor),
            b'n' => {
                self.scan(|scanner| scanner.word(b"null"))?;
                visitor.visit_unit()
            }
            b't' => {
                self.scan(|scanner| scanner.word(b"true"))?;
                visitor.visit_bool(true)
            }
            b'f' => {
                self.scan(|scanner| scanner.word(b"false"))?;
                visitor.visit_bool(false)
            }
            b'-' | b'0'..=b'9' => self.number(visitor),
            _ => Err(Fault::Value.into()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.scanner.peek() == b'n' {
            self.scan(|scanner| scanner.word(b"null"))?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scanner.peek() {
            b'"' => self.string(visitor),
            _ => Err(self.not_there("no string where one must be")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.object(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let wanted = Wanted {
            fields,
            left: fields.len(),
        };
        self.object(Some(wanted), visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scanner.peek() {
            b'[' => self.list(visitor),
            _ => Err(self.not_there("no list where one must be")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.scan(Scanner::skip_value)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum
    }
}

/// The fields that are asked for of an object. The others are skipped, and so is what is left when all were there.
struct Wanted {
    fields: &'static [&'static str],
    /// How many were not there yet.
    left: usize,
}

/// What is inside an object or a list, whose first bracket was taken.
struct Inside<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// Nothing where all is asked for.
    wanted: Option<Wanted>,
    is_first: bool,
    is_over: bool,
}

impl<'r, 'de> Inside<'r, 'de> {
    fn new(reader: &'r mut Reader<'de>, wanted: Option<Wanted>) -> Self {
        Self {
            reader,
            wanted,
            is_first: true,
            is_over: false,
        }
    }

    /// Fails when whoever reads has left something.
    fn check_over(&self) -> Result<(), Error> {
        if self.is_over {
            return Ok(());
        }
        Err(de::Error::custom("more items than there may be"))
    }

    /// Whether there is another item; else the last bracket is taken.
    #[inline]
    fn has_more(&mut self, end: u8, fault: Fault) -> Result<bool, Error> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let scanner = &mut self.reader.scanner;
        match scanner.peek() {
            byte if byte == end => {
                scanner.take();
                self.is_over = true;
                Ok(false)
            }
            _ if is_first => Ok(true),
            b',' => {
                scanner.take();
                Ok(true)
            }
            _ => Err(fault.into()),
        }
    }
}

impl<'de> MapAccess<'de> for Inside<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        loop {
            if matches!(self.wanted, Some(Wanted { left: 0, .. })) {
                if !matches!(self.reader.scanner.peek(), b',' | b'}') {
                    return Err(Fault::ObjectEnd.into());
                }
                self.reader.scan(|scanner| scanner.skip_to_end(b'}'))?;
                self.is_over = true;
                return Ok(None);
            }
            if !self.has_more(b'}', Fault::ObjectEnd)? {
                return Ok(None);
            }
            if self.reader.scanner.peek() != b'"' {
                return Err(Fault::Key.into());
            }
            let Some(wanted) = &mut self.wanted else {
                return seed.deserialize(&mut *self.reader).map(Some);
            };
            let raw = self.reader.scan(Scanner::string)?;
            let key = if raw.has_escapes {
                // A mended one is none that anybody asks for.
                Cow::Owned(decoded(&raw).unwrap_or_else(|mended| mended))
            } else {
                Cow::Borrowed(raw.inside)
            };
            if wanted.fields.contains(&&*key) {
                wanted.left -= 1;
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            self.reader.scan(Scanner::colon)?;
            self.reader.scan(Scanner::skip_value)?;
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.reader.scan(Scanner::colon)?;
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> SeqAccess<'de> for Inside<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.has_more(b']', Fault::ListEnd)? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}
