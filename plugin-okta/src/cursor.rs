//! What is committed with a checkpoint: where each listing goes on in a later run (RUNS §6.4).
//!
//! Groups have no place here. Their listings are short, and a run that goes on reads them again: the host then says
//! which member lists are still to be read, however many there are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The form of a cursor. Another one is not read.
const VERSION: u32 = 2;
/// The most that the host takes with a checkpoint.
const MOST_BYTES: usize = 64 << 10;

/// Where the listing of an app's users goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Path and query of the next page; nothing when the last one was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether any page had a row, so that the listing is not empty.
    pub has_rows: bool,
}

/// The state of a run at a checkpoint. What it says was put, was put before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The apps that the run reads, in the order of their ids.
    pub apps: Vec<String>,
    /// The listings of users that have begun, by their apps.
    pub users: BTreeMap<String, Place>,
    /// The next page of each member list that has begun and has not ended, by their groups.
    pub members: BTreeMap<String, String>,
    /// Remarks for the admin.
    pub notes: Vec<String>,
    /// Rows of users that were read.
    pub user_rows: u64,
    /// Member lists that were read.
    pub lists: u64,
    /// Groups that were gone when their members were read.
    pub gone: u64,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    cursor: &'a Cursor,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Read {
    cursor: Cursor,
}

impl Cursor {
    /// Reads one that an earlier run left. Nothing, where it is of another form.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let Version { version } = serde_json::from_slice(bytes).ok()?;
        if version != VERSION {
            return None;
        }
        let Read { cursor } = serde_json::from_slice(bytes).ok()?;
        Some(cursor)
    }

    /// As bytes that the host takes. Where all of it is too much, member lists that have begun are left out, which then
    /// begin again, and so are the remarks. Nothing, where that is too much still.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let fits = |cursor: &Self| {
            let version = VERSION;
            let bytes = serde_json::to_vec(&Written { version, cursor }).ok()?;
            (bytes.len() <= MOST_BYTES).then_some(bytes)
        };
        fits(self).or_else(|| {
            fits(&Self {
                members: BTreeMap::new(),
                notes: Vec::new(),
                ..self.clone()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            apps: vec!["0oa1".to_owned()],
            users: BTreeMap::from([(
                "0oa1".to_owned(),
                Place {
                    next: Some("/api/v1/apps/0oa1/users?after=7".to_owned()),
                    has_rows: true,
                },
            )]),
            members: BTreeMap::from([("00g1".to_owned(), "/api/v1/groups/00g1/users?after=7".to_owned())]),
            notes: vec!["A group is gone.".to_owned()],
            user_rows: 1000,
            lists: 3,
            gone: 1,
        }
    }

    #[test]
    fn runs_6_4_a_cursor_is_read_as_it_was_written() {
        let bytes = cursor().to_bytes().unwrap();
        assert_eq!(Cursor::read(&bytes), Some(cursor()));
    }

    #[test]
    fn runs_6_4_a_cursor_of_another_form_is_not_read() {
        let text = String::from_utf8(cursor().to_bytes().unwrap()).unwrap();
        let older = text.replace("\"version\":2", "\"version\":1");
        assert_ne!(older, text);
        let cut = &text[..text.len() / 2];
        for odd in [
            older.as_str(),
            cut,
            "",
            "{}",
            "{\"version\":2}",
            "{\"okta_ms\":1,\"pages\":2}",
        ] {
            assert_eq!(Cursor::read(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn runs_6_4_a_cursor_stays_within_what_the_host_takes() {
        let long = |number: usize| (format!("00g{number}"), "x".repeat(8 << 10));
        let many_lists = Cursor {
            members: (0..16).map(long).collect(),
            ..cursor()
        };
        let bytes = many_lists.to_bytes().unwrap();
        assert!(bytes.len() <= MOST_BYTES);
        let read = Cursor::read(&bytes).unwrap();
        assert!(read.members.is_empty(), "lists that are left out begin again");
        assert_eq!((read.users, read.gone), (cursor().users, 1));
        let many_apps = Cursor {
            apps: (0..10_000).map(|number| long(number).0).collect(),
            ..cursor()
        };
        assert_eq!(many_apps.to_bytes(), None);
    }
}
