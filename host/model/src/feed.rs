//! Positions in a tenant's change feed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidId;

/// Names one change feed. A tenant gets another one when its store was restored: numbers of the old feed mean nothing
/// in the new one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeedId(String);

impl FeedId {
    /// The id as text: 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FeedId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_id = text.len() == 32
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if is_id {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId {
                text: text.chars().take(80).collect(),
                expected: "a feed's id: 32 digits and letters a to f",
            })
        }
    }
}

impl TryFrom<String> for FeedId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<FeedId> for String {
    fn from(id: FeedId) -> String {
        id.0
    }
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a reader has followed a tenant's changes: the number of the last one that it took, and the feed that the
/// number is of. As text `SEQ@FEED`; without a feed, `SEQ`, it is believed to be of the present one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeedCursor {
    /// The feed, where it is told.
    pub feed: Option<FeedId>,
    /// The number of the last change that was taken; 0 before the first.
    pub seq: u64,
}

impl FeedCursor {
    /// A position in a known feed.
    pub fn of(feed: FeedId, seq: u64) -> Self {
        Self {
            feed: Some(feed),
            seq,
        }
    }
}

impl FromStr for FeedCursor {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (seq, feed) = match text.split_once('@') {
            Some((seq, feed)) => (seq, Some(feed)),
            None => (text, None),
        };
        let seq = if seq.bytes().all(|b| b.is_ascii_digit()) {
            seq.parse().ok()
        } else {
            None
        };
        Ok(Self {
            seq: seq.ok_or_else(|| InvalidId {
                text: text.chars().take(80).collect(),
                expected: "a position in the change feed: NUMBER or NUMBER@FEED",
            })?,
            feed: feed.map(str::parse).transpose()?,
        })
    }
}

impl TryFrom<String> for FeedCursor {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<FeedCursor> for String {
    fn from(cursor: FeedCursor) -> String {
        cursor.to_string()
    }
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.feed {
            Some(feed) => write!(f, "{}@{feed}", self.seq),
            None => write!(f, "{}", self.seq),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_with_and_without_its_feed() {
        let feed = "0123456789abcdef0123456789abcdef";
        for text in ["0".to_owned(), "17".to_owned(), format!("17@{feed}")] {
            assert_eq!(text.parse::<FeedCursor>().unwrap().to_string(), text);
        }
        let told: FeedCursor = format!("5@{feed}").parse().unwrap();
        assert_eq!(told, FeedCursor::of(feed.parse().unwrap(), 5));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for bad in [
            "",
            "-1",
            "+1",
            "1.0",
            "x",
            "@",
            "5@",
            "5@feed",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<FeedCursor>().is_err(), "{bad}");
        }
    }
}
