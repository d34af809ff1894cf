//! Plans users: one pass over those who were put and those who are known, both in the order of their ids.

use std::cmp::Ordering;

use roaring::RoaringTreemap;
use rusqlite::{CachedStatement, Connection, Row, named_params};

use super::super::key_set;
use super::super::word::damaged;
use crate::StoreError;

/// Both statements have the id first, then a number of their own, whether the user is live, and from here on the row.
const ROW_BEGINS: usize = 3;
const ROW_ENDS: usize = 9;

/// Everyone who was put or is known, before new users have their keys.
pub(super) struct Met {
    /// The keys of those who were put, by person number; of one who has none yet, the place among the new ones as a
    /// number below 0.
    keys: Vec<i64>,
    was_live: RoaringTreemap,
    is_live: RoaringTreemap,
    /// How many have no key yet.
    pub(super) new: i64,
    /// The places of those of them whom readers will see.
    new_live: Vec<u64>,
}

/// Everyone who was put or is known.
pub(super) struct People {
    /// The keys of those who were put, by person number.
    keys: Vec<i64>,
    /// The keys of those whom readers see now.
    pub(super) was_live: RoaringTreemap,
    /// The keys of those whom readers will see.
    pub(super) is_live: RoaringTreemap,
}

impl People {
    /// The keys of those with these person numbers.
    pub(super) fn keys(&self, numbers: &RoaringTreemap) -> Result<RoaringTreemap, StoreError> {
        let key_of = |number| {
            let place = usize::try_from(number).ok()?;
            self.keys.get(place).filter(|key| **key > 0)
        };
        let keys = numbers
            .iter()
            .map(|number| key_of(number).map(|key| key_set::member(*key)))
            .collect::<Option<_>>()
            .ok_or_else(no_such_person)?;
        Ok(key_set::of(keys))
    }
}

impl Met {
    /// Looks through all of them, and writes what becomes of those who are known, and who is new.
    pub(super) fn meet(run_file: &Connection, directory_key: i64) -> Result<Self, StoreError> {
        let mut staged = run_file.prepare(include_str!("../sql/plan/staged_people.sql"))?;
        let mut stored = run_file.prepare(include_str!("../sql/plan/stored_people.sql"))?;
        let mut staged = staged.query([])?;
        let mut stored = stored.query(named_params! { ":directory_key": directory_key })?;
        let mut planned = PlannedUsers::new(run_file)?;
        let people: i64 = run_file.query_row("SELECT count(*) FROM staged_person", [], |row| row.get(0))?;
        let mut met = Self {
            // Their numbers are counted up from 1.
            keys: vec![0; usize::try_from(people).unwrap_or(0) + 1],
            was_live: RoaringTreemap::new(),
            is_live: RoaringTreemap::new(),
            new: 0,
            new_live: Vec::new(),
        };
        let mut put = staged.next()?;
        let mut known = stored.next()?;
        loop {
            let order = match (put, known) {
                (Some(put), Some(known)) => id(put)?.cmp(id(known)?),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(met),
            };
            if let (Some(put), Ordering::Less) = (put, order) {
                met.new += 1;
                let is_live = put.get::<_, Option<bool>>(2)?.unwrap_or(false);
                met.note(put.get(1)?, -met.new)?;
                if is_live {
                    met.new_live.push(key_set::member(met.new));
                }
                planned.add(met.new, put, is_live)?;
            }
            if let (Some(known), Ordering::Equal | Ordering::Greater) = (known, order) {
                met.compare(&mut planned, known, put.filter(|_| order == Ordering::Equal))?;
            }
            if order != Ordering::Greater {
                put = staged.next()?;
            }
            if order != Ordering::Less {
                known = stored.next()?;
            }
        }
    }

    fn compare(
        &mut self,
        planned: &mut PlannedUsers<'_>,
        known: &Row<'_>,
        put: Option<&Row<'_>>,
    ) -> Result<(), StoreError> {
        let key: i64 = known.get(1)?;
        let was_live: bool = known.get(2)?;
        let (mut number, mut active) = (None, None);
        if let Some(put) = put {
            number = Some(put.get(1)?);
            active = put.get::<_, Option<bool>>(2)?;
        }
        let is_live = active.unwrap_or(false);
        if was_live {
            self.was_live.insert(key_set::member(key));
        }
        if is_live {
            self.is_live.insert(key_set::member(key));
        }
        if let Some(number) = number {
            self.note(number, key)?;
        }
        match (was_live, is_live, put) {
            (false, true, _) => planned.plan(key, number, 1, None),
            (true, true, Some(put)) if differ(put, known)? => planned.plan(key, number, 2, None),
            (true, false, _) if active.is_some() => planned.plan(key, number, 3, Some("inactive")),
            (true, false, _) if planned.is_skipped(id(known)?)? => {
                planned.plan(key, number, 3, Some("skipped"))
            }
            (true, false, _) => planned.plan(key, number, 3, Some("absent")),
            _ => Ok(()),
        }
    }

    fn note(&mut self, number: i64, key: i64) -> Result<(), StoreError> {
        let place = usize::try_from(number).ok();
        let noted = place.and_then(|place| self.keys.get_mut(place));
        *noted.ok_or_else(no_such_person)? = key;
        Ok(())
    }

    /// Gives the new ones their keys, which follow `base`, and plans those of them whom readers will see.
    pub(super) fn with_keys(mut self, run_file: &Connection, base: i64) -> Result<People, StoreError> {
        const PLAN: &str = "
            INSERT INTO plan_user (user_key, person_no, operation, reason)
            SELECT :base + n, person_no, 1, NULL
            FROM plan_new_user
            WHERE is_live
            ORDER BY n";
        run_file.execute(PLAN, named_params! { ":base": base })?;
        for key in self.keys.iter_mut().filter(|key| **key < 0) {
            *key = base - *key;
        }
        let new_live = self.new_live.into_iter();
        self.is_live |= key_set::of(new_live.map(|n| n + key_set::member(base)).collect());
        Ok(People {
            keys: self.keys,
            was_live: self.was_live,
            is_live: self.is_live,
        })
    }
}

/// Only a damaged file has a number that it gave to nobody.
fn no_such_person() -> StoreError {
    damaged("the number of a user in a run's file")
}

fn id<'a>(row: &'a Row<'_>) -> Result<&'a [u8], StoreError> {
    Ok(row.get_ref(0)?.as_bytes().map_err(rusqlite::Error::from)?)
}

fn differ(put: &Row<'_>, known: &Row<'_>) -> Result<bool, StoreError> {
    for column in ROW_BEGINS..ROW_ENDS {
        if put.get_ref(column)? != known.get_ref(column)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes the plan's rows of users.
struct PlannedUsers<'a> {
    add: CachedStatement<'a>,
    plan: CachedStatement<'a>,
    is_skipped: CachedStatement<'a>,
}

impl<'a> PlannedUsers<'a> {
    fn new(run_file: &'a Connection) -> Result<Self, StoreError> {
        const ADD: &str = "
            INSERT INTO plan_new_user (n, external_id, person_no, is_live)
            VALUES (?1, ?2, ?3, ?4)";
        const PLAN: &str = "
            INSERT INTO plan_user (user_key, person_no, operation, reason)
            VALUES (?1, ?2, ?3, ?4)";
        const IS_SKIPPED: &str = "
            SELECT EXISTS (SELECT 1 FROM staged_skip WHERE kind = 1 AND external_id = CAST(?1 AS TEXT))";
        Ok(Self {
            add: run_file.prepare_cached(ADD)?,
            plan: run_file.prepare_cached(PLAN)?,
            is_skipped: run_file.prepare_cached(IS_SKIPPED)?,
        })
    }

    fn add(&mut self, n: i64, put: &Row<'_>, is_live: bool) -> Result<(), StoreError> {
        let (id, number) = (put.get_ref(0)?, put.get_ref(1)?);
        let borrowed = rusqlite::types::ToSqlOutput::Borrowed;
        self.add.execute((n, borrowed(id), borrowed(number), is_live))?;
        Ok(())
    }

    fn plan(
        &mut self,
        key: i64,
        number: Option<i64>,
        operation: i64,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        self.plan.execute((key, number, operation, reason))?;
        Ok(())
    }

    fn is_skipped(&mut self, id: &[u8]) -> Result<bool, StoreError> {
        Ok(self.is_skipped.query_row([id], |row| row.get(0))?)
    }
}
