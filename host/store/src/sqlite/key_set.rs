//! Sets of keys, as they lie in one column: keys that were given together take two bytes each, and two lists are compared
//! without a lookup for each pair.

use roaring::RoaringTreemap;
use rusqlite::{Row, Rows};

use super::word::{damaged, unreadable};
use crate::StoreError;

/// The bytes of a set; none for an empty one, so that SQL can tell it.
pub(super) fn to_bytes(set: &RoaringTreemap) -> Vec<u8> {
    let mut bytes = Vec::new();
    if !set.is_empty() {
        bytes.reserve_exact(set.serialized_size());
        set.serialize_into(&mut bytes)
            .expect("writing to memory does not fail");
    }
    bytes
}

/// The set that bytes stand for.
fn from_bytes(bytes: &[u8]) -> Result<RoaringTreemap, StoreError> {
    if bytes.is_empty() {
        return Ok(RoaringTreemap::new());
    }
    let set =
        RoaringTreemap::deserialize_from(bytes).map_err(|source| unreadable("a set of keys", source))?;
    // Only a damaged file has what is no key.
    if set.max().is_some_and(|largest| i64::try_from(largest).is_err()) {
        return Err(damaged("a set of keys"));
    }
    Ok(set)
}

/// The set in a column, which may be null for an empty one.
pub(super) fn from_column(row: &Row<'_>, column: usize) -> Result<RoaringTreemap, StoreError> {
    let bytes = row
        .get_ref(column)?
        .as_blob_or_null()
        .map_err(|source| unreadable("a set of keys", source))?;
    from_bytes(bytes.unwrap_or_default())
}

/// The set of the keys in the first column of all rows.
pub(super) fn of_rows(rows: &mut Rows<'_>) -> Result<RoaringTreemap, StoreError> {
    let mut members = Vec::new();
    while let Some(row) = rows.next()? {
        members.push(member(row.get(0)?));
    }
    Ok(of(members))
}

/// The set of some members, in whatever order: one that is built at its end is built many times faster.
pub(super) fn of(mut members: Vec<u64>) -> RoaringTreemap {
    members.sort_unstable();
    members.dedup();
    RoaringTreemap::from_sorted_iter(members).expect("they were sorted, each once")
}

/// A key of the store in a set. Keys are counted up from 1.
pub(super) fn member(key: i64) -> u64 {
    key.unsigned_abs()
}

/// A member of a set as a key.
pub(super) fn key(member: u64) -> i64 {
    i64::try_from(member).expect("sets are of keys, which is looked at when one is read")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_is_read_as_it_was_written(keys in prop::collection::btree_set(1_i64..i64::MAX, 0..50)) {
            let set: RoaringTreemap = keys.iter().copied().map(member).collect();
            let bytes = to_bytes(&set);
            prop_assert_eq!(bytes.is_empty(), keys.is_empty());
            let read = from_bytes(&bytes).unwrap();
            prop_assert!(read.iter().map(key).eq(keys));
        }

        #[test]
        fn bytes_that_are_no_set_are_an_error_or_another_set(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = from_bytes(&bytes);
        }
    }

    #[test]
    fn a_set_that_was_cut_is_an_error() {
        let bytes = to_bytes(&(1..1_000).collect());
        assert!(from_bytes(&bytes[..bytes.len() - 1]).is_err());
    }
}
