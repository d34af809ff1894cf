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

/// Versions by tool.
pub type Tools = BTreeMap<String, String>;

/// The figures of all parts, and what each part's were made with.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    made_with: BTreeMap<String, Tools>,
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

    /// Takes what was counted, with these tools, in place of a part's figures. Growth is judged by itself, without a
    /// figure.
    pub fn set(&mut self, part: &str, counted: &[Counted], tools: &Tools) {
        let figures: Figures = counted
            .iter()
            .filter(|counted| counted.amount.is_none())
            .map(|counted| (counted.what.clone(), counted.instructions))
            .collect();
        if figures.is_empty() {
            self.instructions.remove(part);
            self.made_with.remove(part);
        } else {
            self.instructions.insert(part.to_owned(), figures);
            self.made_with.insert(part.to_owned(), tools.clone());
        }
    }

    /// What to know before figures of these parts are compared with what was counted with these tools.
    pub fn notes_on_tools(&self, parts: &[&str], tools: &Tools) -> Vec<String> {
        let mut differ: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for part in parts {
            for (tool, then) in self.made_with.get(*part).into_iter().flatten() {
                if let Some(present) = tools.get(tool).filter(|present| *present != then) {
                    let difference = format!("{then}, and this is {present}");
                    differ.entry(difference).or_default().push(part);
                }
            }
        }
        differ
            .into_iter()
            .map(|(difference, parts)| {
                format!(
                    "the kept figures of {} were made with {difference}: they may differ without a change of idsync",
                    parts.join(", ")
                )
            })
            .collect()
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
        let tools = |rustc: &str| {
            let versions = [("valgrind", "valgrind-3"), ("rustc", rustc)];
            Tools::from(versions.map(|(tool, version)| (tool.to_owned(), version.to_owned())))
        };
        let mut kept = Kept::default();
        kept.set("store", &[counted("plan", None)], &tools("rustc 1"));
        let pages = [counted("page", None), counted("pages", Some(2))];
        kept.set("pages", &pages, &tools("rustc 2"));

        let read = Kept::from_json(&kept.to_json()).unwrap();

        assert_eq!(read, kept);
        assert_eq!(read.figures("store"), &Figures::from([("plan".to_owned(), 7)]));
        assert_eq!(read.figures("pages").len(), 1);
        let notes = |rustc| read.notes_on_tools(&["store", "pages", "boundary"], &tools(rustc));
        let [note] = &notes("rustc 2")[..] else {
            panic!("one part was counted with another compiler");
        };
        assert!(note.contains("of store were made with rustc 1, and"), "{note}");
        assert_eq!(notes("rustc 3").len(), 2);
    }
}
