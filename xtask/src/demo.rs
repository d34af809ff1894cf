//! `demo`: the whole way with the real binary, as a person would go it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::build::{self, Tests};
use crate::control;
use crate::out;
use crate::workspace::Workspace;

/// Builds everything, and goes the way.
pub fn run(workspace: &Workspace) -> Result<()> {
    let idsync = build::host(workspace, Tests::No)?;
    let plugins = build::plugins(workspace)?;
    let sim = build::binary(workspace, "okta-sim");
    let folder = tempfile::tempdir().context("making a folder for the demo")?;
    let org = Org::start(&sim)?;
    let person = Person::sit_down(&idsync, &plugins, folder.path(), &org);
    walk(&person, &org)?;
    say(REAL_ORG);
    Ok(())
}

fn walk(person: &Person, org: &Org) -> Result<()> {
    say("# A directory is one connection to one org. It starts as a draft with a key pair of its own.");
    person.types(&[
        "directory",
        "add",
        "--provider",
        "okta",
        "--name",
        "acme",
        "--set",
        &format!("okta_domain={}", org.domain),
        "--set",
        &format!("client_id={}", org.client_id),
    ])?;
    say("# The public key goes into the service app at Okta. The private one never leaves the host.");
    let jwk = person.types(&["directory", "key", "acme"])?;
    say("# (pasted into the service app: General, Client Credentials, Add key)");
    org.control("PUT", "/jwk", &jwk)?;
    say("\n# Is everything set up?");
    person.types(&["directory", "verify", "acme"])?;
    person.types(&["directory", "enable", "acme"])?;
    say("# The first sync reads everything.");
    person.types(&["sync", "acme"])?;
    say("# Meanwhile at Okta: Margaret Hamilton joins and is put into a group; somebody else is suspended.");
    org.change()?;
    say("# The second sync changes just that, and asks only for the groups that changed.");
    person.types(&["sync", "acme"])?;
    let runs = person.quietly(&["--json", "run", "list"])?;
    person.types(&["run", "list"])?;
    person.types(&["run", "show", &latest_run(&runs)?])?;
    say("# What readers see, one JSON line for each row; its last lines:");
    person.types_and_shows_the_end(&["export", "acme"], 5)
}

/// The newest run of `run list`.
fn latest_run(runs: &str) -> Result<String> {
    let runs: Value = serde_json::from_str(runs).context("reading `run list --json`")?;
    runs.as_array()
        .and_then(|list| {
            list.iter()
                .filter_map(|run| run["run"].as_str().or(run["id"].as_str()))
                .max()
        })
        .map(str::to_owned)
        .context("`run list --json` names no run")
}

/// The simulated org, running beside.
struct Org {
    process: Child,
    domain: String,
    ca: String,
    control: String,
    client_id: String,
}

impl Org {
    fn start(binary: &Path) -> Result<Self> {
        let mut process = Command::new(binary)
            .args(["--users", "60", "--groups", "6", "--per-group", "12"])
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the simulated org")?;
        let output = process.stdout.take().context("its output was asked for")?;
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .context("reading what the simulated org says of itself")?;
        let about: Value = serde_json::from_str(&line).context("the simulated org prints one JSON line")?;
        let text = |name: &str| {
            about[name]
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("the simulated org does not say its `{name}`"))
        };
        Ok(Self {
            domain: text("domain")?,
            ca: text("ca")?,
            control: text("control")?,
            client_id: text("client_id")?,
            process,
        })
    }

    fn control(&self, method: &str, path: &str, body: &str) -> Result<String> {
        control::request(&self.control, method, path, body)
    }

    /// Somebody joins the org and a group, and somebody else is suspended.
    fn change(&self) -> Result<()> {
        let suspended = self.first("/users", |user| {
            user["status"] == "ACTIVE" && user["assigned"] == true
        })?;
        let group = self.first("/groups", |group| group["assigned"] == true)?;
        let newcomer = "margaret.hamilton@acme.example";
        let changes = json!([
            {"do": "add-user", "login": newcomer, "email": newcomer, "first_name": "Margaret", "last_name": "Hamilton"},
            {"do": "add-member", "group": group, "user": newcomer},
            {"do": "set-status", "user": suspended, "status": "SUSPENDED"},
        ]);
        self.control("POST", "/changes", &changes.to_string()).map(drop)
    }

    /// The id of the first row of a listing of the control API that fits.
    fn first(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let rows: Value = serde_json::from_str(&self.control("GET", path, "")?)
            .with_context(|| format!("reading {path} of the control API"))?;
        let row = rows.as_array().and_then(|rows| rows.iter().find(|row| fits(row)));
        row.map(|row| row["id"].clone())
            .with_context(|| format!("no row of {path} fits: the demo's org is too small"))
    }
}

impl Drop for Org {
    fn drop(&mut self) {
        // It removes its folder when it is asked to end; nothing to be done when it has ended already.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// Who types the commands.
struct Person<'a> {
    idsync: &'a Path,
    environment: Vec<(&'static str, String)>,
}

impl<'a> Person<'a> {
    fn sit_down(idsync: &'a Path, plugins: &Path, folder: &Path, org: &Org) -> Self {
        let data = folder.join("data");
        let environment = vec![
            ("IDSYNC_DATA_DIR", data.display().to_string()),
            ("IDSYNC_PLUGINS", plugins.display().to_string()),
            ("IDSYNC_CA_CERT", org.ca.clone()),
            ("IDSYNC_ALLOW_PRIVATE_EGRESS", org.domain.clone()),
        ];
        say(
            "# Every option has an environment variable. The org is on this machine and has a CA of its own,",
        );
        say("# so both must be allowed; with a real org neither is needed.");
        for (name, value) in &environment {
            say(&format!("$ export {name}={value}"));
        }
        say("");
        Self { idsync, environment }
    }

    fn types(&self, arguments: &[&str]) -> Result<String> {
        say(&format!("$ idsync {}", arguments.join(" ")));
        let output = self.quietly(arguments)?;
        say(&format!("{}\n", output.trim_end()));
        Ok(output)
    }

    fn types_and_shows_the_end(&self, arguments: &[&str], lines: usize) -> Result<()> {
        say(&format!("$ idsync {} | tail -n {lines}", arguments.join(" ")));
        let output = self.quietly(arguments)?;
        let all: Vec<_> = output.lines().collect();
        all[all.len().saturating_sub(lines)..]
            .iter()
            .for_each(|line| say(line));
        Ok(())
    }

    fn quietly(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.idsync)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .with_context(|| format!("starting {}", self.idsync.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!(
                "`idsync {}` failed:\n{text}{}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(text)
    }
}

fn say(text: &str) {
    out::line(text);
}

const REAL_ORG: &str = "
The same with a real Okta org
-----------------------------
Build the release and go where it is: `cargo xtask dist && cd dist`. The plugin lies beside the binary, in plugins/.

1. At Okta: Security, Administrators. Make a resource set with the sign-in app, all users and all groups, and a role
   that may view users, groups and applications.
2. $ ./idsync directory add --provider okta --name acme
   $ ./idsync directory key acme
3. At Okta: make an API Services app. Under Client Credentials choose the public key method and add the key; grant the
   scopes okta.apps.read, okta.groups.read and okta.users.read; assign the role with the resource set.
4. $ ./idsync directory set acme okta_domain=your-company.okta.com client_id=CLIENT_ID
   $ ./idsync directory verify acme
   $ ./idsync directory enable acme
   $ ./idsync sync acme
   $ ./idsync export acme";
