//! Makes an org from a seed: mostly ordinary people, and a small share of every oddity that Okta allows.

use crate::ids::{Dice, Id, mix};
use crate::org::{App, AppGroup, AppUser, Group, GroupType, Org, Scope, User, UserStatus, at};

const FIRST_NAMES: [&str; 24] = [
    "Ada",
    "Grace",
    "Alan",
    "Barbara",
    "Edsger",
    "Frances",
    "Ken",
    "Margaret",
    "Dennis",
    "Radia",
    "Donald",
    "Hedy",
    "Linus",
    "Katherine",
    "John",
    "Mary",
    "Tim",
    "Joan",
    "Leslie",
    "Karen",
    "Niklaus",
    "Sophie",
    "Claude",
    "Evelyn",
];
const LAST_NAMES: [&str; 24] = [
    "Lovelace", "Hopper", "Turing", "Liskov", "Dijkstra", "Allen", "Thompson", "Hamilton", "Ritchie",
    "Perlman", "Knuth", "Lamarr", "Torvalds", "Johnson", "Backus", "Keller", "Lee", "Clarke", "Lamport",
    "Jones", "Wirth", "Wilson", "Shannon", "Boyd",
];
const TEAMS: [&str; 12] = [
    "Engineering",
    "Design",
    "Finance",
    "Legal",
    "Sales",
    "Support",
    "People",
    "Security",
    "Research",
    "Marketing",
    "Operations",
    "Data",
];
const PLACES: [&str; 8] = [
    "Berlin", "Lisbon", "Oslo", "Toronto", "Nairobi", "Tokyo", "Quito", "Perth",
];

/// The oldest record: 2024-01-01.
const EPOCH: i64 = 1_704_067_200;
/// Records are spread over so many seconds behind [`EPOCH`].
const SPREAD: u64 = 60_000_000;
/// Of each so many users at the start of the org, every oddity occurs once.
const PERIOD: usize = 50;

/// What an org has that no ordinary one has, for tests of hostile input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// How many fields each profile has beyond Okta's own.
    pub extra_fields: u16,
    /// How many bytes family names and names of groups are padded to.
    pub long_names: usize,
    /// Whether the first user is in all groups of the sign-in app, and its first group has all users.
    pub is_everywhere: bool,
}

impl Shape {
    fn lengthen(&self, name: &mut String) {
        let missing = self.long_names.saturating_sub(name.len());
        name.extend(std::iter::repeat_n('n', missing));
    }
}

/// How big the org is.
pub(crate) struct Size {
    pub(crate) users: usize,
    pub(crate) groups: usize,
    pub(crate) per_group: usize,
    pub(crate) shape: Shape,
}

/// The org of a seed.
pub(crate) fn org(seed: u64, size: &Size) -> Org {
    let mut org = Org {
        seed,
        ..Org::default()
    };
    org.users = (0..size.users)
        .map(|n| shaped(user(seed, n), &size.shape))
        .collect();
    let mut dice = Dice::new(mix(seed ^ 0x6772_6f75_7073));
    for n in 0..size.groups {
        let id = org.next_group_id();
        let members = members(&mut dice, size, n);
        let mut group = group(id, seed, n, members);
        size.shape.lengthen(&mut group.name);
        org.groups.push(group);
    }
    add_groups_of_the_org(&mut org, size);
    add_apps(&mut org, size);
    org
}

/// The same user in the shape that is asked for.
fn shaped(mut user: User, shape: &Shape) -> User {
    user.extra_fields = shape.extra_fields;
    if let Some(name) = user.last_name.take() {
        let mut name = String::from(name);
        shape.lengthen(&mut name);
        user.last_name = Some(name.into());
    }
    user
}

/// A time in the spread, decided by the seed.
fn past(seed: u64, n: usize, salt: u64) -> i64 {
    let noise = mix(seed ^ mix(n as u64) ^ salt) % SPREAD;
    EPOCH + i64::try_from(noise).unwrap_or(0)
}

/// Which oddity the `n`th user has, if any. The first users have each; later ones one in 25.
fn oddity(seed: u64, n: usize) -> Option<usize> {
    if n < 2 * PERIOD {
        return Some(n % PERIOD);
    }
    let noise = mix(seed ^ mix(n as u64) ^ 0x6f64_6473);
    noise
        .is_multiple_of(25)
        .then(|| usize::try_from(noise / 25 % PERIOD as u64).unwrap_or(0))
}

fn user(seed: u64, n: usize) -> User {
    let mut dice = Dice::new(mix(seed ^ mix(n as u64)));
    let first = *dice.pick(&FIRST_NAMES);
    let last = *dice.pick(&LAST_NAMES);
    let address = format!("{}.{}{n}@acme.example", first.to_lowercase(), last.to_lowercase());
    let created = past(seed, n, 1);
    let mut user = User {
        id: Id::nth("00u", seed, n as u64),
        status: UserStatus::Active,
        extra_fields: 0,
        first_name: Some(first.into()),
        last_name: Some(last.into()),
        display_name: None,
        email: Some(address.as_str().into()),
        login: address.as_str().into(),
        created,
        updated: created + 3_600,
        is_deleted: false,
    };
    match oddity(seed, n) {
        Some(1) => user.status = UserStatus::Staged,
        Some(2) => user.status = UserStatus::Provisioned,
        Some(3) => user.status = UserStatus::Recovery,
        Some(4) => user.status = UserStatus::PasswordExpired,
        Some(5) => user.status = UserStatus::LockedOut,
        Some(6) => user.status = UserStatus::Suspended,
        Some(7) => user.status = UserStatus::Deprovisioned,
        Some(8 | 19) => user.email = None,
        Some(9) => user.last_name = None,
        Some(10) => (user.first_name, user.last_name) = (None, None),
        Some(11) => {
            user.first_name = Some("Zoë 🦊".into());
            user.last_name = Some("Ångström-Γεωργίου".into());
            user.email = Some(format!("zoë.{n}@bücher.example").into());
        }
        Some(12) => {
            user.email = Some(format!("{first}.{last}{n}@Acme.Example").into());
            user.login = format!("{first}.{last}{n}@ACME.example").into();
        }
        Some(13) => user.email = Some(format!("{}+okta{n}@acme.example", first.to_lowercase()).into()),
        Some(14) => user.email = Some(format!("  spaced{n}@acme.example ").into()),
        Some(16) => user.email = Some("shared.mailbox@acme.example".into()),
        Some(17) => {
            user.first_name = Some("Anne \"Annie\"".into());
            user.last_name = Some("O'Neil\\Smith\u{202e}\u{0007}".into());
        }
        Some(18) => user.first_name = None,
        Some(20) => user.display_name = Some(format!("{last}, {first} (Contractor)").into()),
        Some(21) => user.last_name = Some("Null".into()),
        Some(22) => user.login = format!("svc-{n}").into(),
        _ => {}
    }
    user
}

/// Whether the `n`th user is left out of the sign-in app.
fn is_unassigned(seed: u64, n: usize) -> bool {
    oddity(seed, n) == Some(15)
}

fn members(dice: &mut Dice, size: &Size, n: usize) -> Vec<u32> {
    if size.groups >= 8 && n == 5 && !size.shape.is_everywhere {
        return Vec::new();
    }
    if size.per_group >= size.users || size.shape.is_everywhere && n == 0 {
        return (0..at(size.users)).collect();
    }
    let mut members: Vec<u32> = Vec::with_capacity(size.per_group + size.per_group / 8);
    while members.len() < size.per_group {
        let missing = size.per_group - members.len();
        members.extend((0..missing).map(|_| at(dice.below(size.users))));
        members.sort_unstable();
        members.dedup();
    }
    if size.shape.is_everywhere && members.first() != Some(&0) {
        members.insert(0, 0);
    }
    members
}

fn group(id: Id, seed: u64, n: usize, members: Vec<u32>) -> Group {
    let team = TEAMS[n % TEAMS.len()];
    let place = PLACES[n / TEAMS.len() % PLACES.len()];
    let created = past(seed, n, 2);
    let mut group = Group {
        id,
        kind: GroupType::OktaGroup,
        name: format!("{team} {place} {n}"),
        description: Some(format!("Everyone in {team} at {place}")),
        created,
        updated: created + 60,
        membership_updated: created + 120,
        members,
        is_deleted: false,
    };
    match n {
        1 => group.description = None,
        2 => group.description = Some(String::new()),
        3 => "Отдел продаж · 営業部 🌍".clone_into(&mut group.name),
        4 => group.kind = GroupType::AppGroup,
        6 => "Quotes \"and\" \\slashes/".clone_into(&mut group.name),
        _ => {}
    }
    group
}

/// Groups that no app of the sync is assigned to: Everyone, and two more.
fn add_groups_of_the_org(org: &mut Org, size: &Size) {
    let everyone: Vec<u32> = (0..at(size.users)).collect();
    let first: Vec<u32> = everyone.iter().copied().take(20).collect();
    let rows = [
        (
            "Everyone",
            "All users in your organization",
            GroupType::BuiltIn,
            everyone,
        ),
        (
            "Okta Administrators",
            "",
            GroupType::OktaGroup,
            first.iter().copied().take(3).collect(),
        ),
        (
            "VPN only",
            "Not assigned to the sign-in app",
            GroupType::OktaGroup,
            first,
        ),
    ];
    for (name, description, kind, members) in rows {
        let n = org.groups.len();
        let created = past(org.seed, n, 3);
        let group = Group {
            id: org.next_group_id(),
            kind,
            name: name.to_owned(),
            description: Some(description.to_owned()),
            created,
            updated: created,
            membership_updated: created + 10,
            members,
            is_deleted: false,
        };
        org.groups.push(group);
    }
}

fn app(org: &Org, name: &str, label: &str, mode: &str, is_active: bool) -> App {
    let created = past(org.seed, org.apps.len(), 4);
    App {
        id: org.next_app_id(),
        name: name.to_owned(),
        label: label.to_owned(),
        sign_on_mode: mode.to_owned(),
        application_type: None,
        is_active,
        created,
        updated: created + 30,
        users: Vec::new(),
        groups: Vec::new(),
        is_deleted: false,
    }
}

fn add_apps(org: &mut Org, size: &Size) {
    let console = app(org, "saasure", "Okta Admin Console", "OPENID_CONNECT", true);
    org.apps.push(console);
    let mut sign_in = app(org, "oidc_client", "Acme Sign-in", "OPENID_CONNECT", true);
    sign_in.application_type = Some("web".to_owned());
    sign_in.users = (0..size.users)
        .filter(|n| !is_unassigned(org.seed, *n))
        .map(|n| AppUser {
            user: at(n),
            scope: if n % 3 == 0 { Scope::User } else { Scope::Group },
        })
        .collect();
    sign_in.groups = (0..size.groups)
        .map(|n| AppGroup {
            group: at(n),
            priority: at(n),
            updated: past(org.seed, n, 5),
        })
        .collect();
    org.sign_in = org.apps.len();
    org.apps.push(sign_in);

    let some_users = |step: usize| -> Vec<AppUser> {
        (0..size.users)
            .step_by(step)
            .map(|n| AppUser {
                user: at(n),
                scope: Scope::User,
            })
            .collect()
    };
    let mut wiki = app(org, "bookmark", "Team Wiki", "BOOKMARK", true);
    wiki.users = some_users(11);
    wiki.groups = (0..size.groups.min(2))
        .map(|n| AppGroup {
            group: at(n),
            priority: at(n),
            updated: past(org.seed, n, 6),
        })
        .collect();
    org.apps.push(wiki);
    let mut expenses = app(org, "acme_expenses_1", "Expenses (old)", "SAML_2_0", false);
    expenses.users = some_users(7);
    org.apps.push(expenses);
    let unused = app(org, "template_saml_2_0", "Nobody's app", "SAML_2_0", true);
    org.apps.push(unused);
    let mut service = app(org, "oidc_client", "Directory Sync", "OPENID_CONNECT", true);
    service.application_type = Some("service".to_owned());
    org.apps.push(service);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn size(users: usize) -> Size {
        Size {
            users,
            groups: 12,
            per_group: 10,
            shape: Shape::default(),
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_org() {
        let (one, two, other) = (org(4, &size(300)), org(4, &size(300)), org(5, &size(300)));
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
        assert_ne!(format!("{one:?}"), format!("{other:?}"));
    }

    #[test]
    fn an_org_has_the_hostile_shape_that_is_asked_for() {
        let org = org(
            1,
            &Size {
                shape: Shape {
                    extra_fields: 7,
                    long_names: 4_000,
                    is_everywhere: true,
                },
                ..size(300)
            },
        );
        let names = org.users.iter().filter_map(|user| user.last_name.as_deref());
        assert!(names.clone().count() > 280 && names.clone().all(|name| name.len() == 4_000));
        assert!(org.users.iter().all(|user| user.extra_fields == 7));
        let groups = &org.groups[..12];
        assert_eq!(groups[0].members.len(), 300);
        assert!(
            groups
                .iter()
                .all(|group| group.members[0] == 0 && group.name.len() == 4_000)
        );
    }

    #[test]
    fn a_small_org_has_every_status_and_oddity() {
        let org = org(1, &size(50));
        let statuses: HashSet<_> = org.users.iter().map(|user| user.status).collect();
        assert_eq!(statuses.len(), 8);
        assert!(org.users.iter().any(|user| user.email.is_none()));
        assert!(
            org.users
                .iter()
                .any(|user| user.first_name.is_none() && user.last_name.is_none())
        );
        assert!(org.apps[org.sign_in].users.len() < org.users.len());
    }

    #[test]
    fn in_a_big_org_the_odd_ones_are_few() {
        let org = org(1, &size(20_000));
        let ordinary = org
            .users
            .iter()
            .filter(|user| user.status == UserStatus::Active)
            .count();
        assert!(ordinary > 19_500, "{ordinary} of 20000 are active");
        assert!(org.users.is_sorted_by_key(|user| user.id));
    }

    #[test]
    fn groups_have_as_many_members_as_asked_for() {
        let org = org(3, &size(1_000));
        assert_eq!(org.groups[0].members.len(), 10);
        assert!(org.groups[5].members.is_empty());
        assert!(org.groups.iter().all(|group| group.members.is_sorted()));
    }
}
