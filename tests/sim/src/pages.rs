//! Listings page by page: Okta's page sizes, opaque cursors, and the rows of a page.

use crate::answer::{Answer, invalid, invalid_cursor};
use crate::ids::Id;
use crate::org::{App, GroupAt, Org, User, UserAt, UserStatus};
use crate::rows::{self, Detail};
use crate::search::Search;

/// What is listed.
#[derive(Debug, Clone)]
pub(crate) enum Listing {
    Apps(Option<Vec<String>>),
    AppUsers(usize),
    AppGroups(usize),
    Groups(Option<String>),
    Members(GroupAt),
    Users(Search),
    GroupsOf(UserAt),
    /// A listing whose rows the role does not reach.
    Nothing(Limit),
}

/// How many rows a page has when nothing is asked for, and at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) usual: usize,
    pub(crate) most: usize,
}

/// A page.
pub(crate) struct Page {
    /// A JSON array.
    pub(crate) body: String,
    /// Where the next page begins.
    pub(crate) cursor: Option<String>,
}

/// Which page is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut {
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
    pub(crate) is_expanded: bool,
    /// Rows that the listing moved by since the page before: -1 repeats one, 1 misses one.
    pub(crate) moved: isize,
}

impl Listing {
    /// Okta's page sizes.
    pub(crate) fn limit(&self) -> Limit {
        match self {
            Self::Apps(_) | Self::AppGroups(_) => Limit { usual: 20, most: 200 },
            Self::AppUsers(_) => Limit { usual: 50, most: 500 },
            Self::Groups(_) | Self::GroupsOf(_) => Limit {
                usual: 10_000,
                most: 10_000,
            },
            Self::Members(_) => Limit {
                usual: 1_000,
                most: 1_000,
            },
            Self::Users(_) => Limit {
                usual: 200,
                most: 200,
            },
            Self::Nothing(limit) => *limit,
        }
    }

    /// The number of rows that a `limit` parameter asks for.
    pub(crate) fn limit_asked(&self, parameter: Option<&str>) -> Result<usize, Answer> {
        let Limit { usual, most } = self.limit();
        let Some(parameter) = parameter else {
            return Ok(usual);
        };
        match parameter.parse::<usize>() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => Err(invalid("limit", &format!("limit: must be between 1 and {most}"))),
        }
    }

    fn cursor(&self, last: Id) -> String {
        match self {
            Self::AppUsers(_) => format!("0ua{}", &last.as_str()[3..]),
            Self::Users(_) => rows::user_cursor(last),
            _ => last.to_string(),
        }
    }

    fn last_id(&self, cursor: &str) -> Result<Id, Answer> {
        let id = match self {
            Self::AppUsers(_) => cursor.strip_prefix("0ua").map(|rest| format!("00u{rest}")),
            Self::Users(_) => cursor.strip_prefix('2').map(str::to_owned),
            _ => Some(cursor.to_owned()),
        };
        id.and_then(|id| Id::parse(&id)).ok_or_else(invalid_cursor)
    }

    /// A page of the listing.
    pub(crate) fn page(&self, org: &Org, base: &str, org_id: &str, cut: &Cut) -> Result<Page, Answer> {
        let after = cut
            .after
            .as_deref()
            .map(|cursor| self.last_id(cursor))
            .transpose()?;
        let is_expanded = cut.is_expanded;
        let (body, last) = match self {
            Self::Nothing(_) => ("[]".to_owned(), None),
            Self::Apps(only) => {
                let is_shown = |app: &&App| {
                    let is_in_set = only
                        .as_ref()
                        .is_none_or(|ids| ids.iter().any(|id| id == app.id.as_str()));
                    !app.is_deleted && is_in_set
                };
                let apps: Vec<_> = org.apps.iter().filter(is_shown).collect();
                let start = cut.start(after, |id| apps.partition_point(|app| app.id <= id));
                fill(
                    &apps[start..],
                    cut.limit,
                    |app| app.id,
                    |out, app| rows::app(out, base, org_id, app),
                )
            }
            Self::AppUsers(app) => {
                let app = &org.apps[*app];
                let start = cut.start(after, |id| {
                    app.users.partition_point(|row| org.user(row.user).id <= id)
                });
                let id_of = |row: &crate::org::AppUser| org.user(row.user).id;
                fill(&app.users[start..], cut.limit, id_of, |out, row| {
                    rows::app_user(out, base, org, app, *row, is_expanded);
                })
            }
            Self::AppGroups(app) => {
                let app = &org.apps[*app];
                let start = cut.start(after, |id| {
                    app.groups.partition_point(|row| org.group(row.group).id <= id)
                });
                let id_of = |row: &crate::org::AppGroup| org.group(row.group).id;
                fill(&app.groups[start..], cut.limit, id_of, |out, row| {
                    rows::app_group(out, base, org, app, *row, is_expanded);
                })
            }
            Self::Groups(named) => {
                let is_shown = |group: &&crate::org::Group| {
                    let is_named = named.as_ref().is_none_or(|start| starts_with(&group.name, start));
                    !group.is_deleted && is_named
                };
                let groups: Vec<_> = org.groups.iter().filter(is_shown).collect();
                let start = cut.start(after, |id| groups.partition_point(|group| group.id <= id));
                fill(
                    &groups[start..],
                    cut.limit,
                    |group| group.id,
                    |out, group| rows::group(out, base, group),
                )
            }
            Self::Members(group) => {
                let members = &org.group(*group).members;
                let start = cut.start(after, |id| {
                    members.partition_point(|user| org.user(*user).id <= id)
                });
                fill(
                    &members[start..],
                    cut.limit,
                    |user| org.user(*user).id,
                    |out, user| {
                        rows::user(out, base, org.user(*user), Detail::Row);
                    },
                )
            }
            Self::Users(search) => {
                // Okta lists deactivated users only when they are searched for.
                let is_shown = |user: &&User| {
                    let is_listed = user.status != UserStatus::Deprovisioned || !search.is_everything();
                    !user.is_deleted && is_listed && search.finds(user)
                };
                let start = cut.start(after, |id| org.users.partition_point(|user| user.id <= id));
                let users: Vec<_> = org.users[start..]
                    .iter()
                    .filter(is_shown)
                    .take(cut.limit + 1)
                    .collect();
                fill(
                    &users,
                    cut.limit,
                    |user| user.id,
                    |out, user| rows::user(out, base, user, Detail::Row),
                )
            }
            Self::GroupsOf(user) => {
                let is_shown = |group: &&crate::org::Group| {
                    !group.is_deleted && group.members.binary_search(user).is_ok()
                };
                let groups: Vec<_> = org.groups.iter().filter(is_shown).collect();
                let start = cut.start(after, |id| groups.partition_point(|group| group.id <= id));
                fill(
                    &groups[start..],
                    cut.limit,
                    |group| group.id,
                    |out, group| rows::group(out, base, group),
                )
            }
        };
        Ok(Page {
            body,
            cursor: last.map(|id| self.cursor(id)),
        })
    }
}

impl Cut {
    /// The first row of the page.
    fn start(&self, after: Option<Id>, behind: impl Fn(Id) -> usize) -> usize {
        after.map_or(0, |id| behind(id).saturating_add_signed(self.moved))
    }
}

/// Writes up to `limit` rows; tells the id of the last one when more follow.
fn fill<T>(
    from: &[T],
    limit: usize,
    id_of: impl Fn(&T) -> Id,
    mut write: impl FnMut(&mut String, &T),
) -> (String, Option<Id>) {
    let rows = &from[..limit.min(from.len())];
    let mut out = String::with_capacity(rows.len() * 2_048 + 2);
    out.push('[');
    for (n, row) in rows.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        write(&mut out, row);
    }
    out.push(']');
    let last = rows.last().filter(|_| from.len() > rows.len()).map(id_of);
    (out, last)
}

/// Whether a name starts with a text, whatever the case.
fn starts_with(name: &str, start: &str) -> bool {
    name.to_lowercase().starts_with(&start.to_lowercase())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;
    use crate::generate::{Size, org};

    fn walk(org: &Org, listing: &Listing, limit: usize, moved: isize) -> Vec<String> {
        let mut cut = Cut {
            limit,
            moved,
            ..Cut::default()
        };
        let mut ids = Vec::new();
        loop {
            let page = listing.page(org, "https://acme", "00o1", &cut).ok().unwrap();
            let rows: Vec<Value> = serde_json::from_str(&page.body).unwrap();
            ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            match page.cursor {
                Some(cursor) => cut.after = Some(cursor),
                None => return ids,
            }
        }
    }

    #[test]
    fn every_listing_is_walked_whole_and_without_repeats() {
        let org = org(
            2,
            &Size {
                users: 130,
                groups: 9,
                per_group: 40,
                shape: crate::generate::Shape::default(),
            },
        );
        let sign_in = org.sign_in;
        let listings = [
            (Listing::Apps(None), org.apps.len()),
            (Listing::AppUsers(sign_in), org.apps[sign_in].users.len()),
            (Listing::AppGroups(sign_in), 9),
            (Listing::Groups(None), 12),
            (Listing::Members(0), 40),
            (
                Listing::GroupsOf(0),
                org.groups
                    .iter()
                    .filter(|group| group.members.contains(&0))
                    .count(),
            ),
        ];
        for (listing, count) in listings {
            let ids = walk(&org, &listing, 4, 0);
            assert_eq!(ids.len(), count, "{listing:?}");
            assert_eq!(ids.iter().collect::<HashSet<_>>().len(), count, "{listing:?}");
        }
    }

    #[test]
    fn a_listing_that_moves_repeats_a_row_or_misses_one() {
        let org = org(
            2,
            &Size {
                users: 30,
                groups: 1,
                per_group: 20,
                shape: crate::generate::Shape::default(),
            },
        );
        let listing = Listing::Members(0);
        assert_eq!(walk(&org, &listing, 10, 0).len(), 20);
        assert_eq!(walk(&org, &listing, 10, 1).len(), 19);
        assert!(walk(&org, &listing, 10, -1).len() > 20);
    }

    #[test]
    fn a_cursor_of_another_kind_is_refused() {
        let org = org(
            2,
            &Size {
                users: 30,
                groups: 1,
                per_group: 20,
                shape: crate::generate::Shape::default(),
            },
        );
        let cut = Cut {
            after: Some("next-page".to_owned()),
            limit: 5,
            ..Cut::default()
        };
        assert!(Listing::AppUsers(org.sign_in).page(&org, "", "", &cut).is_err());
    }

    #[test]
    fn page_sizes_are_oktas() {
        assert_eq!(Listing::AppUsers(0).limit_asked(Some("500")).ok(), Some(500));
        assert!(Listing::AppUsers(0).limit_asked(Some("501")).is_err());
        assert!(Listing::Members(0).limit_asked(Some("0")).is_err());
        assert_eq!(Listing::Apps(None).limit_asked(None).ok(), Some(20));
    }
}
