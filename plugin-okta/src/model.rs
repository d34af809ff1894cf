//! What Okta's JSON looks like, as far as it is read. Strings are borrowed from the body where they can be.
//!
//! A row must be an object with its id, and with its `_embedded` object where it was asked for. All else may be missing,
//! null or of another kind: one odd record never stops a run (RUNS §1.3, §1.8).

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// An id of Okta's: opaque, not empty, and short enough for the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(TextVisitor)? {
            Text::Whole(id) if (1..=255).contains(&id.len()) => Ok(Self(id)),
            Text::Mended(_) => Err(de::Error::custom("an id that has half of a character")),
            _ => Err(de::Error::custom("an id that is empty or longer than 255 bytes")),
        }
    }
}

/// A text, or whatever else stands in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Text<'a> {
    /// Something else, or nothing.
    #[default]
    None,
    /// A text.
    Whole(Cow<'a, str>),
    /// Okta's has half of a character (a surrogate without the other), which no text can have; here U+FFFD is in its place.
    Mended(String),
}

impl Text<'_> {
    /// The text without white space around it, when anything is left then.
    pub fn trimmed(&self) -> Option<&str> {
        let text: &str = match self {
            Self::None => return None,
            Self::Whole(text) => text,
            Self::Mended(text) => text,
        };
        Some(text.trim()).filter(|text| !text.is_empty())
    }

    /// Whether it is not what Okta has.
    pub fn is_mended(&self) -> bool {
        matches!(self, Self::Mended(_))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text::Whole(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text::Whole(Cow::Owned(text.to_owned())))
    }
    fn visit_bytes<E>(self, mended: &[u8]) -> Result<Self::Value, E> {
        Ok(Text::Mended(String::from_utf8_lossy(mended).into_owned()))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text::None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Text::None)
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Text::Whole(Cow::Owned(number.to_string())))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Text::Whole(Cow::Owned(number.to_string())))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Text::None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text::None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text::None)
    }
}

/// Any row of which only the id counts.
#[derive(Debug, Deserialize)]
pub struct Row<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: Id<'a>,
}

/// An app (Okta, Applications API).
#[derive(Debug, Deserialize)]
pub struct App<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: Id<'a>,
    /// Its name for people.
    #[serde(borrow, default)]
    pub label: Text<'a>,
    /// `ACTIVE`, `INACTIVE` or `DELETED`.
    #[serde(borrow, default)]
    pub status: Text<'a>,
}

/// The user of an app, with `expand=user` (Okta, Application Users API).
#[derive(Debug, Deserialize)]
pub struct AppUser<'a> {
    /// The user's id.
    #[serde(borrow)]
    pub id: Id<'a>,
    /// What was asked for besides.
    #[serde(borrow, rename = "_embedded")]
    pub embedded: EmbeddedUser<'a>,
}

/// The user inside an app user.
#[derive(Debug, Deserialize)]
pub struct EmbeddedUser<'a> {
    /// The user.
    #[serde(borrow)]
    pub user: User<'a>,
}

/// A user (Okta, Users API).
#[derive(Debug, Deserialize)]
pub struct User<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: Id<'a>,
    /// Its status in the user's life cycle.
    #[serde(borrow, default)]
    pub status: Text<'a>,
    /// What people know of it.
    #[serde(borrow, default)]
    pub profile: OrNothing<UserProfile<'a>>,
}

/// The parts of a user's profile that are synced.
#[derive(Debug, Default, Deserialize)]
pub struct UserProfile<'a> {
    /// What the user signs in with.
    #[serde(borrow, default)]
    pub login: Text<'a>,
    /// The primary address.
    #[serde(borrow, default)]
    pub email: Text<'a>,
    /// The given name.
    #[serde(borrow, default, rename = "firstName")]
    pub first_name: Text<'a>,
    /// The family name.
    #[serde(borrow, default, rename = "lastName")]
    pub last_name: Text<'a>,
    /// The name to show.
    #[serde(borrow, default, rename = "displayName")]
    pub display_name: Text<'a>,
}

/// The group of an app, with `expand=group` (Okta, Application Groups API).
#[derive(Debug, Deserialize)]
pub struct AppGroup<'a> {
    /// The group's id.
    #[serde(borrow)]
    pub id: Id<'a>,
    /// What was asked for besides.
    #[serde(borrow, rename = "_embedded")]
    pub embedded: EmbeddedGroup<'a>,
}

/// The group inside an app group.
#[derive(Debug, Deserialize)]
pub struct EmbeddedGroup<'a> {
    /// The group.
    #[serde(borrow)]
    pub group: Group<'a>,
}

/// A group (Okta, Groups API).
#[derive(Debug, Deserialize)]
pub struct Group<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: Id<'a>,
    /// `OKTA_GROUP`, `APP_GROUP` or `BUILT_IN`.
    #[serde(borrow, default, rename = "type")]
    pub kind: Text<'a>,
    /// When its members last changed.
    #[serde(borrow, default, rename = "lastMembershipUpdated")]
    pub last_membership_updated: Text<'a>,
    /// What people know of it.
    #[serde(borrow, default)]
    pub profile: OrNothing<GroupProfile<'a>>,
}

/// The parts of a group's profile that are synced.
#[derive(Debug, Default, Deserialize)]
pub struct GroupProfile<'a> {
    /// Its name.
    #[serde(borrow, default)]
    pub name: Text<'a>,
    /// What it is for.
    #[serde(borrow, default)]
    pub description: Text<'a>,
}

/// The answer to a token request (RFC 6749, section 5.1).
#[derive(Deserialize)]
pub struct TokenGrant {
    /// The token. Not shown by `Debug`, which is why there is none.
    pub access_token: String,
    /// `DPoP` or `Bearer` (RFC 9449, section 5).
    pub token_type: String,
    /// For how many seconds it is good.
    #[serde(default)]
    pub expires_in: Option<u64>,
    /// What it may do, where that differs from what was asked for.
    #[serde(default)]
    pub scope: Option<String>,
}

/// The public document about an org (Okta, Org API: `/.well-known/okta-organization`).
#[derive(Debug, Deserialize)]
pub struct Organization<'a> {
    /// The org's id.
    #[serde(borrow)]
    pub id: Id<'a>,
}

/// An object, or nothing where null, a list or a plain value stands in its place.
#[derive(Debug, Default)]
pub struct OrNothing<T>(pub T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for OrNothing<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<T, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(entries))
            }
            fn visit_unit<E>(self) -> Result<T, E> {
                Ok(T::default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<T, E> {
                Ok(T::default())
            }
            fn visit_i64<E>(self, _: i64) -> Result<T, E> {
                Ok(T::default())
            }
            fn visit_u64<E>(self, _: u64) -> Result<T, E> {
                Ok(T::default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<T, E> {
                Ok(T::default())
            }
            fn visit_str<E>(self, _: &str) -> Result<T, E> {
                Ok(T::default())
            }
            fn visit_bytes<E>(self, _: &[u8]) -> Result<T, E> {
                Ok(T::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(T::default())
            }
        }

        deserializer
            .deserialize_any(ObjectVisitor(std::marker::PhantomData))
            .map(OrNothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_from_the_shape_that_okta_sends() {
        let json = r#"[{"id":"00u1","externalId":null,"scope":"USER","status":"ACTIVE","syncState":"DISABLED",
            "credentials":{"userName":"Ada@Acme.test"},"profile":{},"_links":{"user":{"href":"https://x/y"}},
            "_embedded":{"user":{"id":"00u1","status":"PASSWORD_EXPIRED","type":{"id":"oty1"},"profile":{
              "login":"Ada@Acme.test","firstName":"Ada","lastName":"Lovel\u00e4ce","mobilePhone":null,
              "email":"ada@acme.test","secondEmail":null,"nickName":["odd"]},"credentials":{"password":{}}}}}]"#;
        let rows: Vec<AppUser<'_>> = serde_json::from_str(json).unwrap();
        let user = &rows[0].embedded.user;
        assert_eq!(rows[0].id.0, "00u1");
        assert_eq!(user.status.trimmed(), Some("PASSWORD_EXPIRED"));
        assert_eq!(user.profile.0.last_name.trimmed(), Some("Lovel\u{e4}ce"));
        assert!(matches!(user.profile.0.email, Text::Whole(Cow::Borrowed(_))));
        assert_eq!(user.profile.0.display_name.trimmed(), None);
    }

    #[test]
    fn a_group_is_read_from_the_shape_that_okta_sends() {
        let json = r#"[{"id":"00g1","lastUpdated":"2026-01-01T00:00:00.000Z","priority":0,"profile":{},
            "_links":{},"_embedded":{"group":{"id":"00g1","type":"OKTA_GROUP","objectClass":["okta:user_group"],
            "lastMembershipUpdated":"2026-01-02T03:04:05.000Z","profile":{"name":"Staff","description":null}}}}]"#;
        let rows: Vec<AppGroup<'_>> = serde_json::from_str(json).unwrap();
        let group = &rows[0].embedded.group;
        assert_eq!(group.kind.trimmed(), Some("OKTA_GROUP"));
        assert_eq!(group.profile.0.name.trimmed(), Some("Staff"));
        assert_eq!(group.profile.0.description.trimmed(), None);
    }

    #[test]
    fn runs_1_3_nulls_unknown_words_and_odd_kinds_are_normal() {
        for profile in [
            "null",
            "[]",
            "\"x\"",
            "7",
            "{\"email\":{\"a\":1},\"login\":[1],\"firstName\":7}",
            "{}",
        ] {
            let json = format!(r#"{{"id":"00u1","status":"NEW_WORD","profile":{profile}}}"#);
            let user: User<'_> = serde_json::from_str(&json).unwrap();
            assert_eq!(user.profile.0.email.trimmed(), None, "{profile}");
        }
        let user: User<'_> = serde_json::from_str(r#"{"id":"00u1"}"#).unwrap();
        assert_eq!(user.status.trimmed(), None);
    }

    #[test]
    fn runs_1_3_rows_without_id_or_embedded_object_are_refused() {
        for row in [
            r#"{"id":"00u1"}"#,
            r#"{"id":"00u1","_embedded":null}"#,
            r#"{"id":"00u1","_embedded":{}}"#,
            r#"{"id":"00u1","_embedded":{"user":null}}"#,
            r#"{"_embedded":{"user":{"id":"00u1"}}}"#,
            r#"{"id":"","_embedded":{"user":{"id":"00u1"}}}"#,
            r#"{"id":null,"_embedded":{"user":{"id":"00u1"}}}"#,
            "null",
            "\"00u1\"",
            "[]",
        ] {
            assert!(serde_json::from_str::<AppUser<'_>>(row).is_err(), "{row}");
        }
        assert!(serde_json::from_str::<Vec<Row<'_>>>("{}").is_err());
        assert!(serde_json::from_str::<Vec<Row<'_>>>("null").is_err());
    }
}
