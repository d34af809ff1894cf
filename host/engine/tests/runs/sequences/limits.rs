//! What the guard may let pass at most, counted anew from what was applied: by the default limits, within 24 hours.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use idsync_model::UnixMillis;

use super::model::State;

const WINDOW: Duration = Duration::from_hours(24);

/// The rows of one kind, by what names them.
type Rows = BTreeSet<String>;

/// Users, groups, memberships.
fn rows(state: &State) -> [Rows; 3] {
    let memberships = state.memberships();
    [
        state.users.keys().cloned().collect(),
        state.groups.keys().cloned().collect(),
        memberships
            .map(|(group, user)| format!("{group} {user}"))
            .collect(),
    ]
}

/// What went lately.
#[derive(Debug, Default)]
pub struct Limits {
    /// When each row went, of those that are not back.
    gone: [BTreeMap<String, UnixMillis>; 3],
    /// How many rows there were after each apply.
    stored: Vec<(UnixMillis, [usize; 3])>,
    /// When a person last approved what went.
    approved_at: Option<UnixMillis>,
    holding_since: Option<UnixMillis>,
}

impl Limits {
    pub fn hold(&mut self, now: UnixMillis) {
        self.holding_since.get_or_insert(now);
    }

    /// What a person has approved does not count.
    pub fn approve(&mut self, after: &State, now: UnixMillis) {
        self.approved_at = Some(now);
        self.gone = Default::default();
        self.note(after, now);
    }

    /// Who is purged has no return, and is not counted any more.
    pub fn purge(&mut self) {
        self.gone[0].clear();
        self.gone[1].clear();
    }

    /// A run was applied without a person's word.
    pub fn apply(&mut self, before: &State, after: &State, now: UnixMillis) {
        let is_first = self.stored.is_empty();
        let (had, has) = (rows(before), rows(after));
        for kind in 0..3 {
            let deleted: Rows = had[kind].difference(&has[kind]).cloned().collect();
            let with_user: Rows = deleted
                .iter()
                .filter(|row| kind == 2 && goes_with_user(row, after))
                .cloned()
                .collect();
            let counted: Rows = deleted.difference(&with_user).cloned().collect();
            self.gone[kind].retain(|row, _| !has[kind].contains(row));
            if !is_first {
                self.assert_lets_pass(kind, counted.len(), had[kind].len(), with_user.len(), now);
            }
            self.gone[kind].extend(counted.into_iter().map(|row| (row, now)));
        }
        self.note(after, now);
    }

    fn note(&mut self, after: &State, now: UnixMillis) {
        self.holding_since = None;
        self.stored.push((now, rows(after).map(|rows| rows.len())));
    }

    fn assert_lets_pass(
        &self,
        kind: usize,
        counted: usize,
        stored: usize,
        with_user: usize,
        now: UnixMillis,
    ) {
        let until = self.holding_since.map_or(now, |since| since.min(now));
        let window = i64::try_from(WINDOW.as_millis()).unwrap();
        let approved_at = self.approved_at.filter(|at| *at <= now);
        let began_at = UnixMillis(until.0 - window).max(approved_at.unwrap_or(UnixMillis(0)));
        // Times that lie ahead, since the clock was set back, are left out here, and may be counted by the guard.
        let gone = self.gone[kind]
            .values()
            .filter(|at| **at > began_at && **at <= now);
        let recent = gone.count();
        let before_window = self.stored.iter().map(|(at, _)| *at);
        let first = before_window.filter(|at| *at <= began_at).max();
        let in_window = self
            .stored
            .iter()
            .filter(|(at, _)| *at >= first.unwrap_or(began_at));
        let most = in_window.map(|(_, counts)| counts[kind]).max();
        let most = most.unwrap_or_default().max(stored);
        let is_over = |count: usize, of: usize| count >= 10 && count * 5 > of;
        let is_all = |of: usize| counted > 0 && counted == stored - with_user && of >= 2;
        let must_be_held = is_over(counted, stored)
            || is_all(stored - with_user)
            || counted > 0 && recent > 0 && (is_over(counted + recent, most) || is_all(most));
        assert!(
            !must_be_held,
            "kind {kind}: {counted} of {stored} go, {recent} of {most} went before"
        );
    }
}

/// Whether a membership goes because its user does, and its group stays.
fn goes_with_user(membership: &str, after: &State) -> bool {
    let (group, user) = membership.split_once(' ').expect("two ids");
    !after.users.contains_key(user) && after.groups.contains_key(group)
}
