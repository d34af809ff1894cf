//! The host: the real binary, each with a data directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::service::signal;
use super::{Directory, Org};

/// A host with a data directory of its own, which goes with it.
pub struct Host {
    folder: TempDir,
    tenant: String,
    plugins: PathBuf,
    ca_certs: Vec<PathBuf>,
    allowed: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A command that failed, as `--json` says it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit_code: i32,
    /// The word for what kind of failure it is.
    pub kind: String,
    /// What was attempted, and what was seen.
    pub summary: String,
    /// What to do.
    pub hint: String,
}

impl Failure {
    /// Summary and hint, as a person reads them.
    pub fn text(&self) -> String {
        format!("{} {}", self.summary, self.hint)
    }
}

impl Host {
    /// A host that can reach nothing but the internet.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder for the test can be made"),
            tenant: "default".to_owned(),
            plugins: built("plugins"),
            ca_certs: Vec::new(),
            allowed: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// A host that trusts the certificates of a simulated org, and may reach it.
    pub fn beside(org: &Org) -> Self {
        Self::new().trusting(org.ca()).reaching(org.domain())
    }

    /// The same host, with the plugins that only tests load. A plugin's file is called as its provider is.
    pub fn with_test_plugins(mut self) -> Self {
        let folder = self.folder.path().join("test-plugins");
        fs::create_dir(&folder).expect("the folder of the test can be written");
        for (provider, package) in [("hostile", "test-plugin-hostile"), ("static", "plugin-static")] {
            let file = folder.join(format!("{provider}.wasm"));
            fs::copy(test_plugin(package), file).expect("the plugin can be copied");
        }
        self.plugins = folder;
        self
    }

    /// Puts another build of a plugin in the place of the one that is there: one text in it is another one of the same
    /// length.
    pub fn rewrite_plugin(&self, provider: &str, from: &str, to: &str) {
        assert_eq!(from.len(), to.len());
        let file = self.plugins.join(format!("{provider}.wasm"));
        let mut bytes = fs::read(&file).expect("the plugin can be read");
        let places: Vec<usize> = (0..bytes.len())
            .filter(|&at| bytes[at..].starts_with(from.as_bytes()))
            .collect();
        assert!(!places.is_empty(), "`{from}` is in the plugin");
        for at in places {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
        let new = file.with_extension("new");
        fs::write(&new, bytes).expect("the folder of the test can be written");
        fs::rename(&new, &file).expect("the folder of the test can be written");
    }

    /// The same host, with the plugins of a folder.
    pub fn with_plugins(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.plugins);
        self
    }

    /// The same host, with one more trust root.
    pub fn trusting(mut self, ca: &Path) -> Self {
        self.ca_certs.push(ca.to_owned());
        self
    }

    /// The same host, allowed to reach one private host, `HOST` or `HOST:PORT`.
    pub fn reaching(mut self, host: &str) -> Self {
        self.allowed.push(host.to_owned());
        self
    }

    /// The same host, with one more variable in its environment.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.set_variable(name, value);
        self
    }

    /// Sets a variable of the environment of later commands.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Makes later commands mean another tenant.
    pub fn as_tenant(&mut self, tenant: &str) {
        tenant.clone_into(&mut self.tenant);
    }

    /// Where the host keeps everything.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for files of the test, outside the data directory.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Another host with a copy of this one's data directory as it is on disk now.
    pub fn copy(&self) -> Self {
        let copy = Self {
            folder: tempfile::tempdir().expect("a folder for the test can be made"),
            tenant: self.tenant.clone(),
            plugins: self.plugins.clone(),
            ca_certs: self.ca_certs.clone(),
            allowed: self.allowed.clone(),
            environment: self.environment.clone(),
        };
        copy_folder(&self.data_dir(), &copy.data_dir());
        copy
    }

    /// A command line, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        // The test's own environment must not set options of the host.
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--data-dir").arg(self.data_dir());
        command.arg("--plugins").arg(&self.plugins);
        command.arg("--tenant").arg(&self.tenant);
        for ca in &self.ca_certs {
            command.arg("--ca-cert").arg(ca);
        }
        for host in &self.allowed {
            command.arg("--allow-private-egress").arg(host);
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the binary starts: run `cargo xtask build` first")
    }

    /// Runs a command that must succeed, and answers what it printed.
    pub fn text(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "`idsync {}`: {}",
            arguments.join(" "),
            shown(&output)
        );
        String::from_utf8(output.stdout).expect("what people read is UTF-8")
    }

    /// Runs a command that must succeed with `--json`, and answers its document.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let (exit_code, document) = self.json_any(arguments);
        assert_eq!(exit_code, 0, "`idsync {}`: {document:#}", arguments.join(" "));
        document
    }

    /// Runs a command with `--json`, and answers its exit code and its document.
    pub fn json_any(&self, arguments: &[&str]) -> (i32, Value) {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.output(&all);
        let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "`idsync {}` prints one JSON document ({error}): {}",
                all.join(" "),
                shown(&output)
            )
        });
        (output.status.code().expect("it was not killed"), document)
    }

    /// Runs a command that must fail with an error document.
    pub fn failure(&self, arguments: &[&str]) -> Failure {
        let (exit_code, document) = self.json_any(arguments);
        let error = &document["error"];
        let text = |name: &str| {
            error[name]
                .as_str()
                .unwrap_or_else(|| {
                    panic!(
                        "`idsync {}` fails with an error that has a `{name}`: {document:#}",
                        arguments.join(" ")
                    )
                })
                .to_owned()
        };
        assert_ne!(exit_code, 0, "`idsync {}`: {document:#}", arguments.join(" "));
        Failure {
            exit_code,
            kind: text("kind"),
            summary: text("summary"),
            hint: text("hint"),
        }
    }

    /// The cursor that an export of a directory ends with.
    pub fn cursor(&self, directory: &str) -> String {
        let text = self.text(&["export", directory]);
        let end = text.lines().last().expect("an export has a last line");
        let end: Value = serde_json::from_str(end).expect("each line is a JSON object");
        end["cursor"].as_str().expect("the end has a cursor").to_owned()
    }

    /// Runs a command that may write no file larger than this, as on a disk that is full.
    pub fn output_within(&self, kib: u64, arguments: &[&str]) -> Output {
        let command = self.command(arguments);
        // The signal is ignored, so that a write fails in place of ending the process.
        Command::new("bash")
            .args([
                "-c",
                &format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\""),
            ])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null())
            .output()
            .expect("there is a bash")
    }

    /// Starts a command and lets it run.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts: run `cargo xtask build` first");
        Running { child }
    }

    /// Adds a directory of an org: a draft, its key not yet known to the org.
    pub fn draft(&self, name: &str, org: &Org) -> Directory<'_> {
        self.added(
            name,
            "okta",
            &[
                &format!("okta_domain={}", org.domain()),
                &format!("client_id={}", org.client_id()),
            ],
        )
    }

    /// Adds a directory of a provider.
    pub fn added(&self, name: &str, provider: &str, settings: &[&str]) -> Directory<'_> {
        let mut arguments = vec!["directory", "add", "--provider", provider, "--name", name];
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        self.start_warm();
        let document = self.json(&arguments);
        let id = document["id"].as_str().expect("a directory has an id").to_owned();
        Directory::new(self, id, document)
    }

    /// Begins a data directory that is not there yet with a copy of one in which every plugin has been compiled: what
    /// compiling takes is not what these tests are about.
    fn start_warm(&self) {
        static WARM: OnceLock<PathBuf> = OnceLock::new();
        let has_own_key = self
            .environment
            .iter()
            .any(|(name, _)| name == "IDSYNC_MASTER_KEY");
        if self.data_dir().exists() || has_own_key {
            return;
        }
        let warm = WARM.get_or_init(|| {
            let host = Self::new();
            host.json(&["plugin", "list"]);
            let host = host.with_test_plugins();
            host.json(&["plugin", "list"]);
            let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("e2e-warm");
            if kept.exists() {
                fs::remove_dir_all(&kept).expect("what an earlier run kept can be removed");
            }
            copy_folder(&host.data_dir(), &kept);
            kept
        });
        copy_folder(warm, &self.data_dir());
    }

    /// Adds a directory of an org, registers its key there, and verifies it.
    pub fn connected(&self, name: &str, org: &Org) -> Directory<'_> {
        let directory = self.draft(name, org);
        org.register_key(directory.public_jwk());
        let verification = directory.verify();
        assert!(verification.is_verified(), "{verification:#?}");
        directory
    }
}

/// A command that runs beside the test.
pub struct Running {
    child: Child,
}

impl Running {
    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        // One that has ended already is no worse.
        let _ = self.child.kill();
        self.child.wait().expect("the process is ours");
    }

    /// Ends it as `kill -9` does once the files of a folder have grown by so many bytes; false when it ended before.
    pub fn kill_once_grown(mut self, folder: &Path, by_bytes: u64) -> bool {
        let start = size_of(folder);
        let mut is_running = true;
        while is_running && size_of(folder) < start + by_bytes {
            is_running = self.child.try_wait().expect("the process is ours").is_none();
            std::thread::yield_now();
        }
        self.kill();
        is_running
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        signal(&self.child, "INT");
    }

    /// Waits for its end.
    pub fn output(self) -> Output {
        self.child.wait_with_output().expect("the process is ours")
    }
}

/// A file of the test plugins, by its package.
pub fn test_plugin(name: &str) -> PathBuf {
    built("test-plugins").join(format!("{name}.wasm"))
}

/// A file of the plugins that are delivered.
pub fn plugin(name: &str) -> PathBuf {
    built("plugins").join(format!("{name}.wasm"))
}

fn binary() -> PathBuf {
    built("debug").join("idsync")
}

/// What lies in the target folder that this test was built in.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own binary");
    let target = test.ancestors().nth(3).expect("it is target/debug/deps/e2e-…");
    let path = target.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask build` first",
        path.display()
    );
    path
}

fn shown(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The bytes of all files in a folder.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            Some(if about.is_dir() {
                size_of(&entry.path())
            } else {
                about.len()
            })
        })
        .sum()
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    let mode = fs::metadata(from).expect("the folder is there").permissions();
    fs::set_permissions(to, mode).expect("the folder is ours");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it is there").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}
