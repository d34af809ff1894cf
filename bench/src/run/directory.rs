//! A data directory with directories, set up through the command line as a person would.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::Options;
use super::measure::{Cost, measured};
use super::org::Org;

/// A host that has nothing yet.
pub struct Host {
    folder: TempDir,
    idsync: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Host {
    /// A host that may reach these orgs, which share a CA.
    pub fn new(options: &Options, orgs: &[Org]) -> Result<Self> {
        let folder = tempfile::tempdir().context("making a data directory")?;
        let ca = orgs.first().context("there is no org")?.ca.clone();
        let allowed: Vec<&str> = orgs.iter().map(|org| org.domain.as_str()).collect();
        let environment = vec![
            (
                "IDSYNC_DATA_DIR",
                folder.path().join("data").display().to_string(),
            ),
            ("IDSYNC_PLUGINS", options.plugins.display().to_string()),
            ("IDSYNC_CA_CERT", ca),
            ("IDSYNC_ALLOW_PRIVATE_EGRESS", allowed.join(",")),
        ];
        Ok(Self {
            folder,
            idsync: options.idsync.clone(),
            environment,
        })
    }

    /// A folder that goes with the host.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A command of the host's.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.idsync);
        command
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command; answers what it printed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .command(arguments)
            .output()
            .with_context(|| format!("starting {}", self.idsync.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr);
            bail!("`idsync {}` failed:\n{text}{log}", arguments.join(" "));
        }
        Ok(text)
    }

    /// Adds a directory of an org to a tenant, and verifies it.
    pub fn add(&self, tenant: &str, name: &str, org: &Org) -> Result<()> {
        let of = ["--tenant", tenant];
        let typed = |arguments: &[&str]| self.run(&[arguments, &of].concat());
        let domain = format!("okta_domain={}", org.domain);
        let client = format!("client_id={}", org.client_id);
        typed(&[
            "--json",
            "directory",
            "add",
            "--provider",
            "okta",
            "--name",
            name,
            "--set",
            &domain,
            "--set",
            &client,
        ])?;
        let key = typed(&["directory", "key", name])?;
        org.control(Method::PUT, "/jwk", &key)?;
        typed(&["directory", "verify", name])?;
        Ok(())
    }

    /// Syncs the directory `acme` once, and says what it cost.
    pub fn sync(&self) -> Result<Cost> {
        let cost = measured(&mut self.command(&["--json", "sync", "acme"]))?;
        if cost.told["outcome"] != "succeeded" {
            bail!("the sync did not succeed: {}", cost.told);
        }
        Ok(cost)
    }
}

/// A host with one verified directory, `acme`, of an org.
pub fn one(options: &Options, org: &Org) -> Result<Host> {
    let host = Host::new(options, std::slice::from_ref(org))?;
    host.add("default", "acme", org)?;
    Ok(host)
}

/// How many requests a sync made, as it says itself.
pub fn requests(sync: &Value) -> u64 {
    sync["requests"].as_u64().unwrap_or(0)
}
