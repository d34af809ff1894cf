//! A directory of a host, with the commands that are about it.

use serde_json::Value;

use super::{Export, Failure, Host, Report, Running, Verification};

/// A directory of a host.
pub struct Directory<'a> {
    host: &'a Host,
    id: String,
    added: Value,
}

impl<'a> Directory<'a> {
    /// The directory that `directory add` answered.
    pub fn new(host: &'a Host, id: String, added: Value) -> Self {
        Self { host, id, added }
    }

    /// The same directory on another host, as after a copy of the data directory.
    pub fn on<'b>(&self, host: &'b Host) -> Directory<'b> {
        Directory {
            host,
            id: self.id.clone(),
            added: self.added.clone(),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What `directory add` answered.
    pub fn added(&self) -> &Value {
        &self.added
    }

    /// The public half of its key.
    pub fn public_jwk(&self) -> &Value {
        &self.added["public_jwk"]
    }

    /// `directory show`
    pub fn show(&self) -> Value {
        self.host.json(&["directory", "show", &self.id])
    }

    /// `directory set`
    pub fn set(&self, settings: &[&str]) -> Value {
        let mut arguments = vec!["directory", "set", &self.id];
        arguments.extend(settings);
        self.host.json(&arguments)
    }

    /// `directory verify`, whatever comes of it.
    pub fn verify(&self) -> Verification {
        let (exit_code, document) = self.host.json_any(&["directory", "verify", &self.id]);
        Verification::new(exit_code, document)
    }

    /// `directory verify` that ends with an error of the host's.
    pub fn verify_fails(&self) -> Failure {
        self.host.failure(&["directory", "verify", &self.id])
    }

    /// `sync` that must succeed.
    pub fn sync(&self) -> Report {
        self.sync_with(&[])
    }

    /// `sync` with options, that must succeed.
    pub fn sync_with(&self, options: &[&str]) -> Report {
        let report = self.sync_any(options);
        assert_eq!(
            (report.exit_code(), report.outcome()),
            (0, "succeeded"),
            "{report:#?}"
        );
        report
    }

    /// `sync`, whatever comes of it.
    pub fn sync_any(&self, options: &[&str]) -> Report {
        let mut arguments = vec!["sync", &self.id];
        arguments.extend(options);
        let (exit_code, document) = self.host.json_any(&arguments);
        Report::new(exit_code, document)
    }

    /// `sync` that must fail with a kind, and change nothing that readers see.
    pub fn sync_fails_and_changes_nothing(&self, kind: &str) -> Report {
        let before = self.export();
        let report = self.sync_any(&[]);
        assert_eq!(
            (report.exit_code(), report.outcome(), report.error_kind()),
            (1, "failed", Some(kind)),
            "{report:#?}"
        );
        assert_eq!(self.export(), before, "a failed run changed what readers see");
        report
    }

    /// `sync` that must be held, and change nothing that readers see.
    pub fn sync_is_held(&self) -> Report {
        let before = self.export();
        let report = self.sync_any(&[]);
        assert_eq!((report.exit_code(), report.outcome()), (3, "held"), "{report:#?}");
        assert_eq!(self.export(), before, "a held run changed what readers see");
        report
    }

    /// Starts `sync` and lets it run.
    pub fn start_sync(&self, global: &[&str]) -> Running {
        let mut arguments = global.to_vec();
        arguments.extend(["--json", "sync", &self.id]);
        self.host.start(&arguments)
    }

    /// `export`
    pub fn export(&self) -> Export {
        Export::read(&self.host.text(&["export", &self.id]))
    }

    /// `run show`
    pub fn run(&self, run: &str) -> Value {
        self.host.json(&["run", "show", run])
    }

    /// `run list` of this directory, newest first.
    pub fn runs(&self) -> Vec<Value> {
        let document = self.host.json(&["run", "list", "--directory", &self.id]);
        document.as_array().expect("`run list` is a list").clone()
    }

    /// `directory explain`: the checks, in their order.
    pub fn explain(&self, who: &str) -> Vec<Value> {
        let document = self.host.json(&["directory", "explain", &self.id, who]);
        document["checks"]
            .as_array()
            .or_else(|| document.as_array())
            .expect("an explanation is a list of checks")
            .clone()
    }
}
