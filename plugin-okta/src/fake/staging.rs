//! What was put, by the rules of the host's staging: versions and lists that stay, lists that are open, unread or closed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::host::{Entity, Group, MembersVerdict, PagePart, User};

/// How far a member list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Unread,
    Open,
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StagedGroup {
    /// As it was put last, but with the version that it was put with first.
    pub(crate) group: Group,
    pub(crate) must_fetch: bool,
    pub(crate) is_listed: bool,
    pub(crate) is_dropped: bool,
    pub(crate) list: List,
    pub(crate) members: BTreeSet<String>,
    pub(crate) read_at: u64,
}

/// What one run, or several that went on from each other, have put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Staged {
    pub(crate) users: BTreeMap<String, User<'static>>,
    pub(crate) groups: BTreeMap<String, StagedGroup>,
    pub(crate) skips: Vec<(String, String)>,
}

/// What the host would make a plan of: reading times and repeated remarks aside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    users: BTreeMap<String, User<'static>>,
    groups: BTreeMap<String, (Group, bool, BTreeSet<String>)>,
    skips: BTreeSet<(String, String)>,
}

/// A user that outlives its page.
pub(crate) fn owned(user: User<'_>) -> User<'static> {
    let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    User {
        external_id: owned(user.external_id),
        email: owned(user.email),
        username: owned(user.username),
        display_name: user.display_name.map(owned),
        given_name: user.given_name.map(owned),
        family_name: user.family_name.map(owned),
        active: user.active,
        provider_status: owned(user.provider_status),
    }
}

impl Staged {
    pub(crate) fn put_groups(&mut self, groups: &[Group], unchanged: &HashSet<String>) -> Vec<bool> {
        let put = |group: &Group| {
            let must_fetch = !unchanged.contains(&group.external_id);
            let staged = self
                .groups
                .entry(group.external_id.clone())
                .or_insert_with(|| StagedGroup {
                    group: group.clone(),
                    must_fetch,
                    is_listed: true,
                    is_dropped: false,
                    list: List::Unread,
                    members: BTreeSet::new(),
                    read_at: 0,
                });
            staged.group = Group {
                members_changed_at: staged.group.members_changed_at,
                ..group.clone()
            };
            staged.is_listed = true;
            staged.is_dropped = false;
            match staged.list {
                List::Unread => {
                    staged.must_fetch = must_fetch;
                    must_fetch
                }
                List::Open => true,
                List::Closed => false,
            }
        };
        groups.iter().map(put).collect()
    }

    pub(crate) fn put_members(
        &mut self,
        group: &str,
        users: &[&str],
        read_at: u64,
        part: PagePart,
        is_doubted: impl FnOnce() -> bool,
    ) -> MembersVerdict {
        let staged = self.groups.get_mut(group).expect("the group must have been put");
        if part.first {
            staged.members.clear();
            staged.read_at = read_at;
        } else {
            assert_eq!(staged.list, List::Open, "{group} has no list that goes on");
        }
        staged.members.extend(users.iter().map(|id| (*id).to_owned()));
        let is_believed = !(part.last && staged.members.is_empty() && is_doubted());
        staged.list = if part.last && is_believed {
            List::Closed
        } else {
            List::Open
        };
        if is_believed {
            MembersVerdict::Taken
        } else {
            MembersVerdict::ReadAgain
        }
    }

    pub(crate) fn restart(&mut self, kind: Entity) {
        match kind {
            Entity::User => {
                self.users.clear();
                self.skips.clear();
            }
            Entity::Group => self.groups.values_mut().for_each(|group| group.is_listed = false),
            Entity::Membership => {
                for group in self.groups.values_mut() {
                    group.members.clear();
                    group.list = List::Unread;
                }
            }
        }
    }

    pub(crate) fn drop_group(&mut self, group: &str) {
        let staged = self.groups.get_mut(group).expect("the group must have been put");
        staged.is_dropped = true;
        staged.list = List::Unread;
        staged.members.clear();
    }

    fn listed(&self) -> impl Iterator<Item = (&String, &StagedGroup)> {
        self.groups
            .iter()
            .filter(|(_, staged)| staged.is_listed && !staged.is_dropped)
    }

    /// Groups whose list was read to its end.
    pub(crate) fn closed(&self) -> Vec<&str> {
        let closed = self.listed().filter(|(_, staged)| staged.list == List::Closed);
        closed.map(|(id, _)| id.as_str()).collect()
    }

    /// What a run that succeeded has read. The host would refuse one that left a list open.
    pub(crate) fn seen(&self) -> Seen {
        for (id, staged) in self.listed() {
            assert!(
                !staged.must_fetch || staged.list == List::Closed,
                "{id} was not read"
            );
        }
        let shown = |(id, staged): (&String, &StagedGroup)| {
            let is_read = staged.list == List::Closed;
            (
                id.clone(),
                (staged.group.clone(), is_read, staged.members.clone()),
            )
        };
        Seen {
            users: self.users.clone(),
            groups: self.listed().map(shown).collect(),
            skips: self.skips.iter().cloned().collect(),
        }
    }
}
