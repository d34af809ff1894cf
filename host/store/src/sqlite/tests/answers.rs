//! Whatever an org does and whatever a person answers: an approval leaves what an apply at once would have left, and
//! the guard is told exactly what went lately.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use idsync_model::{Held, Mode};
use proptest::prelude::*;
use rusqlite::types::Value;

use super::org::{House, Org, Seen, house};
use super::properties::{State, org, states};
use crate::{Directory, PlanSummary, Recent, RunFacts};

const DAY: Duration = Duration::from_hours(24);
const HOUR_MS: i64 = 3_600_000;

/// All that an apply writes, but for what names this one run of the test.
const WRITTEN: [&str; 8] = [
    "SELECT last_seq FROM tenant",
    "SELECT * FROM user_identity ORDER BY user_key",
    "SELECT * FROM group_identity ORDER BY group_key",
    "SELECT * FROM directory_user ORDER BY user_key",
    "SELECT * FROM directory_group ORDER BY group_key",
    "SELECT * FROM member_list ORDER BY group_key",
    "SELECT * FROM change_block ORDER BY block_key",
    "SELECT
        r.run_key, r.started_at, r.ended_at, r.outcome, r.counts, r.applied_seq, r.stored_users, r.stored_groups,
        r.stored_memberships, d.users, d.groups, d.memberships, d.generation, d.held_since, d.holding_since,
        d.last_full_at, d.last_full_plugin_version, d.first_applied_at, d.full_mark_done,
        (SELECT group_concat(s.kind || s.external_id || s.reason) FROM run_skip AS s WHERE s.run_key = r.run_key)
    FROM run AS r
    JOIN directory AS d ON d.directory_key = r.directory_key
    ORDER BY r.run_key",
];

fn written(house: &House) -> Vec<Vec<Vec<Value>>> {
    let store = house.raw();
    let rows = |statement: &str| {
        let mut statement = store.prepare(statement).unwrap();
        let columns = statement.column_count();
        statement
            .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    WRITTEN.iter().map(|statement| rows(statement)).collect()
}

async fn hold(house: &House, directory: &Directory, read: &Org) -> idsync_model::RunId {
    let plan = house.plan(directory, read, Mode::Incremental).await.unwrap();
    let reasons = Held { reasons: Vec::new() };
    let held = house.store.hold(plan, reasons, RunFacts::default()).await;
    held.unwrap().run
}

async fn approve_as_apply(states: Vec<State>, approved: Vec<bool>) {
    let (at_once, answered) = (house(), house());
    let of_one = at_once.directory("acme").await;
    let of_other = answered.directory("acme").await;
    let mut known = BTreeMap::new();
    for (number, state) in states.iter().enumerate() {
        let (read, _) = org(state, &mut known);
        let plan = at_once.plan(&of_one, &read, Mode::Incremental).await.unwrap();
        at_once.store.apply(plan, RunFacts::default()).await.unwrap();
        // The first apply is never held, but it could be.
        if approved[number % approved.len()] {
            let held = hold(&answered, &of_other, &read).await;
            let approved = answered
                .store
                .approve(&answered.tenant, &held, DAY)
                .await
                .unwrap();
            assert_eq!(approved.applied.run.run, held);
        } else {
            let plan = answered.plan(&of_other, &read, Mode::Incremental).await.unwrap();
            answered.store.apply(plan, RunFacts::default()).await.unwrap();
        }
        assert_eq!(written(&at_once), written(&answered), "after state {number}");
        at_once.later(DAY);
        answered.later(DAY);
    }
}

/// What a run and a person do with a plan.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Apply,
    Hold,
    Approve,
    Discard,
    Drop,
}

fn answers() -> impl Strategy<Value = Vec<(Answer, i64)>> {
    let answer = prop_oneof![
        5 => Just(Answer::Apply),
        2 => Just(Answer::Hold),
        1 => Just(Answer::Approve),
        1 => Just(Answer::Discard),
        1 => Just(Answer::Drop),
    ];
    prop::collection::vec((answer, 1_i64..20), 12)
}

/// A row that readers may see: a kind, and one or two ids.
type Row = (u8, String, String);

fn rows(seen: &Seen) -> BTreeSet<Row> {
    let users = seen.users.keys().map(|user| (0, user.clone(), String::new()));
    let groups = seen.groups.keys().map(|group| (1, group.clone(), String::new()));
    let pairs = seen
        .memberships
        .iter()
        .map(|pair| (2, pair.group.clone(), pair.user.clone()));
    users.chain(groups).chain(pairs).collect()
}

/// The guard's numbers, worked out from what readers saw after each apply.
#[derive(Default)]
struct Model {
    gone: BTreeMap<Row, i64>,
    stored: Vec<(i64, [u64; 3])>,
    holding_since: Option<i64>,
    guard_from: Option<i64>,
}

impl Model {
    fn apply(&mut self, before: &BTreeSet<Row>, after: &BTreeSet<Row>, now: i64) {
        for row in before.difference(after) {
            let stays = |kind, id: &str| after.contains(&(kind, id.to_owned(), String::new()));
            if row.0 < 2 || stays(0, &row.2) || !stays(1, &row.1) {
                self.gone.insert(row.clone(), now);
            }
        }
        self.gone.retain(|row, _| !after.contains(row));
        let count = |kind| after.iter().filter(|row| row.0 == kind).count() as u64;
        self.stored.push((now, [count(0), count(1), count(2)]));
        self.holding_since = None;
    }

    fn recent(&self, kind: u8, planned: &BTreeSet<Row>, now: i64) -> Recent {
        let day = self.holding_since.unwrap_or(now) - 24 * HOUR_MS;
        let since = self.guard_from.map_or(day, |from| from.max(day));
        let deleted = self
            .gone
            .iter()
            .filter(|(row, at)| row.0 == kind && **at > since && !planned.contains(*row))
            .count() as u64;
        let before = self.stored.iter().rfind(|(at, _)| *at <= since);
        let within = self.stored.iter().filter(|(at, _)| *at > since);
        let most_stored = within
            .chain(before)
            .map(|(_, counts)| counts[usize::from(kind)])
            .max();
        Recent {
            deleted,
            most_stored: most_stored.unwrap_or(0),
        }
    }
}

async fn exact(states: Vec<State>, answers: Vec<(Answer, i64)>) {
    let house = house();
    let acme = house.directory("acme").await;
    let mut known = BTreeMap::new();
    let mut model = Model::default();
    let mut seen = BTreeSet::new();
    for (state, (answer, hours)) in states.iter().cycle().zip(answers) {
        let mut known_then = known.clone();
        let (read, whole) = org(state, &mut known_then);
        let planned = rows(&whole.seen());
        let now = house.clock_now().0;
        let plan = house.plan(&acme, &read, Mode::Incremental).await.unwrap();
        let summary: PlanSummary = *plan.summary();
        assert_eq!(summary.recent.users, model.recent(0, &planned, now));
        assert_eq!(summary.recent.groups, model.recent(1, &planned, now));
        assert_eq!(summary.recent.memberships, model.recent(2, &planned, now));
        match answer {
            Answer::Drop => {}
            Answer::Apply => {
                house.store.apply(plan, RunFacts::default()).await.unwrap();
                model.apply(&seen, &planned, now);
                seen = planned;
                known = known_then;
            }
            Answer::Hold | Answer::Approve | Answer::Discard => {
                let reasons = Held { reasons: Vec::new() };
                let held = house
                    .store
                    .hold(plan, reasons, RunFacts::default())
                    .await
                    .unwrap();
                model.holding_since.get_or_insert(now);
                house.later(Duration::from_mins(1));
                let now = house.clock_now().0;
                if let Answer::Approve = answer {
                    house.store.approve(&house.tenant, &held.run, DAY).await.unwrap();
                    model.apply(&seen, &planned, now);
                    model.guard_from = Some(now);
                    seen = planned;
                    known = known_then;
                } else if let Answer::Discard = answer {
                    house.store.discard(&house.tenant, &held.run).await.unwrap();
                }
            }
        }
        house.later(Duration::from_millis(u64::try_from(hours * HOUR_MS).unwrap()));
    }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn runs_5_3_a_plan_that_is_held_and_approved_leaves_what_applying_it_at_once_would_have(
        states in states(),
        approved in prop::collection::vec(any::<bool>(), 1..7),
    ) {
        block_on(approve_as_apply(states, approved));
    }

    #[test]
    fn runs_4_3_the_guard_is_told_exactly_what_went_lately(states in states(), answers in answers()) {
        block_on(exact(states, answers));
    }
}
