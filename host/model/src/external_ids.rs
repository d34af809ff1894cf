//! Many ids of a provider as one value.

use std::borrow::Borrow;

use crate::{ExternalId, InvalidId};

/// Ids of a provider, beside each other in one text: a page of a member list is passed on, read and freed as one, rather
/// than as a thousand small texts that lie anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalIds {
    text: String,
    /// How many bytes each has. No id has more than fit.
    lengths: Vec<u8>,
}

impl ExternalIds {
    /// None yet, with room for `ids` of `bytes` together.
    pub fn with_capacity(ids: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            lengths: Vec::with_capacity(ids),
        }
    }

    /// Adds an id, where it is one as [`ExternalId::new`] takes it.
    pub fn push(&mut self, id: &str) -> Result<(), InvalidId> {
        self.lengths.push(ExternalId::length_of(id)?);
        self.text.push_str(id);
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// How many bytes they have together.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The ids, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.text.as_str();
        self.lengths.iter().map(move |length| {
            let (id, others) = rest.split_at(usize::from(*length));
            rest = others;
            id
        })
    }
}

impl<T: Borrow<ExternalId>> FromIterator<T> for ExternalIds {
    fn from_iter<I: IntoIterator<Item = T>>(ids: I) -> Self {
        let mut all = Self::default();
        for id in ids {
            // What is an id already is not refused.
            let _ = all.push(id.borrow().as_str());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_were_added() {
        let longest = "x".repeat(255);
        let given = ["00u1", "\u{e4}", &longest, "00u1"];
        let mut ids = ExternalIds::default();
        for id in given {
            ids.push(id).unwrap();
        }
        assert!(ids.iter().eq(given));
        assert_eq!((ids.len(), ids.text_bytes()), (4, 4 + 2 + 255 + 4));
        let one_by_one: Vec<ExternalId> = ids.iter().map(|id| ExternalId::new(id).unwrap()).collect();
        assert_eq!(one_by_one.iter().collect::<ExternalIds>(), ids);
    }

    #[test]
    fn what_is_no_id_is_refused_and_leaves_nothing() {
        let mut ids = ExternalIds::default();
        for bad in ["", &"x".repeat(256)] {
            assert_eq!(ids.push(bad), ExternalId::new(bad).map(drop));
        }
        assert!(ids.is_empty() && ids.iter().next().is_none());
    }
}
