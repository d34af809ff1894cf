//! Rows of an org of any size, the same in every run. Ids are in another order than the one they are put in.

use idsync_model::{ExternalId, Group, InvalidId, MembersVersion, User};

/// How far apart neighbours in a list are among the users. It divides none of the sizes, so that a list repeats nobody.
const SPREAD: usize = 199;

/// An org: how many users and groups, and how many members each group has.
#[derive(Debug, Clone, Copy)]
pub struct Org {
    /// Users.
    pub users: usize,
    /// Groups.
    pub groups: usize,
    /// Members of each group.
    pub per_group: usize,
}

impl Org {
    /// Users, groups and memberships.
    pub fn rows(self) -> usize {
        self.users + self.groups + self.groups * self.per_group
    }

    /// Which user is a group's member, by the member's place in the list. Neighbours in a list are no neighbours in the
    /// store.
    pub fn member(self, group: usize, place: usize) -> usize {
        (group * 7_919 + place * SPREAD) % self.users
    }
}

/// The id of a user.
pub fn user_id(n: usize) -> String {
    id("00u", n)
}

/// The id of a group.
pub fn group_id(n: usize) -> String {
    id("00g", n)
}

fn id(kind: &str, n: usize) -> String {
    let spread = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{kind}{spread:017x}")
}

/// A user; one that was renamed has another family name.
pub fn user(n: usize, is_renamed: bool) -> Result<User, InvalidId> {
    let family = if is_renamed { "Murray" } else { "Hopper" };
    Ok(User {
        external_id: ExternalId::new(user_id(n))?,
        email: format!("grace.hopper.{n}@acme.example"),
        username: format!("grace.hopper.{n}@acme.example"),
        display_name: Some(format!("Grace {family} {n}")),
        given_name: Some("Grace".to_owned()),
        family_name: Some(format!("{family} {n}")),
        active: true,
        provider_status: "ACTIVE".to_owned(),
    })
}

/// A group, whose members changed last at `changed_at`.
pub fn group(n: usize, changed_at: u64) -> Result<Group, InvalidId> {
    Ok(Group {
        external_id: ExternalId::new(group_id(n))?,
        name: format!("Group {n}"),
        description: None,
        provider_kind: None,
        members_version: Some(MembersVersion::ChangedAt(changed_at)),
    })
}
