//! Plans users: a pass over those who were put, one over those whom only lists name, and one over those who are known
//! and were not put.

use roaring::RoaringTreemap;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, named_params};

use super::super::numbers::no_such_person;
use super::super::{key_set, numbers};
use crate::StoreError;

/// Everyone who was put or is known, before new users have their keys.
pub(super) struct Met {
    /// The keys of those who were put, by person number; of one who has none yet, the place among the new ones as a
    /// number below 0.
    keys: Vec<i64>,
    /// The keys of those who were put and are known.
    known: RoaringTreemap,
    was_live: RoaringTreemap,
    is_live: RoaringTreemap,
    new: Vec<New>,
}

/// Someone whom the directory has never seen. A plan holds all of them in memory, so these are as short as they can be.
struct New {
    person_no: u32,
    /// The row, where readers will see it, else 0.
    row_no: u32,
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

/// Looks through all of them, and writes what becomes of those who are known.
pub(super) fn meet(run_file: &Connection, directory_key: i64) -> Result<Met, StoreError> {
    let mut met = Met {
        // Their numbers are counted up from 1.
        keys: vec![0; numbers::people(run_file)? + 1],
        known: RoaringTreemap::new(),
        was_live: RoaringTreemap::new(),
        is_live: RoaringTreemap::new(),
        new: Vec::new(),
    };
    let mut planned = PlannedUsers::new(run_file)?;
    met.put_users(run_file, &mut planned)?;
    met.only_listed(run_file, &mut planned, directory_key)?;
    met.not_put(run_file, &mut planned, directory_key)?;
    Ok(met)
}

impl Met {
    /// How many have no key yet.
    pub(super) fn new_users(&self) -> i64 {
        i64::try_from(self.new.len()).expect("they are in memory")
    }

    fn put_users(&mut self, run_file: &Connection, planned: &mut PlannedUsers<'_>) -> Result<(), StoreError> {
        const PUT: &str = "
            SELECT person_no, row_no, active, user_key, was_live, differs
            FROM staged_user
            ORDER BY row_no";
        let mut put = run_file.prepare_cached(PUT)?;
        let mut put = put.query([])?;
        while let Some(row) = put.next()? {
            let (person_no, row_no, is_live): (_, u32, _) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let Some(key) = row.get(3)? else {
                self.meet_new(person_no, if is_live { row_no } else { 0 })?;
                continue;
            };
            let was_live = row.get(4)?;
            self.meet_known(person_no, key, was_live)?;
            if is_live {
                self.is_live.insert(key_set::member(key));
            }
            match (was_live, is_live) {
                (false, true) => planned.plan(key, Some(row_no), 1, None)?,
                (true, true) if row.get(5)? => planned.plan(key, Some(row_no), 2, None)?,
                (true, false) => planned.plan(key, Some(row_no), 3, Some("inactive"))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Those who have a number and were not met as users.
    fn only_listed(
        &mut self,
        run_file: &Connection,
        planned: &mut PlannedUsers<'_>,
        directory_key: i64,
    ) -> Result<(), StoreError> {
        const LISTED: &str = "SELECT person_no, external_id FROM staged_person";
        const KNOWN: &str = "
            SELECT i.user_key, u.user_key IS NOT NULL
            FROM user_identity AS i
            LEFT JOIN directory_user AS u ON u.user_key = i.user_key AND u.deleted_at IS NULL
            WHERE i.directory_key = :directory_key AND i.external_id = :external_id";
        if self.keys.iter().skip(1).all(|key| *key != 0) {
            return Ok(());
        }
        let mut known = run_file.prepare_cached(KNOWN)?;
        let mut listed = run_file.prepare_cached(LISTED)?;
        let mut listed = listed.query([])?;
        while let Some(row) = listed.next()? {
            let person_no = row.get(0)?;
            if *self.key_of(person_no)? != 0 {
                continue;
            }
            let external_id = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            let known = known
                .query_row(
                    named_params! { ":directory_key": directory_key, ":external_id": external_id },
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let Some((key, was_live)) = known else {
                self.meet_new(person_no, 0)?;
                continue;
            };
            self.meet_known(person_no, key, was_live)?;
            if was_live {
                planned.plan_absent(key)?;
            }
        }
        Ok(())
    }

    fn not_put(
        &mut self,
        run_file: &Connection,
        planned: &mut PlannedUsers<'_>,
        directory_key: i64,
    ) -> Result<(), StoreError> {
        const KNOWN: &str = "
            SELECT user_key
            FROM user_identity
            WHERE directory_key = :directory_key";
        const IS_LIVE: &str = "
            SELECT EXISTS (SELECT 1 FROM directory_user WHERE user_key = ?1 AND deleted_at IS NULL)";
        let mut is_live = run_file.prepare_cached(IS_LIVE)?;
        let mut known = run_file.prepare_cached(KNOWN)?;
        let mut known = known.query(named_params! { ":directory_key": directory_key })?;
        while let Some(row) = known.next()? {
            let key = row.get(0)?;
            if self.known.contains(key_set::member(key)) || !is_live.query_row([key], |row| row.get(0))? {
                continue;
            }
            self.was_live.insert(key_set::member(key));
            planned.plan_absent(key)?;
        }
        Ok(())
    }

    fn meet_new(&mut self, person_no: u32, row_no: u32) -> Result<(), StoreError> {
        self.new.push(New { person_no, row_no });
        *self.key_of(person_no)? = -self.new_users();
        Ok(())
    }

    fn meet_known(&mut self, person_no: u32, key: i64, was_live: bool) -> Result<(), StoreError> {
        *self.key_of(person_no)? = key;
        self.known.insert(key_set::member(key));
        if was_live {
            self.was_live.insert(key_set::member(key));
        }
        Ok(())
    }

    fn key_of(&mut self, person_no: u32) -> Result<&mut i64, StoreError> {
        self.keys.get_mut(person_no as usize).ok_or_else(no_such_person)
    }

    /// Gives the new ones their keys, which follow `base`, and plans them.
    pub(super) fn with_keys(mut self, run_file: &Connection, base: i64) -> Result<People, StoreError> {
        const PLAN: &str = "
            INSERT INTO plan_user (user_key, person_no, row_no, operation)
            VALUES (?1, ?2, nullif(?3, 0), iif(?3 = 0, NULL, 1))";
        let mut plan = run_file.prepare_cached(PLAN)?;
        for (key, new) in (base + 1..).zip(&self.new) {
            plan.execute((key, new.person_no, new.row_no))?;
            if new.row_no > 0 {
                self.is_live.insert(key_set::member(key));
            }
        }
        for key in self.keys.iter_mut().filter(|key| **key < 0) {
            *key = base - *key;
        }
        Ok(People {
            keys: self.keys,
            was_live: self.was_live,
            is_live: self.is_live,
        })
    }
}

/// Writes the plan's rows of users who are known.
struct PlannedUsers<'a> {
    plan: CachedStatement<'a>,
    is_skipped: CachedStatement<'a>,
}

impl<'a> PlannedUsers<'a> {
    fn new(run_file: &'a Connection) -> Result<Self, StoreError> {
        const PLAN: &str = "
            INSERT INTO plan_user (user_key, row_no, operation, reason)
            VALUES (?1, ?2, ?3, ?4)";
        const IS_SKIPPED: &str = "
            SELECT EXISTS (
                SELECT 1
                FROM user_identity AS i
                JOIN staged_skip AS k ON k.kind = 1 AND k.external_id = i.external_id
                WHERE i.user_key = ?1
            )";
        Ok(Self {
            plan: run_file.prepare_cached(PLAN)?,
            is_skipped: run_file.prepare_cached(IS_SKIPPED)?,
        })
    }

    fn plan(
        &mut self,
        key: i64,
        row_no: Option<u32>,
        operation: i64,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        self.plan.execute((key, row_no, operation, reason))?;
        Ok(())
    }

    /// Plans that someone goes who was not put as a user.
    fn plan_absent(&mut self, key: i64) -> Result<(), StoreError> {
        let is_skipped = self.is_skipped.query_row([key], |row| row.get(0))?;
        let reason = if is_skipped { "skipped" } else { "absent" };
        self.plan(key, None, 3, Some(reason))
    }
}
