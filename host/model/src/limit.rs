//! How much a plan may delete before a person must look at it: the limits that a directory has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Entity;

/// How few rows may always go, where a share is the limit.
const AT_LEAST: u64 = 10;
/// How many rows a kind must have had, so that "all of them" means something.
const ALL_OF_AT_LEAST: u64 = 2;

/// How much of one kind a plan may delete without a person's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteLimit {
    /// A share of the rows.
    Share {
        /// Held is what deletes more than this share of what the store holds, in percent, …
        percent: u8,
        /// … and no fewer rows than this, so that small directories can live, …
        at_least: u64,
        /// … and what deletes all rows, where there were at least this many.
        all_of_at_least: u64,
    },
    /// A number of rows.
    Count {
        /// Held is what deletes more rows than this, …
        max: u64,
        /// … and what deletes all rows, where there were at least this many.
        all_of_at_least: u64,
    },
    /// Nothing is held for this kind.
    Off,
}

impl Default for DeleteLimit {
    /// More than 20 % and at least 10, or all of at least 2.
    fn default() -> Self {
        Self::Share {
            percent: 20,
            at_least: AT_LEAST,
            all_of_at_least: ALL_OF_AT_LEAST,
        }
    }
}

/// The limit in words, without the rule about all rows: `20 % and at least 10`, `more than 50`, `off`.
impl fmt::Display for DeleteLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share {
                percent, at_least, ..
            } => write!(f, "{percent} % and at least {at_least}"),
            Self::Count { max, .. } => write!(f, "more than {max}"),
            Self::Off => f.write_str("off"),
        }
    }
}

/// Text that is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no limit of deletions: give a share from `1%` to `100%`, a number of rows such as `50`, `off`, or `default`"
)]
pub struct InvalidLimit {
    /// What was given.
    pub text: String,
}

/// What an operator writes: `5%`, `50`, `off`, `default`.
impl FromStr for DeleteLimit {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let invalid = || InvalidLimit {
            text: text.chars().take(80).collect(),
        };
        // A sign is no part of a limit, although Rust's numbers may begin with one.
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        match text {
            "off" => return Ok(Self::Off),
            "default" => return Ok(Self::default()),
            _ => {}
        }
        if let Some(digits) = text.strip_suffix('%') {
            let percent = digits.parse().ok().filter(|p| (1..=100).contains(p));
            return match percent {
                Some(percent) if is_number(digits) => Ok(Self::Share {
                    percent,
                    at_least: AT_LEAST,
                    all_of_at_least: ALL_OF_AT_LEAST,
                }),
                _ => Err(invalid()),
            };
        }
        match text.parse() {
            Ok(max) if is_number(text) => Ok(Self::Count {
                max,
                all_of_at_least: ALL_OF_AT_LEAST,
            }),
            _ => Err(invalid()),
        }
    }
}

/// The limits of one directory, each kind by itself. A kind that is not given has the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteLimits {
    /// Of users.
    pub users: DeleteLimit,
    /// Of groups.
    pub groups: DeleteLimit,
    /// Of memberships.
    pub memberships: DeleteLimit,
}

impl DeleteLimits {
    /// Sets the limit of one kind.
    pub fn set(&mut self, kind: Entity, limit: DeleteLimit) {
        match kind {
            Entity::User => self.users = limit,
            Entity::Group => self.groups = limit,
            Entity::Membership => self.memberships = limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_4_1_a_limit_is_read_as_it_is_written() {
        let share = |percent| DeleteLimit::Share {
            percent,
            at_least: 10,
            all_of_at_least: 2,
        };
        let count = |max| DeleteLimit::Count {
            max,
            all_of_at_least: 2,
        };
        for (text, limit, words) in [
            ("5%", share(5), "5 % and at least 10"),
            ("100%", share(100), "100 % and at least 10"),
            ("default", share(20), "20 % and at least 10"),
            ("50", count(50), "more than 50"),
            ("0", count(0), "more than 0"),
            ("off", DeleteLimit::Off, "off"),
        ] {
            assert_eq!(text.parse(), Ok(limit), "{text}");
            assert_eq!(limit.to_string(), words);
        }
    }

    #[test]
    fn runs_4_1_what_is_no_limit_is_refused_with_what_would_be() {
        for bad in [
            "",
            "%",
            "0%",
            "101%",
            "256%",
            "-5%",
            "+5%",
            "5 %",
            "5.5%",
            "-1",
            "+1",
            "Off",
            "99999999999999999999",
        ] {
            let error = bad.parse::<DeleteLimit>().unwrap_err();
            assert_eq!(error.text, bad);
            assert!(error.to_string().contains("`off`"), "{error}");
        }
    }

    #[test]
    fn limits_are_stored_and_read_back_and_what_is_not_given_is_the_default() {
        let mut limits = DeleteLimits::default();
        limits.set(Entity::User, DeleteLimit::Off);
        limits.set(Entity::Group, "3".parse().unwrap());
        let text = serde_json::to_string(&limits).unwrap();
        assert_eq!(serde_json::from_str::<DeleteLimits>(&text).unwrap(), limits);
        assert_eq!(
            serde_json::from_str::<DeleteLimits>("{}").unwrap(),
            DeleteLimits::default()
        );
    }
}
