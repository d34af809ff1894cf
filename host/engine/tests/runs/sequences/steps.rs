//! What may happen to an org, to a directory, and to a run while it goes on.

use std::collections::BTreeSet;

use idsync_model::{ErrorKind, UnixMillis};
use proptest::prelude::*;

use crate::org::{Org, OrgGroup};

/// How many users an org may have, and how many groups.
const USERS: u8 = 25;
const GROUPS: u8 = 5;

/// A change of the org. Users and groups are named by number, sets of users by bits.
#[derive(Debug, Clone)]
pub enum Edit {
    /// The user is there and active, whatever was before.
    Come(u8),
    Leave(u8),
    Suspend(u8),
    Rename(u8),
    LoseEmail(u8),
    /// The second user takes the first one's e-mail over.
    MoveEmail(u8, u8),
    /// Only these users stay.
    Cut(u32),
    /// All users are there and active.
    Return,
    SetGroup(u8, u32),
    RenameGroup(u8),
    EmptyGroup(u8),
    DropGroup(u8),
    DropAllGroups,
    /// What went since the last applied run is there again.
    Mend,
}

fn edit() -> impl Strategy<Value = Edit> {
    let user = 0..USERS;
    let group = 0..GROUPS;
    prop_oneof![
        6 => user.clone().prop_map(Edit::Come),
        4 => user.clone().prop_map(Edit::Leave),
        4 => user.clone().prop_map(Edit::Suspend),
        2 => user.clone().prop_map(Edit::Rename),
        1 => user.clone().prop_map(Edit::LoseEmail),
        1 => (user.clone(), user).prop_map(|(from, to)| Edit::MoveEmail(from, to)),
        6 => any::<u32>().prop_map(Edit::Cut),
        5 => Just(Edit::Return),
        8 => (group.clone(), any::<u32>()).prop_map(|(group, members)| Edit::SetGroup(group, members)),
        1 => group.clone().prop_map(Edit::RenameGroup),
        3 => group.clone().prop_map(Edit::EmptyGroup),
        2 => group.prop_map(Edit::DropGroup),
        1 => Just(Edit::DropAllGroups),
        1 => Just(Edit::Mend),
    ]
}

fn id(user: u8) -> String {
    format!("u{user:03}")
}

fn ids(bits: u32) -> BTreeSet<String> {
    let is_in = |user: &u8| bits & (1 << user) != 0;
    (0..USERS).filter(is_in).map(id).collect()
}

impl Edit {
    /// Changes the org, of which `good` was applied last. As at a real provider, a group's version moves when its
    /// members do; `now` is the provider's.
    pub fn make(&self, org: &mut Org, good: &Org, now: UnixMillis) {
        match self {
            Self::Mend => {
                org.users.extend(good.users.clone());
                for (id, group) in &good.groups {
                    set_members(org, id, group.members.clone(), now);
                }
            }
            Self::Come(user) => org.add_user(&id(*user)),
            Self::Leave(user) => {
                org.users.remove(&id(*user));
            }
            Self::Suspend(user) => {
                if let Some(user) = org.users.get_mut(&id(*user)) {
                    user.active = false;
                }
            }
            Self::Rename(user) => {
                if let Some(user) = org.users.get_mut(&id(*user)) {
                    user.name.push('i');
                }
            }
            Self::LoseEmail(user) => {
                if let Some(user) = org.users.get_mut(&id(*user)) {
                    user.email.clear();
                }
            }
            Self::MoveEmail(from, to) => {
                let email = org.users.get(&id(*from)).map(|user| user.email.clone());
                if let (Some(email), Some(to)) = (email, org.users.get_mut(&id(*to))) {
                    to.email = email;
                }
                if let Some(from) = org.users.get_mut(&id(*from)) {
                    from.email = format!("former-{}", from.email);
                }
            }
            Self::Cut(stay) => {
                let stay = ids(*stay);
                org.users.retain(|id, _| stay.contains(id));
            }
            Self::Return => (0..USERS).for_each(|user| org.add_user(&id(user))),
            Self::SetGroup(group, members) => set_members(org, group_id(*group), ids(*members), now),
            Self::RenameGroup(group) => {
                if let Some(group) = org.groups.get_mut(group_id(*group)) {
                    group.name.push('s');
                }
            }
            Self::EmptyGroup(group) => set_members(org, group_id(*group), BTreeSet::new(), now),
            Self::DropGroup(group) => {
                org.groups.remove(group_id(*group));
            }
            Self::DropAllGroups => org.groups.clear(),
        }
    }
}

fn group_id(group: u8) -> &'static str {
    // Most have a time as version, one has a tag, and one has none.
    ["time0", "tag1", "plain2", "time3", "time4"][usize::from(group)]
}

fn set_members(org: &mut Org, id: &str, members: BTreeSet<String>, now: UnixMillis) {
    let group = org.groups.entry(id.to_owned()).or_insert_with(|| OrgGroup {
        name: format!("Group {id}"),
        members: BTreeSet::new(),
        changed_at: now,
    });
    if group.members != members {
        group.members = members;
        group.changed_at = now;
    }
}

/// When in a run something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Before its page of that number, counted anew by each run.
    Page(u8),
    /// After its last page.
    Read,
    /// Before the plan is made.
    Plan,
    /// Before the plan is applied or held.
    End,
}

/// What happens while a run goes on.
#[derive(Debug, Clone)]
pub enum Event {
    /// The process dies.
    Die,
    /// The plugin fails.
    Fail(ErrorKind),
    /// A person ends the run, from the process that runs it.
    Cancel,
    /// A person ends the run, from another process.
    AskToCancel,
    /// The process is stopped.
    Stop,
    /// Another process tries to run the directory.
    BeBusy,
    /// Another process takes the lease for lost, and runs the directory to its end.
    TakeOver,
    /// The org changes.
    Change(Edit),
    /// Something else happens to the directory.
    Meet(Meanwhile),
}

/// What happens to a directory, whether a run goes on or not.
#[derive(Debug, Clone)]
pub enum Meanwhile {
    /// One of the latest plans that were held is approved.
    Approve(u8),
    /// One of them is discarded.
    Discard(u8),
    Disable,
    Enable,
    /// Other settings are verified.
    VerifySettings,
    /// Another key is verified.
    VerifyKey,
    /// So many days go by, and what is no younger than these is purged; changes after 30 days.
    Purge(u32),
    /// The host's clock is set back by an hour.
    JumpBack,
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    prop_oneof![
        12 => prop_oneof![3 => Just(0), 2 => 1..3_u8].prop_map(Meanwhile::Approve),
        3 => prop_oneof![2 => Just(0), 1 => 1..3_u8].prop_map(Meanwhile::Discard),
        2 => Just(Meanwhile::Disable),
        1 => Just(Meanwhile::Enable),
        2 => Just(Meanwhile::VerifySettings),
        2 => Just(Meanwhile::VerifyKey),
        5 => prop_oneof![1 => Just(0), 2 => Just(31)].prop_map(Meanwhile::Purge),
        1 => Just(Meanwhile::JumpBack),
    ]
}

fn failure() -> impl Strategy<Value = ErrorKind> {
    prop_oneof![
        3 => Just(ErrorKind::Unavailable),
        1 => Just(ErrorKind::Deadline),
        1 => Just(ErrorKind::Protocol),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => Just(Event::Die),
        3 => failure().prop_map(Event::Fail),
        1 => Just(Event::Cancel),
        1 => Just(Event::AskToCancel),
        2 => Just(Event::Stop),
        2 => Just(Event::BeBusy),
        2 => Just(Event::TakeOver),
        3 => edit().prop_map(Event::Change),
        2 => (0..GROUPS).prop_map(|group| Event::Change(Edit::DropGroup(group))),
        4 => meanwhile().prop_map(Event::Meet),
    ]
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![
        5 => (0..16_u8).prop_map(At::Page),
        1 => Just(At::Read),
        1 => Just(At::Plan),
        2 => Just(At::End),
    ]
}

/// A run, and what goes before it.
#[derive(Debug, Clone)]
pub struct Run {
    pub edits: Vec<Edit>,
    pub minutes: u64,
    pub is_full: bool,
    pub is_dry: bool,
    pub events: Vec<(At, Event)>,
    /// The process dies after the run has waited so often.
    pub dies_after: Option<u8>,
    /// After how many pages a checkpoint is taken.
    pub checkpoint_every: u8,
    /// Whether the provider refuses the place in the users, and that in the groups, that a resumed run goes on from.
    pub refuses_place: (bool, bool),
}

fn run() -> impl Strategy<Value = Run> {
    let minutes = prop_oneof![3 => 0..10_u64, 2 => 10..50_u64, 1 => 600..1_600_u64];
    let weighted = proptest::bool::weighted;
    (
        prop::collection::vec(edit(), 0..4),
        minutes,
        (weighted(0.15), weighted(0.08)),
        prop::collection::vec((at(), event()), 0..3),
        prop::option::weighted(0.06, 0..24_u8),
        1..4_u8,
        (weighted(0.3), weighted(0.3)),
    )
        .prop_map(
            |(edits, minutes, (is_full, is_dry), events, dies_after, checkpoint_every, refuses_place)| Run {
                edits,
                minutes,
                is_full,
                is_dry,
                events,
                dies_after,
                checkpoint_every,
                refuses_place,
            },
        )
}

/// One step of a sequence.
#[derive(Debug, Clone)]
pub enum Step {
    Run(Run),
    Meet(Meanwhile),
    /// A reader takes a copy, from which it follows; whoever did before is looked at.
    Export,
}

/// An org, and what happens then.
#[derive(Debug, Clone)]
pub struct Sequence {
    pub users: u8,
    pub groups: Vec<u32>,
    pub steps: Vec<Step>,
}

impl Run {
    /// One that nothing meets.
    pub fn after(edit: Option<Edit>, minutes: u64) -> Self {
        Self {
            edits: edit.into_iter().collect(),
            minutes,
            is_full: false,
            is_dry: false,
            events: Vec::new(),
            dies_after: None,
            checkpoint_every: 2,
            refuses_place: (false, false),
        }
    }
}

/// A plan that is likely to be held, perhaps something that makes it another one or a stale one, and an answer.
fn held_and_answered() -> impl Strategy<Value = Vec<Step>> {
    let held = (0..16_u32, 1..30_u64)
        .prop_map(|(stay, minutes)| Step::Run(Run::after(Some(Edit::Cut(stay)), minutes)));
    let later = prop_oneof![
        3 => prop_oneof![
            2 => Just(None),
            2 => Just(Some(Edit::Mend)),
            1 => Just(Some(Edit::Come(9))),
            2 => any::<u32>().prop_map(|stay| Some(Edit::Cut(stay))),
        ]
        .prop_map(|edit| Step::Run(Run::after(edit, 5))),
        2 => answered_meanwhile(),
        2 => makes_stale(),
    ];
    let answer = prop_oneof![
        4 => prop_oneof![Just(0), Just(1)].prop_map(Meanwhile::Approve),
        1 => Just(Meanwhile::Discard(0)),
    ];
    // Who left before is a tombstone by then.
    let before = (0..USERS).prop_map(|user| Step::Run(Run::after(Some(Edit::Leave(user)), 20)));
    let before = prop::option::weighted(0.5, before);
    (before, held, prop::option::weighted(0.7, later), answer).prop_map(|(before, held, later, answer)| {
        let answer = Step::Meet(answer);
        before
            .into_iter()
            .chain([held])
            .chain(later)
            .chain([answer])
            .collect()
    })
}

/// A run during which a held plan is approved, mostly when its own is about to be applied.
fn answered_meanwhile() -> impl Strategy<Value = Step> {
    let at = prop_oneof![2 => at(), 3 => Just(At::End)];
    let edit = prop_oneof![Just(None), Just(Some(Edit::Mend)), edit().prop_map(Some)];
    (at, edit, 0..2_u8).prop_map(|(at, edit, latest)| {
        Step::Run(Run {
            events: vec![(at, Event::Meet(Meanwhile::Approve(latest)))],
            ..Run::after(edit, 5)
        })
    })
}

fn makes_stale() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Meanwhile::Purge(0)),
        Just(Meanwhile::VerifySettings),
        Just(Meanwhile::JumpBack),
    ]
    .prop_map(Step::Meet)
}

/// A plan that is held, and approved when the directory is another one.
fn approved_late() -> impl Strategy<Value = Vec<Step>> {
    ((0..USERS, 0..USERS), makes_stale()).prop_map(|((one, two), stale)| {
        let left = Run {
            edits: vec![Edit::Leave(one), Edit::Leave(two)],
            ..Run::after(Some(Edit::Mend), 20)
        };
        let cut = Run::after(Some(Edit::Cut(1)), 20);
        let approve = Step::Meet(Meanwhile::Approve(0));
        vec![Step::Run(left), Step::Run(cut), stale, approve]
    })
}

/// A group changes twice within a moment, once before and once after it is read.
fn changed_twice() -> impl Strategy<Value = Vec<Step>> {
    let group = 0..GROUPS;
    (group, any::<u32>(), any::<u32>(), 1..30_u64).prop_map(|(group, before, after, minutes)| {
        let twice = Run {
            events: vec![(At::Read, Event::Change(Edit::SetGroup(group, after)))],
            ..Run::after(Some(Edit::SetGroup(group, before)), 20)
        };
        vec![Step::Run(twice), Step::Run(Run::after(None, minutes))]
    })
}

/// A group is deleted after it was listed, and before its members are read.
fn deleted_while_read() -> impl Strategy<Value = Vec<Step>> {
    (3..GROUPS, 4..9_u8).prop_map(|(group, page)| {
        let deleted = Run {
            is_full: true,
            events: vec![(At::Page(page), Event::Change(Edit::DropGroup(group)))],
            ..Run::after(Some(Edit::SetGroup(group, u32::MAX)), 20)
        };
        vec![Step::Run(deleted)]
    })
}

/// A run that is cut off, and one that goes on from it with a provider that may have changed.
fn cut_off_and_resumed() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![
        2 => Just(Event::Die),
        1 => Just(Event::Fail(ErrorKind::Unavailable)),
        1 => Just(Event::Stop),
    ];
    let refuses_place = (any::<bool>(), any::<bool>());
    let edits = prop::collection::vec(edit(), 0..3);
    (2..12_u8, end, edits, refuses_place).prop_map(|(page, end, edits, refuses_place)| {
        let cut_off = Run {
            is_full: true,
            events: vec![(At::Page(page), end)],
            ..Run::after(None, 20)
        };
        let resumed = Run {
            is_full: true,
            edits,
            refuses_place,
            ..Run::after(None, 5)
        };
        vec![Step::Run(cut_off), Step::Run(resumed)]
    })
}

pub fn sequence() -> impl Strategy<Value = Sequence> {
    let steps = prop_oneof![
        8 => run().prop_map(|run| vec![Step::Run(run)]),
        5 => meanwhile().prop_map(|met| vec![Step::Meet(met)]),
        3 => held_and_answered(),
        1 => approved_late(),
        2 => cut_off_and_resumed(),
        1 => changed_twice(),
        1 => deleted_while_read(),
        1 => Just(vec![Step::Export]),
    ];
    (
        8..USERS,
        prop::collection::vec(any::<u32>(), 3..=usize::from(GROUPS)),
        prop::collection::vec(steps, 6..14),
    )
        .prop_map(|(users, groups, steps)| Sequence {
            users,
            groups,
            steps: steps.concat(),
        })
}

impl Sequence {
    /// The org at its begin.
    pub fn org(&self, now: UnixMillis) -> Org {
        let mut org = Org::of(usize::from(self.users));
        for (group, members) in (0..).zip(&self.groups) {
            set_members(&mut org, group_id(group), ids(*members), now);
        }
        org
    }
}
