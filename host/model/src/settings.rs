//! A directory's settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The settings of a directory that are no secret, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub BTreeMap<String, String>);

impl Settings {
    /// The value of one setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Settings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// Settings in their canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalized {
    /// All that were given, mended.
    pub settings: Settings,
    /// What was mended, for the admin.
    pub notes: Vec<String>,
}

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingProblem {
    /// The setting.
    pub name: String,
    /// What is wrong with it, and what it should look like.
    pub problem: String,
}
