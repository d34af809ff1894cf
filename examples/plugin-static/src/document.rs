//! The JSON document: users, and groups with their members.

use serde::Deserialize;

/// The whole directory.
#[derive(Debug, Deserialize)]
pub struct Document {
    /// Everyone.
    pub users: Vec<User>,
    /// Every group.
    pub groups: Vec<Group>,
}

/// A person.
#[derive(Debug, Deserialize)]
pub struct User {
    /// Never changes, and is never given to another.
    pub id: String,
    /// The address, where the person has one.
    #[serde(default)]
    pub email: Option<String>,
    /// The name to show.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether the person may sign in.
    #[serde(default = "yes")]
    pub active: bool,
}

/// A set of people.
#[derive(Debug, Deserialize)]
pub struct Group {
    /// Never changes.
    pub id: String,
    /// The name to show.
    #[serde(default)]
    pub name: String,
    /// The ids of its members.
    pub members: Vec<String>,
}

impl Document {
    /// Reads a document. `users`, `groups` and each `members` must be there: a list that is missing is a broken
    /// answer, never an empty list.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// The user with this id or address.
    pub fn find(&self, who: &str) -> Option<&User> {
        self.users
            .iter()
            .find(|user| user.id == who || user.address().as_deref() == Some(&who.to_lowercase()))
    }
}

impl User {
    /// The address in the form in which two spellings of it are equal. Without one the user can't be synced.
    pub fn address(&self) -> Option<String> {
        let address = self.email.as_deref()?.trim().to_lowercase();
        (!address.is_empty()).then_some(address)
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_list_is_no_empty_list() {
        assert!(Document::read(br#"{"users": [], "groups": []}"#).is_ok());
        assert!(Document::read(br#"{"users": []}"#).is_err());
        assert!(Document::read(br#"{"users": [], "groups": [{"id": "g1"}]}"#).is_err());
        assert!(Document::read(b"<html></html>").is_err());
    }

    #[test]
    fn a_user_is_found_by_id_and_by_any_spelling_of_the_address() {
        let text = br#"{"users": [{"id": "1", "email": " Ada@Example.com "}, {"id": "2"}], "groups": []}"#;
        let document = Document::read(text).unwrap();
        assert_eq!(document.find("1").unwrap().id, "1");
        assert_eq!(document.find("ADA@example.com").unwrap().id, "1");
        assert!(document.find("2").unwrap().address().is_none());
        assert!(document.find("3").is_none());
    }
}
