//! The figures that are kept in this repository.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::callgrind::Counted;

/// Where they are kept.
pub const FILE: &str = "bench/counts/kept.json";

/// Instructions by what was done.
type Figures = BTreeMap<String, u64>;

/// The figures of all parts, and what they were made with.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    made_with: BTreeMap<String, String>,
    instructions: BTreeMap<String, Figures>,
}

impl Kept {
    /// Reads them; there are none where there is no file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            text => text.with_context(|| format!("reading {}", path.display()))?,
        };
        Self::from_json(&text).with_context(|| format!("reading {}", path.display()))
    }

    fn from_json(text: &str) -> Result<Self> {
        let mut value: Value = serde_json::from_str(text)?;
        Ok(Self {
            made_with: serde_json::from_value(value["made with"].take())?,
            instructions: serde_json::from_value(value["instructions"].take())?,
        })
    }

    fn to_json(&self) -> String {
        let value = json!({"made with": self.made_with, "instructions": self.instructions});
        format!("{value:#}\n")
    }

    /// Writes them.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, self.to_json()).with_context(|| format!("writing {}", path.display()))
    }

    /// What the figures of a part are.
    pub fn figures(&self, part: &str) -> &Figures {
        static NONE: Figures = Figures::new();
        self.instructions.get(part).unwrap_or(&NONE)
    }

    /// Takes what was counted in place of a part's figures. Growth is judged by itself, without a figure.
    pub fn set(&mut self, part: &str, counted: &[Counted]) {
        let figures: Figures = counted
            .iter()
            .filter(|counted| counted.amount.is_none())
            .map(|counted| (counted.what.clone(), counted.instructions))
            .collect();
        if figures.is_empty() {
            self.instructions.remove(part);
        } else {
            self.instructions.insert(part.to_owned(), figures);
        }
    }

    /// Notes what the figures are made with.
    pub fn set_made_with(&mut self, valgrind: String, rustc: String) {
        self.made_with = BTreeMap::from([("valgrind".to_owned(), valgrind), ("rustc".to_owned(), rustc)]);
    }

    /// What to know before figures of other tools are compared.
    pub fn note_on_tools(&self, valgrind: &str, rustc: &str) -> Option<String> {
        let differ: Vec<String> = [("valgrind", valgrind), ("rustc", rustc)]
            .into_iter()
            .filter_map(|(tool, present)| {
                let then = self.made_with.get(tool)?;
                (then != present).then(|| format!("{then}, and this is {present}"))
            })
            .collect();
        (!differ.is_empty()).then(|| {
            format!(
                "the kept figures were made with {}: they may differ without a change of idsync",
                differ.join("; with ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_they_were_kept_and_those_of_other_parts_stay() {
        let counted = |what: &str, amount| Counted {
            what: what.to_owned(),
            instructions: 7,
            amount,
        };
        let mut kept = Kept::default();
        kept.set_made_with("valgrind-3".to_owned(), "rustc 1".to_owned());
        kept.set("store", &[counted("plan", None)]);
        kept.set("pages", &[counted("page", None), counted("pages", Some(2))]);

        let read = Kept::from_json(&kept.to_json()).unwrap();

        assert_eq!(read, kept);
        assert_eq!(read.figures("store"), &Figures::from([("plan".to_owned(), 7)]));
        assert_eq!(read.figures("pages").len(), 1);
        assert_eq!(read.note_on_tools("valgrind-3", "rustc 1"), None);
        assert!(
            read.note_on_tools("valgrind-3", "rustc 2")
                .unwrap()
                .contains("rustc 1")
        );
    }
}
