//! Ids in memory, each with its place: many are looked up at once, and far more often than they are added.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

/// Ids, each once, with their places, counted from 0. Whoever chooses ids can't know which of them share a place in the
/// table.
#[derive(Default)]
pub(super) struct Ids {
    texts: Texts,
    table: HashTable<Slot>,
    hasher: RandomState,
}

/// Texts beside each other: a large org's are spread over as little memory as can be.
#[derive(Default)]
struct Texts {
    all: String,
    ends: Vec<u32>,
}

/// Where an id lies, and half of its hash, by which one that is not meant is passed over without a look at its text.
struct Slot {
    tag: u32,
    place: u32,
}

impl Texts {
    fn get(&self, place: u32) -> Option<&str> {
        let place = place as usize;
        let begin = match place.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.all.get(begin as usize..*self.ends.get(place)? as usize)
    }
}

fn tag(hash: u64) -> u32 {
    // Nearly all of it: the table goes by the lowest bits and the highest seven.
    let [_, _, _, _, tag @ ..] = hash.to_le_bytes();
    u32::from_le_bytes(tag)
}

impl Ids {
    pub(super) fn len(&self) -> usize {
        self.texts.ends.len()
    }

    /// The place of an id.
    pub(super) fn find(&self, id: &str) -> Option<u32> {
        self.find_hashed(id, self.hasher.hash_one(id))
    }

    fn find_hashed(&self, id: &str, hash: u64) -> Option<u32> {
        let is_meant = |slot: &Slot| slot.tag == tag(hash) && self.texts.get(slot.place) == Some(id);
        self.table.find(hash, is_meant).map(|slot| slot.place)
    }

    /// The places of many ids, in their order. All are taken from step to step together, because each step is a look at
    /// memory that no cache holds, and a processor waits for many such at once.
    pub(super) fn find_all(&self, ids: &[&str]) -> Vec<Option<u32>> {
        let hashes: Vec<u64> = ids.iter().map(|id| self.hasher.hash_one(id)).collect();
        let find_likely = |hash: &u64| self.table.find(*hash, |slot| slot.tag == tag(*hash));
        let likely: Vec<Option<&Slot>> = hashes.iter().map(find_likely).collect();
        let texts: Vec<Option<&str>> = likely.iter().map(|slot| self.texts.get((*slot)?.place)).collect();
        let looked_at = ids.iter().zip(hashes).zip(likely.into_iter().zip(texts));
        looked_at
            .map(|((id, hash), (slot, text))| match slot {
                Some(slot) if text == Some(*id) => Some(slot.place),
                // Another with the same tag.
                Some(_) => self.find_hashed(id, hash),
                None => None,
            })
            .collect()
    }

    /// Adds an id that is not among them. Returns its place.
    ///
    /// # Panics
    /// When all of them have 4 GiB or more.
    pub(super) fn add(&mut self, id: &str) -> u32 {
        let Self { texts, table, hasher } = self;
        let counted = "they have less than 4 GiB";
        let place = u32::try_from(texts.ends.len()).expect(counted);
        texts.all.push_str(id);
        texts.ends.push(u32::try_from(texts.all.len()).expect(counted));
        let hash = hasher.hash_one(id);
        let slot = Slot {
            tag: tag(hash),
            place,
        };
        table.insert_unique(hash, slot, |slot| {
            hasher.hash_one(texts.get(slot.place).unwrap_or_default())
        });
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_one_by_one_and_together() {
        let mut ids = Ids::default();
        let names: Vec<String> = (0..5_000).map(|n| format!("00u{n:x}ä")).collect();
        for (place, name) in names.iter().enumerate() {
            assert_eq!(ids.find(name), None);
            assert_eq!(ids.add(name) as usize, place);
        }
        assert_eq!(ids.len(), names.len());
        let asked: Vec<&str> = names
            .iter()
            .rev()
            .map(String::as_str)
            .chain(["", "00u"])
            .collect();
        let found = ids.find_all(&asked);
        let expected = (0..5_000).rev().map(Some).chain([None, None]);
        assert!(found.iter().copied().eq(expected));
        assert!(asked.iter().zip(found).all(|(id, place)| ids.find(id) == place));
    }

    #[test]
    fn an_id_with_the_tag_of_another_is_found_all_the_same() {
        let mut ids = Ids::default();
        for id in ["a", "b", ""] {
            ids.add(id);
        }
        // As if all had one hash.
        let hash = ids.hasher.hash_one("b");
        let places = ["a", "b", ""].map(|id| ids.find(id));
        assert_eq!(places, [Some(0), Some(1), Some(2)]);
        assert_eq!(
            ids.find_hashed("a", hash),
            None,
            "a hash is believed only with its text"
        );
    }
}
