//! Where the rows of users lie in a run's file. They are appended in the order in which users are put, whatever numbers
//! their ids have: those that lists named first would be spread over all pages of the file.

use rusqlite::Connection;

use super::numbers;
use super::word::signed;
use crate::StoreError;

/// The row of each who was put, by person number; 0 for none. Rows are counted up from 1. Those of users who were left out
/// are not given again.
#[derive(Default)]
pub(super) struct StagedRows {
    by_person: Vec<u32>,
    last: u32,
}

impl StagedRows {
    /// Those of a file, which may be empty.
    pub(super) fn of(file: &Connection) -> Result<Self, StoreError> {
        const ALL: &str = "
            SELECT person_no, row_no
            FROM staged_user
            ORDER BY row_no";
        let people = signed(numbers::people(file)? as u64);
        let mut rows = Self::default();
        let mut all = file.prepare(ALL)?;
        let mut all = all.query([])?;
        while let Some(row) = all.next()? {
            let (person_no, row_no): (i64, i64) = (row.get(0)?, row.get(1)?);
            let row_no = u32::try_from(row_no).unwrap_or(0);
            if !(1..=people).contains(&person_no) || row_no == 0 || *rows.of_person(person_no) != 0 {
                return Err(numbers::no_such_person());
            }
            rows.last = row_no;
            *rows.of_person(person_no) = row_no;
        }
        Ok(rows)
    }

    /// The row of a person, the next one where there is none.
    pub(super) fn give(&mut self, person_no: i64) -> u32 {
        if let Some(row) = self.find(person_no) {
            return row;
        }
        self.last += 1;
        *self.of_person(person_no) = self.last;
        self.last
    }

    /// The row of a person, where one was given.
    pub(super) fn find(&self, person_no: i64) -> Option<u32> {
        let row = self.by_person.get(place(person_no)).copied();
        row.filter(|row| *row > 0)
    }

    fn of_person(&mut self, person_no: i64) -> &mut u32 {
        let place = place(person_no);
        if place >= self.by_person.len() {
            self.by_person.resize(place + 1, 0);
        }
        &mut self.by_person[place]
    }
}

fn place(person_no: i64) -> usize {
    usize::try_from(person_no).expect("people's numbers are counted up from 1")
}
