//! A reader who follows the change feed row by row.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use idsync_model::{FeedCursor, Operation, RunId};
use idsync_store::{ChangeBody, ChangeRow, StoreError, UserRow};

use super::model::{State, lines};
use crate::world::World;

/// How many changes are read at once: so few that blocks are cut.
const PAGE: u64 = 7;

/// All changes of the directory.
pub async fn changes(world: &World) -> Vec<ChangeRow> {
    let start = FeedCursor { feed: None, seq: 0 };
    let page = world
        .store
        .changes(&world.tenant, &start, Some(&world.directory), 1_000)
        .await;
    page.unwrap().rows
}

/// What a reader has made of the changes so far.
#[derive(Debug, Clone)]
pub struct Follower {
    at: FeedCursor,
    users: BTreeMap<String, (String, String)>,
    groups: BTreeMap<String, String>,
    memberships: BTreeSet<(String, String)>,
    /// The run of a block that has no end yet.
    open: Option<RunId>,
}

impl Follower {
    /// Who begins at the feed's start.
    pub fn from_start() -> Self {
        Self::from_export(FeedCursor { feed: None, seq: 0 }, &State::default())
    }

    /// Who has a copy of an export.
    pub fn from_export(at: FeedCursor, exported: &State) -> Self {
        let memberships = exported.memberships();
        Self {
            at,
            users: exported.users.clone(),
            groups: exported.groups.clone(),
            memberships: memberships
                .map(|(group, user)| (group.to_owned(), user.to_owned()))
                .collect(),
            open: None,
        }
    }

    pub fn lines(&self) -> Vec<String> {
        let memberships = self.memberships.iter();
        let memberships = memberships.map(|(group, user)| (group.as_str(), user.as_str()));
        lines(&self.users, &self.groups, memberships)
    }

    /// Follows to the end. At each `applied` record, readers see what they had to see after that run.
    pub async fn follow(&mut self, world: &World, applied: &HashMap<RunId, State>) -> Result<(), StoreError> {
        loop {
            let directory = Some(&world.directory);
            let page = world
                .store
                .changes(&world.tenant, &self.at, directory, PAGE)
                .await?;
            for row in &page.rows {
                self.take(row);
                if matches!(row.body, ChangeBody::Applied { .. }) {
                    let expected = applied.get(&row.run).expect("a run that was applied");
                    assert_eq!(
                        self.lines(),
                        expected.lines(),
                        "at the end of {}'s block",
                        row.run
                    );
                }
            }
            assert_eq!(self.at.seq, page.next, "no number is left out");
            if self.at.seq == page.last {
                assert_eq!(self.open, None, "a block has its end");
                return Ok(());
            }
        }
    }

    /// Takes one change, as whoever keeps foreign keys must be able to.
    fn take(&mut self, change: &ChangeRow) {
        assert_eq!(change.seq, self.at.seq + 1, "no number is left out");
        self.at = change.cursor();
        let of = self.open.get_or_insert_with(|| change.run.clone());
        assert_eq!(*of, change.run, "no block begins within another");
        match &change.body {
            ChangeBody::User {
                operation,
                external_id,
                row,
                before,
                ..
            } => {
                let pair = |row: &UserRow| {
                    assert_eq!(&row.external_id, external_id);
                    (row.email.clone(), row.display_name.clone().unwrap_or_default())
                };
                let known = match row {
                    Some(row) => self.users.insert(external_id.clone(), pair(row)),
                    None => self.users.remove(external_id),
                };
                assert_eq!(known, before.as_ref().map(pair), "{change:?}");
                assert_operation(*operation, before.is_some(), row.is_some());
                let is_member = self.memberships.iter().any(|(_, user)| user == external_id);
                assert!(
                    *operation != Operation::Delete || !is_member,
                    "memberships go before their user: {change:?}"
                );
            }
            ChangeBody::Group {
                operation,
                external_id,
                row,
                before,
                ..
            } => {
                let known = match row {
                    Some(row) => self.groups.insert(external_id.clone(), row.name.clone()),
                    None => self.groups.remove(external_id),
                };
                let before = before.as_ref().map(|row| row.name.clone());
                assert_eq!(known, before, "{change:?}");
                assert_operation(*operation, before.is_some(), row.is_some());
                let has_members = self.memberships.iter().any(|(group, _)| group == external_id);
                assert!(
                    *operation != Operation::Delete || !has_members,
                    "memberships go before their group: {change:?}"
                );
            }
            ChangeBody::Membership {
                operation,
                group,
                user,
                ..
            } => {
                let has_both = self.groups.contains_key(group) && self.users.contains_key(user);
                assert!(has_both, "user and group are there at that moment: {change:?}");
                let pair = (group.clone(), user.clone());
                let is_new = match operation {
                    Operation::Create => self.memberships.insert(pair),
                    _ => self.memberships.remove(&pair),
                };
                assert!(is_new, "told once: {change:?}");
            }
            ChangeBody::Applied { .. } => self.open = None,
        }
    }
}

fn assert_operation(operation: Operation, was_there: bool, is_there: bool) {
    let expected = match (was_there, is_there) {
        (false, true) => Operation::Create,
        (true, true) => Operation::Update,
        _ => Operation::Delete,
    };
    assert_eq!(operation, expected);
}
