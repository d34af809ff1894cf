//! Simulated orgs in a process of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
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
    pub fn control(&self, method: &str, path: &str, body: &str) -> Result<String> {
        request(self.control.trim_start_matches("http://"), method, path, body)
    }

    /// How often it was asked since its counters were reset, by status.
    pub fn counted(&self) -> Result<Value> {
        serde_json::from_str(&self.control("GET", "/counters", "")?).context("reading the org's counters")
    }
}

/// One HTTP/1.1 request to an address on loopback.
pub fn request(address: &str, method: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .with_context(|| format!("sending {method} {path}"))?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .with_context(|| format!("reading the answer to {method} {path}"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("{method} {path} was answered with something that is no HTTP"))?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("{method} {path} was answered with {status}: {body}");
    }
    Ok(body.to_owned())
}
