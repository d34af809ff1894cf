//! The ids that are seen outside the store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Text that is no id of the kind it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidId {
    /// What was given.
    pub text: String,
    /// What an id of this kind looks like.
    pub expected: &'static str,
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new id (UUID version 7, RFC 9562, section 5.7). It begins with the time of day, so ids follow each
            /// other in order within a process; those of other processes and of a clock that was set back need not.
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "{}"), Uuid::now_v7().simple()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let is_id = text.strip_prefix($prefix).is_some_and(|rest| {
                    rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
                });
                if is_id {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId {
                        text: text.to_owned(),
                        expected: concat!("an id like ", $prefix, "0198c0de…"),
                    })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

prefixed_id!(
    /// Names one directory for ever: an id is never used again.
    DirectoryId, "dir_"
);
prefixed_id!(
    /// Names one run for ever.
    RunId, "run_"
);
prefixed_id!(
    /// Names a process that runs directories, for as long as it lives.
    OwnerId, "own_"
);

/// The name of a tenant: 1 to 63 lower-case letters, digits and `-`, with a letter or digit at both ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantName(String);

impl TenantName {
    /// The tenant that exists from the start.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantName {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_name = (1..=63).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId {
                text: text.to_owned(),
                expected: "a tenant's name: 1 to 63 lower-case letters, digits and `-`, no `-` at the ends",
            })
        }
    }
}

impl TryFrom<String> for TenantName {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<TenantName> for String {
    fn from(name: TenantName) -> String {
        name.0
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A provider's own id of a user or a group. It is opaque: compared by its bytes, 1 to 255 of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ExternalId(String);

impl ExternalId {
    /// Takes a provider's id.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
        let id = id.into();
        Self::length_of(&id)?;
        Ok(Self(id))
    }

    /// How many bytes an id has, where it is one.
    pub(crate) fn length_of(id: &str) -> Result<u8, InvalidId> {
        match u8::try_from(id.len()) {
            Ok(length @ 1..) => Ok(length),
            _ => Err(InvalidId {
                text: id.chars().take(80).collect(),
                expected: "an external id of 1 to 255 bytes",
            }),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_and_another_kind_is_refused() {
        let id = DirectoryId::generate();
        assert_eq!(id.as_str().parse::<DirectoryId>().unwrap(), id);
        assert!(id.as_str().parse::<RunId>().is_err());
        assert!("dir_XYZ".parse::<DirectoryId>().is_err());
    }

    #[test]
    fn a_tenants_name_is_a_label() {
        assert!("acme-2".parse::<TenantName>().is_ok());
        for bad in ["", "-a", "a-", "Acme", "a b", "a/b", &"x".repeat(64)] {
            assert!(bad.parse::<TenantName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_external_id_has_a_length() {
        assert!(ExternalId::new("00u1").is_ok());
        assert!(ExternalId::new("").is_err());
        assert!(ExternalId::new("x".repeat(256)).is_err());
    }
}
