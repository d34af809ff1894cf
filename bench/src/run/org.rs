//! Simulated orgs in a process of their own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use reqwest::blocking::Client;
use serde::Deserialize;
use serde_json::Value;

use super::Options;

/// How an org is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub users: u32,
    pub groups: u32,
    pub per_group: u32,
}

impl Size {
    /// Pages of users (500), pages of groups (200) and pages of members (1,000): what a first sync must ask for.
    pub fn pages(self) -> u32 {
        self.users.div_ceil(500) + self.groups.div_ceil(200) + self.groups * self.per_group.div_ceil(1000)
    }
}

/// Where an org is, as it says itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Org {
    pub domain: String,
    pub base: String,
    pub ca: String,
    pub control: String,
    pub client_id: String,
    pub app_id: String,
}

/// Orgs that run until this is dropped.
pub struct Orgs {
    process: Child,
    pub all: Vec<Org>,
}

impl Orgs {
    /// Starts so many orgs of a size; their pages are made when this returns.
    pub fn start(options: &Options, orgs: u32, size: Size, more: &[&str]) -> Result<Self> {
        let mut process = Command::new(&options.okta_sim)
            .args(["--orgs", &orgs.to_string(), "--warm"])
            .args(["--users", &size.users.to_string()])
            .args(["--groups", &size.groups.to_string()])
            .args(["--per-group", &size.per_group.to_string()])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", options.okta_sim.display()))?;
        let output = process.stdout.take().context("its output was asked for")?;
        let mut lines = BufReader::new(output).lines();
        let mut all = Vec::new();
        for _ in 0..orgs {
            let line = lines.next().context("the simulated orgs ended at once")??;
            all.push(serde_json::from_str(&line).with_context(|| format!("an org tells of itself: {line}"))?);
        }
        Ok(Self { process, all })
    }

    /// The org where there is one.
    pub fn only(&self) -> Result<&Org> {
        self.all.first().context("there is no org")
    }
}

impl Drop for Orgs {
    fn drop(&mut self) {
        // It removes its folder when it is asked to end; nothing to be done when it has ended already.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// Without limits that would make it wait.
pub const NO_LIMITS: [&str; 2] = ["--limit", "4000000000"];

impl Org {
    /// A request to the org's control API; answers the body.
    pub fn control(&self, method: Method, path: &str, body: &str) -> Result<String> {
        let url = format!("{}{path}", self.control);
        let answer = Client::builder()
            .no_proxy()
            .build()
            .context("setting up the client")?
            .request(method, &url)
            .body(body.to_owned())
            .send()
            .with_context(|| format!("asking for {url}"))?;
        let status = answer.status();
        let body = answer
            .text()
            .with_context(|| format!("reading the answer of {url}"))?;
        ensure!(status.is_success(), "{url} was answered with {status}: {body}");
        Ok(body)
    }

    /// How often it was asked since its counters were reset, by status.
    pub fn counted(&self) -> Result<Value> {
        serde_json::from_str(&self.control(Method::GET, "/counters", "")?)
            .context("reading the org's counters")
    }
}
