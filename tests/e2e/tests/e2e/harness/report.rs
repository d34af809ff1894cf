//! What commands answer, in words that tests read well with.

use serde_json::Value;

/// The report of a `sync`.
#[derive(Debug)]
pub struct Report {
    exit_code: i32,
    document: Value,
}

impl Report {
    /// What `sync --json` printed.
    pub fn new(exit_code: i32, document: Value) -> Self {
        Self { exit_code, document }
    }

    /// The exit code.
    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }

    /// The whole document.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The run's id.
    pub fn run(&self) -> &str {
        self.document["run"].as_str().unwrap_or_default()
    }

    /// What became of it; empty where the command did not come to a run.
    pub fn outcome(&self) -> &str {
        self.document["outcome"].as_str().unwrap_or_default()
    }

    /// `full` or `incremental`.
    pub fn mode(&self) -> &str {
        self.document["mode"].as_str().unwrap_or_default()
    }

    /// One count, such as `users`, `created`.
    pub fn count(&self, kind: &str, what: &str) -> u64 {
        self.document[kind][what]
            .as_u64()
            .unwrap_or_else(|| panic!("a report counts {kind} {what}: {:#}", self.document))
    }

    /// How many rows of all kinds were created, updated and deleted.
    pub fn changes(&self) -> u64 {
        ["users", "groups", "memberships"]
            .iter()
            .flat_map(|kind| ["created", "updated", "deleted"].map(|what| self.count(kind, what)))
            .sum()
    }

    /// How many requests it sent.
    pub fn requests(&self) -> u64 {
        self.document["requests"]
            .as_u64()
            .expect("a report counts requests")
    }

    /// The kind of its error.
    pub fn error_kind(&self) -> Option<&str> {
        self.document["error"]["kind"].as_str()
    }

    /// The error's summary and hint, as a person reads them.
    pub fn error_text(&self) -> String {
        let error = &self.document["error"];
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        format!("{} {}", text("summary"), text("hint"))
    }

    /// The kinds for which it was held.
    pub fn held_kinds(&self) -> Vec<&str> {
        self.document["held"]["reasons"]
            .as_array()
            .map(|reasons| {
                reasons
                    .iter()
                    .filter_map(|reason| reason["kind"].as_str())
                    .collect()
            })
            .unwrap_or_default()
    }
}

/// The answer of `directory verify`.
#[derive(Debug)]
pub struct Verification {
    exit_code: i32,
    document: Value,
}

impl Verification {
    /// What `directory verify --json` printed.
    pub fn new(exit_code: i32, document: Value) -> Self {
        assert!(
            document["checks"].is_array(),
            "a verification has checks: {document:#}"
        );
        Self { exit_code, document }
    }

    /// Whether all is right; the exit code says the same.
    pub fn is_verified(&self) -> bool {
        let is_verified = self.document["verified"]
            .as_bool()
            .expect("a verification says so");
        assert_eq!(is_verified, self.exit_code == 0, "{:#}", self.document);
        is_verified
    }

    fn checks_with(&self, outcome: &str) -> Vec<&Value> {
        let checks = self.document["checks"].as_array().expect("checks are a list");
        checks
            .iter()
            .filter(|check| check["outcome"] == outcome)
            .collect()
    }

    /// The ids of the checks that failed.
    pub fn failed(&self) -> Vec<&str> {
        self.checks_with("failed")
            .iter()
            .filter_map(|check| check["id"].as_str())
            .collect()
    }

    /// The ids of the checks that warn.
    pub fn warnings(&self) -> Vec<&str> {
        self.checks_with("warning")
            .iter()
            .filter_map(|check| check["id"].as_str())
            .collect()
    }

    /// What the failed checks saw.
    pub fn details(&self) -> String {
        self.texts("failed", "detail")
    }

    /// What the failed checks say to do.
    pub fn hints(&self) -> String {
        self.texts("failed", "hint")
    }

    /// One text of the checks of one outcome.
    pub fn texts(&self, outcome: &str, name: &str) -> String {
        let texts: Vec<_> = self
            .checks_with(outcome)
            .iter()
            .filter_map(|check| check[name].as_str())
            .collect();
        texts.join("\n")
    }
}

/// What readers see of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    rows: Vec<String>,
    seq: u64,
}

impl Export {
    /// What `export` printed.
    pub fn read(text: &str) -> Self {
        let mut rows: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is a JSON object"))
            .collect();
        let end = rows.pop().expect("an export has a last line");
        assert_eq!(end["type"], "end", "an export ends with its end: {end}");
        Self {
            rows: rows.iter().map(canonical).collect(),
            seq: end["seq"].as_u64().expect("the end has a number"),
        }
    }

    /// Rows as a right sync would store them.
    pub fn of_rows(rows: &[Value]) -> Vec<String> {
        rows.iter().map(canonical).collect()
    }

    /// Every row, in the order of the export.
    pub fn rows(&self) -> &[String] {
        &self.rows
    }

    /// How many rows of one type there are.
    pub fn count(&self, kind: &str) -> usize {
        let start = format!("\"type\":\"{kind}\"");
        self.rows.iter().filter(|row| row.contains(&start)).count()
    }

    /// Whether any row holds this text.
    pub fn mentions(&self, text: &str) -> bool {
        self.rows.iter().any(|row| row.contains(text))
    }

    /// The number of the last change.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

/// A JSON object with its members in order, so that two of them can be compared as text.
fn canonical(row: &Value) -> String {
    let members = row.as_object().expect("a row is a JSON object");
    let sorted: std::collections::BTreeMap<_, _> = members.iter().collect();
    serde_json::to_string(&sorted).expect("JSON can be written")
}
