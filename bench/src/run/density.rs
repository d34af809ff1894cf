//! A thousand directories in one service, all due at once: how long, how much memory, and who waits for whom.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::Options;
use super::directory::{self, Host};
use super::finding::{Finding, median};
use super::measure::{anonymous_mib, memory_mib, resident_mib};
use super::org::{NO_LIMITS, Org, Orgs, Size};
use crate::{out, time};

/// Of each ten directories, nine are of one tenant; the others are of so many small ones.
const SMALL_TENANTS: usize = 10;
const BIG: &str = "big";

/// The directory of a thousand users.
const EACH: Size = Size {
    users: 1_000,
    groups: 10,
    per_group: 50,
};

/// A run that has not ended by then never will.
const PATIENCE: Duration = Duration::from_mins(30);

/// How many runs a service has at once where nobody says otherwise.
const AT_ONCE: f64 = 6.0;

/// A service whose memory has not grown for so long has looked at its directories and rests.
const RESTS_AFTER: Duration = Duration::from_secs(8);

/// See the row of the same name.
pub fn measure(options: &Options) -> Result<Vec<Finding>> {
    let count = options.size(1_000);
    let one = one_large(options, count)?;
    let orgs = Orgs::start(options, count, EACH, &NO_LIMITS)?;
    let host = Host::new(options, &orgs.all)?;
    let tenants = set_up(&host, &orgs.all)?;
    let mut service = Service::start(&host)?;
    let served = service.wait_for_all(orgs.all.len())?;
    service.stop()?;
    // None is due for two hours now.
    let idle = AtRest::measure(&host)?;
    let empty = AtRest::measure(&Host::new(options, &orgs.all)?)?;
    let missing: Vec<_> = tenants
        .keys()
        .filter(|id| !served.ended.contains_key(*id))
        .collect();
    ensure!(
        missing.is_empty(),
        "directories that were never synced: {missing:?}"
    );
    ensure!(served.failed == 0, "runs that did not succeed: {}", served.failed);
    let ratio = served.seconds / one;
    let last_small = tenants
        .iter()
        .filter(|(_, tenant)| *tenant != BIG)
        .filter_map(|(id, _)| served.ended.get(id))
        .fold(0.0_f64, |latest, ended| latest.max(*ended));
    let share = last_small / served.seconds;
    let ends: Vec<f64> = served.ended.values().copied().collect();
    Ok(vec![
        Finding::plain(
            format!("{count} directories of 1,000 users, 10 groups of 50, in one service"),
            format!(
                "{:.1} s, {:.1} directories a second",
                served.seconds,
                f64::from(count) / served.seconds
            ),
        )
        .beside(format!("{one:.1} s, one directory with as many"), ratio)
        .with_bar("at most 1.5", ratio <= 1.5)
        .with_samples(json!({ "median_end_s": median(ends) })),
        Finding::plain("its peak memory", format!("{:.0} MiB", served.peak_mib))
            .with_bar("at most 200 MiB", served.peak_mib <= 200.0),
        Finding::plain(
            format!("memory of a directory that is idle, beside {count} such"),
            format!(
                "{:.1} KiB",
                1024.0 * (idle.own_mib - empty.own_mib) / f64::from(count)
            ),
        ),
        Finding::plain(
            "memory of a run of one, of six at once",
            format!("{:.1} MiB", (served.peak_mib - idle.resident_mib) / AT_ONCE),
        ),
        Finding::plain(
            "ten small tenants with a tenth of them, beside one with the rest: done after",
            format!("{:.0} % of the time", 100.0 * share),
        )
        .with_bar("at most 50 %", share <= 0.5),
    ])
}

/// One directory with as many users, groups and memberships: seconds of its first sync.
fn one_large(options: &Options, count: u32) -> Result<f64> {
    let size = Size {
        users: EACH.users * count,
        groups: EACH.groups * count,
        per_group: EACH.per_group,
    };
    out::note(&format!("one directory with {} users", size.users));
    let orgs = Orgs::start(options, 1, size, &NO_LIMITS)?;
    Ok(directory::one(options, orgs.only()?)?.sync()?.wall)
}

/// Makes the directories, on two threads, and enables them. Answers the tenant of each by the directory's id.
fn set_up(host: &Host, orgs: &[Org]) -> Result<HashMap<String, String>> {
    out::note(&format!(
        "setting up {} directories: a key pair is made for each",
        orgs.len()
    ));
    host.run(&["tenant", "add", BIG])?;
    for n in 0..SMALL_TENANTS {
        host.run(&["tenant", "add", &small(n)])?;
    }
    let tenant_of = |n: usize| {
        if n % 10 == 9 {
            small((n / 10) % SMALL_TENANTS)
        } else {
            BIG.to_owned()
        }
    };
    let add = |n: usize| -> Result<(String, String)> {
        let (tenant, name) = (tenant_of(n), format!("org-{n}"));
        host.add(&tenant, &name, &orgs[n])?;
        host.run(&["--tenant", &tenant, "directory", "enable", &name])?;
        let shown = host.run(&["--tenant", &tenant, "--json", "directory", "show", &name])?;
        let shown: Value = serde_json::from_str(&shown).context("reading a directory")?;
        let id = shown["id"].as_str().context("a directory has no id")?.to_owned();
        Ok((id, tenant))
    };
    let half = |first: usize| {
        (first..orgs.len())
            .step_by(2)
            .map(add)
            .collect::<Result<Vec<_>>>()
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut all = half(0)?;
        all.extend(
            other
                .join()
                .map_err(|_| anyhow::anyhow!("setting up broke off"))??,
        );
        Ok(all.into_iter().collect())
    })
}

fn small(n: usize) -> String {
    format!("small-{n}")
}

/// A running `idsync serve`, whose log is read as it comes.
struct Service {
    child: Child,
    lines: Receiver<Value>,
    began: Instant,
}

/// How a service served.
struct Served {
    seconds: f64,
    /// When each directory's first run ended, by its id.
    ended: HashMap<String, f64>,
    failed: usize,
    peak_mib: f64,
}

/// The memory of a service of which no directory is due.
struct AtRest {
    /// Without what it maps of files, which is not always the same.
    own_mib: f64,
    resident_mib: f64,
}

impl AtRest {
    fn measure(host: &Host) -> Result<Self> {
        let service = Service::start(host)?;
        let (mut most, mut since) = (0.0, time::now());
        while since.elapsed() < RESTS_AFTER {
            time::pause(Duration::from_millis(200));
            let own_mib = anonymous_mib(&service.child).context("the service has ended")?;
            if own_mib > most {
                (most, since) = (own_mib, time::now());
            }
        }
        let resident_mib = resident_mib(&service.child).context("the service has ended")?;
        service.stop()?;
        Ok(Self {
            own_mib: most,
            resident_mib,
        })
    }
}

impl Service {
    fn start(host: &Host) -> Result<Self> {
        let began = time::now();
        let mut child = host
            .command(&["--log-format", "json", "serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the service")?;
        let log = child.stderr.take().context("its log was asked for")?;
        let (sender, lines) = mpsc::sync_channel(1024);
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else {
                    continue;
                };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, began })
    }

    /// Waits until each directory had a run.
    fn wait_for_all(&mut self, count: usize) -> Result<Served> {
        let mut ended = HashMap::new();
        let mut failed = HashSet::new();
        while ended.len() < count {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => bail!("nothing was logged for {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the service has ended"),
            };
            let Some(outcome) = line["fields"]["outcome"].as_str() else {
                continue;
            };
            let directory = line["span"]["directory"]
                .as_str()
                .context("an end names no directory")?;
            if outcome != "succeeded" {
                failed.insert(directory.to_owned());
            }
            ended
                .entry(directory.to_owned())
                .or_insert_with(|| self.began.elapsed().as_secs_f64());
            if ended.len() % 100 == 0 {
                out::note(&format!("{} of {count} directories", ended.len()));
            }
        }
        Ok(Served {
            seconds: self.began.elapsed().as_secs_f64(),
            ended,
            failed: failed.len(),
            peak_mib: memory_mib(&self.child).unwrap_or(f64::INFINITY),
        })
    }

    fn stop(mut self) -> Result<()> {
        let told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .context("ending the service")?;
        ensure!(told.success(), "the service could not be told to end");
        let status = self.child.wait().context("waiting for the service")?;
        ensure!(status.success(), "the service ended with {status}");
        Ok(())
    }
}
