//! One sync after the other through the store alone, for profilers: how long staging, plan and apply take, and how much
//! memory.
//!
//! `cargo run --release -p idsync-store --example whole_sync -- 100000 1000 500`
#![expect(clippy::disallowed_methods, reason = "it measures how long things take")]
#![expect(clippy::disallowed_macros, reason = "it prints what it measured")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idsync_model::{
    DirectoryId, ExternalId, Group, MembersVersion, Mode, OwnerId, PagePart, RunId, Settings, SystemClock,
    TenantName, Trigger, UnixMillis, User,
};
use idsync_store::{NewDirectory, NewRun, ReadWith, RunFacts, SqliteStore, StagingRows, Store};
use rustix::time::{ClockId, clock_gettime};

type Failed = Box<dyn Error + Send + Sync>;

/// The size of the org.
#[derive(Clone, Copy)]
struct Size {
    users: usize,
    groups: usize,
    per_group: usize,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut next = |otherwise| numbers.next().unwrap_or(Ok(otherwise));
    let size = Size {
        users: next(10_000)?,
        groups: next(100)?,
        per_group: next(500)?,
    };
    let folder = tempfile::tempdir()?;
    let store: Arc<dyn Store> = SqliteStore::open(folder.path(), Arc::new(SystemClock::new()))?;
    let tenant = TenantName::default_tenant();
    let directory = DirectoryId::generate();
    store
        .add_directory(
            &tenant,
            NewDirectory {
                id: directory.clone(),
                provider: "okta".to_owned(),
                name: "acme".to_owned(),
                settings: Settings::default(),
                secrets: Vec::new(),
                key: None,
                created_at: UnixMillis(1_700_000_000_000),
            },
        )
        .await?;
    for what in ["first", "unchanged"] {
        sync(&store, &tenant, &directory, size, what).await?;
    }
    Ok(())
}

async fn sync(
    store: &Arc<dyn Store>,
    tenant: &TenantName,
    directory: &DirectoryId,
    size: Size,
    what: &str,
) -> Result<(), Failed> {
    let run = RunId::generate();
    let new = NewRun {
        run: run.clone(),
        directory: directory.clone(),
        trigger: Trigger::Manual,
        mode: Mode::Full,
        dry_run: false,
        started_at: UnixMillis(1_700_000_000_000),
        plugin_version: "1.0.0".to_owned(),
        owner: OwnerId::generate(),
        takes_over: None,
    };
    let basis = store.begin_run(tenant, new).await?;
    let with = ReadWith {
        mode: Mode::Full,
        fingerprint: String::new(),
        plugin_digest: String::new(),
        contract: String::new(),
    };
    let began = Moment::now();
    let staging = store.create_staging(tenant, &run, with).await?;
    put(&*staging, size).await?;
    staging.flush().await?;
    let staged = Moment::now();
    let plan = store.make_plan(tenant, staging, basis).await?;
    let planned = Moment::now();
    let applied = store.apply(plan, RunFacts::default()).await?;
    println!(
        "{what}: staging {}, plan {}, apply {}, {} changes",
        staged.since(&began),
        planned.since(&staged),
        Moment::now().since(&planned),
        applied.changes
    );
    Ok(())
}

/// When it is, and how much CPU the process has had.
struct Moment {
    at: Instant,
    cpu: Duration,
}

impl Moment {
    fn now() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            at: Instant::now(),
            cpu: Duration::try_from(cpu).unwrap_or_default(),
        }
    }

    fn since(&self, earlier: &Self) -> String {
        format!(
            "{:.2?} ({:.2?} CPU)",
            self.at.saturating_duration_since(earlier.at),
            self.cpu.saturating_sub(earlier.cpu)
        )
    }
}

/// Pages as Okta's: 500 users, then each group's list. Later ids sort behind earlier ones, as Okta's do.
async fn put(staging: &dyn StagingRows, size: Size) -> Result<(), Failed> {
    let all: Vec<usize> = (0..size.users).collect();
    for page in all.chunks(500) {
        let users = page.iter().map(|n| user(*n)).collect::<Result<_, _>>()?;
        staging.put_users(users).await?;
    }
    for n in 0..size.groups {
        let group = Group {
            external_id: id("00g", n)?,
            name: format!("Group {n}"),
            description: None,
            provider_kind: None,
            members_version: Some(MembersVersion::ChangedAt(1_700_000_000_000)),
        };
        staging.put_groups(vec![(group, true)]).await?;
        let members = (0..size.per_group.min(size.users))
            .map(|m| id("00u", (n * 7_919 + m * 199) % size.users))
            .collect::<Result<_, _>>()?;
        let part = PagePart {
            first: true,
            last: true,
        };
        staging
            .put_members(id("00g", n)?, members, UnixMillis(0), part)
            .await?;
    }
    Ok(())
}

fn id(kind: &str, n: usize) -> Result<ExternalId, Failed> {
    Ok(ExternalId::new(format!("{kind}{n:017x}"))?)
}

fn user(n: usize) -> Result<User, Failed> {
    Ok(User {
        external_id: id("00u", n)?,
        email: format!("grace.hopper.{n}@acme.example"),
        username: format!("grace.hopper.{n}@acme.example"),
        display_name: Some(format!("Grace Hopper {n}")),
        given_name: Some("Grace".to_owned()),
        family_name: Some(format!("Hopper {n}")),
        active: true,
        provider_status: "ACTIVE".to_owned(),
    })
}
