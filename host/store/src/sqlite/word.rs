//! How enums and small structures stand in columns: words, numbers, JSON.

use std::io;
use std::time::Duration;

use idsync_model::{DeleteReason, Entity, Operation, UnixMillis};
use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::StoreError;

/// The word of a value whose JSON is one string.
pub(super) fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        other => unreachable!("only enums of plain words are stored so: {other:?}"),
    }
}

/// The value that a word stands for.
pub(super) fn from_word<T: DeserializeOwned>(what: &'static str, word: String) -> Result<T, StoreError> {
    serde_json::from_value(Value::String(word)).map_err(|source| unreadable(what, source))
}

/// A value as JSON.
pub(super) fn json(value: impl Serialize) -> String {
    serde_json::to_string(&value).expect("what is stored has text keys only, which JSON can always show")
}

/// The value of a JSON text.
pub(super) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| unreadable(what, source))
}

/// A stored value that this version does not understand.
pub(super) fn unreadable(
    what: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Unreadable {
        what,
        source: Box::new(source),
    }
}

/// A stored value that nothing here writes: the file is damaged.
pub(super) fn damaged(what: &'static str) -> StoreError {
    unreadable(what, io::Error::from(io::ErrorKind::InvalidData))
}

/// The number of a kind of row.
pub(super) fn kind_number(kind: Entity) -> i64 {
    match kind {
        Entity::User => 1,
        Entity::Group => 2,
        Entity::Membership => 3,
    }
}

/// The number of an operation.
pub(super) fn operation_number(operation: Operation) -> i64 {
    match operation {
        Operation::Create => 1,
        Operation::Update => 2,
        Operation::Delete => 3,
    }
}

/// The reason that a word stands for.
pub(super) fn reason(word: Option<String>) -> Result<Option<DeleteReason>, StoreError> {
    word.map(|word| from_word("a reason", word)).transpose()
}

/// A count as SQLite stores it.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A duration as SQLite stores it.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A count that SQLite has.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// The moment in a column, where there is one.
pub(super) fn moment(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<UnixMillis>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(UnixMillis))
}
