//! What readers must see after each step, and what must come of each answer to a plan: kept beside the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use idsync_engine::PLAN_LASTS;
use idsync_model::{RunId, UnixMillis};
use idsync_store::StaleWhy;

use super::limits::Limits;
use crate::org::{Org, OrgUser};

/// How much is forgotten of runs: nothing that is younger.
const RUNS_KEPT: Duration = Duration::from_hours(90 * 24);

/// What a run has read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    pub users: BTreeMap<String, OrgUser>,
    pub groups: BTreeMap<String, String>,
    /// The lists that were fetched.
    pub lists: BTreeMap<String, BTreeSet<String>>,
}

impl Reading {
    /// A whole org, read at one moment.
    pub fn of(org: &Org) -> Self {
        Self {
            users: org.users.clone(),
            groups: org
                .groups
                .iter()
                .map(|(id, group)| (id.clone(), group.name.clone()))
                .collect(),
            lists: org
                .groups
                .iter()
                .map(|(id, group)| (id.clone(), group.members.clone()))
                .collect(),
        }
    }
}

/// What is stored of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// E-mail and name of whom readers see.
    pub users: BTreeMap<String, (String, String)>,
    pub groups: BTreeMap<String, String>,
    /// The lists as they were last read, with the ids of those whom readers don't see.
    pub lists: BTreeMap<String, BTreeSet<String>>,
}

impl State {
    /// What is stored once a reading is applied. A group whose list was not fetched keeps the one that is stored.
    pub fn after(&self, read: &Reading) -> Self {
        let can_be_seen = |user: &OrgUser| user.active && !user.email.is_empty();
        let list = |group: &String| {
            let lists = [&read.lists, &self.lists];
            lists.iter().find_map(|lists| lists.get(group)).cloned()
        };
        Self {
            users: read
                .users
                .iter()
                .filter(|(_, user)| can_be_seen(user))
                .map(|(id, user)| (id.clone(), (user.email.clone(), user.name.clone())))
                .collect(),
            groups: read.groups.clone(),
            lists: read
                .groups
                .keys()
                .map(|group| (group.clone(), list(group).unwrap_or_default()))
                .collect(),
        }
    }

    pub fn memberships(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lists.iter().flat_map(|(group, list)| {
            let seen = list.iter().filter(|user| self.users.contains_key(*user));
            seen.map(move |user| (group.as_str(), user.as_str()))
        })
    }

    /// The lines of an export.
    pub fn lines(&self) -> Vec<String> {
        lines(&self.users, &self.groups, self.memberships())
    }

    /// The rows that readers see now and would not see then.
    pub fn deletions(&self, then: &Self) -> BTreeSet<String> {
        let keys = |state: &Self| -> BTreeSet<String> {
            let users = state.users.keys().map(|id| format!("user {id}"));
            let groups = state.groups.keys().map(|id| format!("group {id}"));
            let memberships = state.memberships();
            let memberships = memberships.map(|(group, user)| format!("membership {group} {user}"));
            users.chain(groups).chain(memberships).collect()
        };
        keys(self).difference(&keys(then)).cloned().collect()
    }
}

/// The lines of an export of these rows.
pub fn lines<'a>(
    users: &BTreeMap<String, (String, String)>,
    groups: &BTreeMap<String, String>,
    memberships: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<String> {
    let users = users
        .iter()
        .map(|(id, (email, name))| format!("user {id} {email} {name}"));
    let groups = groups.iter().map(|(id, name)| format!("group {id} {name}"));
    let memberships = memberships.map(|(group, user)| format!("membership {group} {user}"));
    users.chain(groups).chain(memberships).collect()
}

/// Where a plan that was held stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    Held,
    Superseded(RunId),
    Approved,
    Discarded,
}

/// A plan that was held.
#[derive(Debug, Clone)]
pub struct Plan {
    pub run: RunId,
    pub before: State,
    pub after: State,
    pub generation: u64,
    pub settings: u64,
    pub made_at: UnixMillis,
    /// What a full read makes up for, where it is one.
    pub makes_up_for: u64,
    pub stands: Stands,
    /// Whether it can still be looked at.
    pub is_kept: bool,
    /// The run that an approval of this one has applied.
    pub approved_as: Option<RunId>,
}

/// What must come of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Applies(RunId),
    Applied(RunId),
    Stale(StaleWhy),
    SupersededBy(RunId),
    NotHeld,
    /// The run is so old that it is forgotten, or is about to be.
    MayBeForgotten,
}

#[derive(Debug)]
pub struct Model {
    pub state: State,
    pub plans: Vec<Plan>,
    /// What readers had to see after each applied run.
    pub applied: HashMap<RunId, State>,
    /// Which of two settings are verified.
    pub settings: u64,
    pub generation: u64,
    /// Whether the feed is kept from its first change.
    pub is_feed_whole: bool,
    /// Raised by whatever a full run must follow, …
    pub full_mark: u64,
    /// … and how much of that was made up for.
    pub full_mark_done: u64,
    pub limits: Limits,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            state: State::default(),
            plans: Vec::new(),
            applied: HashMap::new(),
            settings: 0,
            generation: 0,
            is_feed_whole: true,
            full_mark: 0,
            full_mark_done: 0,
            limits: Limits::default(),
        }
    }
}

impl Model {
    /// A run was applied, or a plan was approved.
    pub fn apply(&mut self, run: &RunId, after: State) {
        for plan in &mut self.plans {
            plan.is_kept = false;
            if plan.stands == Stands::Held {
                plan.stands = Stands::Superseded(run.clone());
            }
        }
        self.applied.insert(run.clone(), after.clone());
        self.state = after;
    }

    /// A plan was held.
    pub fn hold(&mut self, held: Plan) {
        for plan in &mut self.plans {
            if plan.stands == Stands::Held {
                plan.stands = Stands::Superseded(held.run.clone());
            }
            let is_young = plan.made_at <= held.made_at && held.made_at.since(plan.made_at) <= PLAN_LASTS;
            plan.is_kept &= is_young;
        }
        self.full_mark += 1;
        self.plans.push(held);
    }

    /// A held plan was approved; `shown` is the run that was named, and `applied` the one whose plan it became.
    pub fn approve(&mut self, shown: &RunId, applied: &RunId, now: UnixMillis) {
        let plan = self.plan(applied).clone();
        assert_eq!(self.state, plan.before, "nothing else was applied since");
        for plan in &mut self.plans {
            if &plan.run == applied {
                plan.stands = Stands::Approved;
            }
            if [shown, applied].contains(&&plan.run) {
                plan.approved_as = Some(applied.clone());
            }
        }
        self.limits.approve(&plan.after, now);
        self.full_mark_done = self.full_mark_done.max(plan.makes_up_for);
        self.apply(applied, plan.after);
    }

    /// A held plan was discarded.
    pub fn discard(&mut self, run: &RunId) {
        for plan in &mut self.plans {
            plan.is_kept = false;
            if &plan.run == run {
                plan.stands = Stands::Discarded;
            }
        }
    }

    pub fn plan(&self, run: &RunId) -> &Plan {
        let plan = self.plans.iter().find(|plan| &plan.run == run);
        plan.expect("a plan that was held")
    }

    /// What must come of approving the plan of a run.
    pub fn answer(&self, run: &RunId, now: UnixMillis) -> Answer {
        let shown = self.plan(run);
        if now.since(shown.made_at) >= RUNS_KEPT {
            return Answer::MayBeForgotten;
        }
        if let Some(applied) = &shown.approved_as {
            return Answer::Applied(applied.clone());
        }
        let held = self.plans.iter().find(|plan| plan.stands == Stands::Held);
        let newer = match (&shown.stands, held) {
            (Stands::Held, _) => shown,
            (Stands::Superseded(_), Some(newer)) if shown.is_kept => newer,
            (Stands::Superseded(by), newer) => {
                return Answer::SupersededBy(newer.map_or(by, |newer| &newer.run).clone());
            }
            _ => return Answer::NotHeld,
        };
        for plan in [shown, newer] {
            if plan.settings != self.settings {
                return Answer::Stale(StaleWhy::Settings);
            }
            if plan.made_at > now || now.since(plan.made_at) > PLAN_LASTS {
                return Answer::Stale(StaleWhy::Age);
            }
        }
        if newer.generation != self.generation {
            return Answer::Stale(StaleWhy::Generation);
        }
        let deleted = |plan: &Plan| self.state.deletions(&plan.after);
        if deleted(newer).is_subset(&deleted(shown)) {
            Answer::Applies(newer.run.clone())
        } else {
            Answer::SupersededBy(newer.run.clone())
        }
    }

    /// The plans that the store must have on disk.
    pub fn kept(&self) -> BTreeSet<String> {
        let kept = self.plans.iter().filter(|plan| plan.is_kept);
        kept.map(|plan| plan.run.to_string()).collect()
    }
}
