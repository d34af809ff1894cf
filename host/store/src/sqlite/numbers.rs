//! The short numbers that a run's file has for users' ids. Whoever is named by a list was mostly put before, as a user or
//! in another list, so ids are looked up far more often than they are added.

use rusqlite::{Connection, OptionalExtension};

use super::ids::Ids;
use super::word::{damaged, signed, unsigned};
use crate::StoreError;

/// Gives a run's file its index of people by id.
pub(super) const INDEX: &str =
    "CREATE UNIQUE INDEX IF NOT EXISTS main.staged_person_by_id ON staged_person (external_id)";

/// As many ids are kept in memory: some 40 bytes each, and 280 at most. The file has no index of them until there are
/// more, because adding to one that is in no order of its own is most of what adding costs.
const KEPT: usize = if cfg!(test) { 4 } else { 200_000 };

/// As many may be named by what one run reads: a plan holds some 20 bytes of each in memory.
const MOST: i64 = 10_000_000;

/// The numbers that were given, counted up from 1.
pub(super) struct Numbers {
    /// The first that were given, in their order.
    kept: Ids,
    next: i64,
    is_indexed: bool,
}

impl Numbers {
    /// Those of a file, which may be empty.
    pub(super) fn of(file: &Connection) -> Result<Self, StoreError> {
        const ALL: &str = "
            SELECT external_id, person_no
            FROM staged_person
            ORDER BY person_no
            LIMIT ?1";
        let people = people(file)?;
        let mut numbers = Self {
            kept: Ids::default(),
            next: signed(people as u64) + 1,
            is_indexed: false,
        };
        let mut all = file.prepare_cached(ALL)?;
        let mut all = all.query([i64::try_from(KEPT).unwrap_or(i64::MAX)])?;
        while let Some(row) = all.next()? {
            let id = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            if numbers.kept.find(id).is_some() || row.get::<_, i64>(1)? != number_of(numbers.kept.add(id)) {
                return Err(no_such_person());
            }
        }
        numbers.index_where_full(file)?;
        Ok(numbers)
    }

    /// The number of an id, where it has one.
    pub(super) fn find(&self, file: &Connection, external_id: &str) -> Result<Option<i64>, StoreError> {
        const FIND: &str = "
            SELECT person_no
            FROM staged_person
            WHERE external_id = ?1";
        if let Some(place) = self.kept.find(external_id) {
            return Ok(Some(number_of(place)));
        }
        if !self.is_indexed {
            return Ok(None);
        }
        let found = file
            .prepare_cached(FIND)?
            .query_row([external_id], |row| row.get(0))
            .optional()?;
        match found {
            Some(number) if !(1..=MOST).contains(&number) => Err(no_such_person()),
            found => Ok(found),
        }
    }

    /// The numbers of many ids, new ones where they have none.
    pub(super) fn give_all(&mut self, file: &Connection, ids: &[&str]) -> Result<Vec<i64>, StoreError> {
        let places = self.kept.find_all(ids);
        places
            .into_iter()
            .zip(ids)
            .map(|(place, id)| match place {
                Some(place) => Ok(number_of(place)),
                None => self.give(file, id),
            })
            .collect()
    }

    /// The number of an id, a new one where it has none.
    fn give(&mut self, file: &Connection, external_id: &str) -> Result<i64, StoreError> {
        const ADD: &str = "
            INSERT INTO staged_person (person_no, external_id)
            VALUES (?1, ?2)";
        if let Some(number) = self.find(file, external_id)? {
            return Ok(number);
        }
        let number = self.next;
        if number > MOST {
            return Err(StoreError::TooManyPeople {
                limit: unsigned(MOST),
            });
        }
        file.prepare_cached(ADD)?.execute((number, external_id))?;
        self.next += 1;
        if !self.is_indexed {
            self.kept.add(external_id);
            self.index_where_full(file)?;
        }
        Ok(number)
    }

    fn index_where_full(&mut self, file: &Connection) -> Result<(), StoreError> {
        if !self.is_indexed && self.kept.len() >= KEPT {
            index(file)?;
            self.is_indexed = true;
        }
        Ok(())
    }
}

/// How many people a file names: so high is the last of their numbers.
pub(super) fn people(file: &Connection) -> Result<usize, StoreError> {
    const LAST: &str = "SELECT coalesce(max(person_no), 0) FROM staged_person";
    let last: i64 = file.prepare_cached(LAST)?.query_row([], |row| row.get(0))?;
    let people = usize::try_from(last).ok().filter(|_| last <= MOST);
    people.ok_or_else(no_such_person)
}

/// Only a damaged file has a number that it gave to nobody.
pub(super) fn no_such_person() -> StoreError {
    damaged("the number of a user in a run's file")
}

/// Kept ids have their numbers in the order in which they were kept.
fn number_of(place: u32) -> i64 {
    i64::from(place) + 1
}

/// Gives the file its index of people by id.
fn index(file: &Connection) -> Result<(), StoreError> {
    const INDEX_IN_MEMORY: &str =
        "CREATE UNIQUE INDEX IF NOT EXISTS beside.staged_person_by_id ON staged_person (external_id)";
    const IS_IN_MEMORY: &str = "SELECT EXISTS (SELECT 1 FROM pragma_database_list WHERE name = 'beside')";
    let is_in_memory = file.query_row(IS_IN_MEMORY, [], |row| row.get(0))?;
    file.execute_batch(if is_in_memory { INDEX_IN_MEMORY } else { INDEX })?;
    Ok(())
}
