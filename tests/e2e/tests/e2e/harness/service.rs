//! Commands that go on until they are told to end: the service, and who follows the change feed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use super::Host;

/// A running `idsync serve`.
pub struct Service {
    child: Child,
    address: String,
    log: Arc<Mutex<Vec<Value>>>,
    reading: JoinHandle<()>,
}

impl Host {
    /// Starts `idsync serve` on a free port, and waits until it listens.
    pub fn serve(&self, options: &[&str]) -> Service {
        let mut arguments = vec!["--log-format", "json", "serve", "--listen", "127.0.0.1:0"];
        arguments.extend(options);
        let mut child = self
            .command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts: run `cargo xtask build` first");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("the service ended before it listened: {:#?}", log.lock());
            };
            let line: Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("a log line is JSON ({error}): {line}"));
            let address = line["fields"]["address"].as_str().map(str::to_owned);
            log.lock().expect("no holder panics").push(line);
            if let Some(address) = address {
                break address;
            }
        };
        let kept = Arc::clone(&log);
        // What nobody reads would stop the service once the pipe is full.
        let reading = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().expect("no holder panics").push(line);
            }
        });
        Service {
            child,
            address,
            log,
            reading,
        }
    }

    /// Starts `idsync changes --follow`.
    pub fn follow(&self, options: &[&str]) -> Follower {
        let mut arguments = vec!["changes", "--follow"];
        arguments.extend(options);
        let mut child = self
            .command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts: run `cargo xtask build` first");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        Follower { child, lines }
    }
}

impl Service {
    /// Asks for a path; answers the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.get_as(path, &self.address)
    }

    /// Asks for a path under another name of the host.
    pub fn get_as(&self, path: &str, host: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the service listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .expect("the service reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the service answers");
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("an answer has a status: {answer}"));
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }

    /// What `/metrics` shows once it shows this: a run is counted a moment after its changes are seen.
    pub fn metrics_with(&self, text: &str) -> String {
        for _ in 0..10_000 {
            let (status, metrics) = self.get("/metrics");
            assert_eq!(status, 200, "{metrics}");
            if metrics.contains(text) {
                return metrics;
            }
        }
        panic!("`{text}` is not among the metrics: {}", self.get("/metrics").1)
    }

    /// Ends it as a service manager does; answers its exit code and its log.
    pub fn stop(self) -> (Option<i32>, Vec<Value>) {
        signal(&self.child, "TERM");
        self.wait()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(self) {
        signal(&self.child, "KILL");
        self.wait();
    }

    fn wait(mut self) -> (Option<i32>, Vec<Value>) {
        let status = self.child.wait().expect("the process is ours");
        self.reading.join().expect("reading a log does not panic");
        let log = std::mem::take(&mut *self.log.lock().expect("no holder panics"));
        (status.code(), log)
    }
}

/// A running `idsync changes --follow`.
pub struct Follower {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Follower {
    /// Waits for the next block: the changes of one run, with its `applied` line.
    pub fn block(&mut self) -> Vec<Value> {
        let mut block: Vec<Value> = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("the pipe can be read");
            assert!(read > 0, "the follower ended in the middle of {block:#?}");
            let line: Value = serde_json::from_str(&line).expect("each line is a JSON object");
            let is_last = line["type"] == "applied";
            block.push(line);
            if is_last {
                return block;
            }
        }
    }

    /// Ends it as Ctrl-C does; answers its exit code.
    pub fn interrupt(mut self) -> Option<i32> {
        signal(&self.child, "INT");
        self.child.wait().expect("the process is ours").code()
    }
}

pub(super) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .expect("there is a `kill`");
    assert!(sent.success());
}
