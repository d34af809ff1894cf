//! A reader of the change feed: a copy of what it was told, row by row.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Export;

/// A copy of the rows of one directory, made of changes alone.
#[derive(Debug, Default)]
pub struct Copy(BTreeMap<(u8, String, String), Value>);

impl Copy {
    /// The copy that an export gives.
    pub fn of(rows: &[String]) -> Self {
        let mut copy = Self::default();
        for row in rows {
            let row: Value = serde_json::from_str(row).expect("a row is JSON");
            copy.0.insert(key(&row), row);
        }
        copy
    }

    /// Does what these lines of the feed say.
    pub fn take_all(&mut self, changes: &[Value]) {
        for change in changes {
            self.take(change);
        }
    }

    /// Does what a line of the feed says. A creation of what is there, and a deletion of what is not, are faults.
    fn take(&mut self, change: &Value) {
        if change["type"] == "applied" {
            return;
        }
        let mut row = match change["type"].as_str() {
            Some("membership") => json!({"group": change["group"], "user": change["user"]}),
            _ => change["row"].clone(),
        };
        if row.is_null() {
            row = change["before"].clone();
        }
        row["type"] = change["type"].clone();
        let key = key(&row);
        let was_there = self.0.contains_key(&key);
        match change["op"].as_str() {
            Some("create") => assert!(!was_there, "created twice: {change}"),
            Some("update" | "delete") => assert!(was_there, "not there: {change}"),
            _ => panic!("an operation that nobody knows: {change}"),
        }
        if change["op"] == "delete" {
            self.0.remove(&key);
        } else {
            self.0.insert(key, row);
        }
    }

    /// The rows in the order of an export.
    pub fn rows(&self) -> Vec<String> {
        let rows: Vec<Value> = self.0.values().cloned().collect();
        Export::of_rows(&rows)
    }
}

fn key(row: &Value) -> (u8, String, String) {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    match row["type"].as_str() {
        Some("user") => (0, text("external_id"), String::new()),
        Some("group") => (1, text("external_id"), String::new()),
        _ => (2, text("group"), text("user")),
    }
}
