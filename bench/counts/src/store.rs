//! Staging, plan and apply, through the store alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use idsync_model::{
    Clock, DirectoryId, ExternalId, Mode, OwnerId, PagePart, RunId, Settings, TenantName, Trigger, UnixMillis,
};
use idsync_store::{NewDirectory, NewRun, Plan, ReadWith, RunFacts, SqliteStore, StagingRows, Store};

use crate::org::{self, Org};
use crate::stretch::{Stretch, ends};

/// When everything happens, in Unix milliseconds.
const NOW: i64 = 1_800_000_000_000;
/// Rows of one page: Okta's pages of users, of groups and of members.
const USERS_PAGE: usize = 500;
const GROUPS_PAGE: usize = 200;
const MEMBERS_PAGE: usize = 1_000;

const USUAL: Org = Org {
    users: 10_000,
    groups: 100,
    per_group: 500,
};

/// What a later sync finds changed.
#[derive(Debug, Clone, Copy, Default)]
struct Changed {
    /// Of so many users, each has another name.
    users: usize,
    /// Of so many groups, each has another member in place of one.
    groups: usize,
}

/// A first sync, and one that finds a few users and groups changed.
pub fn usual() -> Result<()> {
    let mut directory = Directory::new()?;
    let staged = directory.stage(USUAL, Changed::default())?;
    ends(&Stretch::Kept("staging of a first sync"));
    let plan = directory.plan(staged)?;
    ends(&Stretch::Kept("plan of a first sync"));
    directory.apply(plan, USUAL.rows())?;
    ends(&Stretch::Kept("apply of a first sync"));

    let few = Changed {
        users: 500,
        groups: 20,
    };
    let staged = directory.stage(USUAL, few)?;
    ends(&Stretch::Kept("staging with a few changes"));
    let plan = directory.plan(staged)?;
    ends(&Stretch::Kept("plan of a few changes"));
    // Another member is one who goes and one who comes.
    directory.apply(plan, few.users + 2 * few.groups)?;
    ends(&Stretch::Kept("apply of a few changes"));
    small_runs()
}

/// What a run costs however small it is, which a service with many directories pays most for.
fn small_runs() -> Result<()> {
    const SMALL: Org = Org {
        users: 100,
        groups: 10,
        per_group: 10,
    };
    let mut directory = Directory::new()?;
    let mut sync = |changes| {
        let staged = directory.stage(SMALL, Changed::default())?;
        let plan = directory.plan(staged)?;
        directory.apply(plan, changes)
    };
    sync(SMALL.rows())?;
    ends(&Stretch::Before);
    for _ in 0..20 {
        sync(0)?;
    }
    ends(&Stretch::Kept("20 syncs of a small org"));
    Ok(())
}

/// First syncs of what grows in one direction, each with twice of it.
pub fn growth() -> Result<()> {
    for n in [5_000, 10_000] {
        let org = Org {
            users: n,
            groups: 1,
            per_group: n,
        };
        first_sync(
            org,
            [
                "staging of a group with all users",
                "plan of a group with all users",
                "apply of a group with all users",
            ],
        )?;
    }
    for n in [5_000, 10_000] {
        let org = Org {
            users: 1,
            groups: n,
            per_group: 1,
        };
        first_sync(
            org,
            [
                "staging of a user in all groups",
                "plan of a user in all groups",
                "apply of a user in all groups",
            ],
        )?;
    }
    for n in [400, 800] {
        let org = Org {
            users: n,
            groups: n / 10,
            per_group: n,
        };
        first_sync(
            org,
            [
                "staging of all users in all groups",
                "plan of all users in all groups",
                "apply of all users in all groups",
            ],
        )?;
    }
    Ok(())
}

fn first_sync(org: Org, [staging, plan, apply]: [&'static str; 3]) -> Result<()> {
    let mut directory = Directory::new()?;
    let staged = directory.stage(org, Changed::default())?;
    ends(&Stretch::Growth(staging, org.rows()));
    let planned = directory.plan(staged)?;
    ends(&Stretch::Growth(plan, org.rows()));
    directory.apply(planned, org.rows())?;
    ends(&Stretch::Growth(apply, org.rows()));
    Ok(())
}

/// A store with one directory.
struct Directory {
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
    tenant: TenantName,
    id: DirectoryId,
    runs: u32,
    _folder: tempfile::TempDir,
}

/// What was read and is to be planned.
struct Staged {
    rows: Arc<dyn StagingRows>,
    basis: idsync_store::RunBasis,
}

impl Directory {
    /// Ends a stretch that is not looked at.
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("making a folder for the store")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            // A thread that ended, because counting is slow, would have to be made anew.
            .thread_keep_alive(Duration::from_hours(2))
            .build()
            .context("making a runtime")?;
        let directory = Self {
            store: open(folder.path())?,
            runtime,
            tenant: TenantName::default_tenant(),
            id: format!("dir_{:032x}", 1).parse()?,
            runs: 0,
            _folder: folder,
        };
        let added = directory.store.add_directory(
            &directory.tenant,
            NewDirectory {
                id: directory.id.clone(),
                provider: "okta".to_owned(),
                name: "acme".to_owned(),
                settings: Settings::default(),
                secrets: Vec::new(),
                key: None,
                created_at: UnixMillis(NOW),
            },
        );
        directory.runtime.block_on(added)?;
        ends(&Stretch::Before);
        Ok(directory)
    }

    fn stage(&mut self, org: Org, changed: Changed) -> Result<Staged> {
        self.runs += 1;
        let run: RunId = format!("run_{:032x}", self.runs).parse()?;
        let owner: OwnerId = format!("own_{:032x}", 1).parse()?;
        self.runtime.block_on(async {
            let new = NewRun {
                run: run.clone(),
                directory: self.id.clone(),
                trigger: Trigger::Manual,
                mode: Mode::Full,
                dry_run: false,
                started_at: UnixMillis(NOW),
                plugin_version: "1.0.0".to_owned(),
                owner,
                takes_over: None,
            };
            let basis = self.store.begin_run(&self.tenant, new).await?;
            let with = ReadWith {
                mode: Mode::Full,
                fingerprint: String::new(),
                plugin_digest: String::new(),
                contract: String::new(),
            };
            let rows = self.store.create_staging(&self.tenant, &run, with).await?;
            put(&*rows, org, changed).await?;
            rows.flush().await?;
            Ok(Staged { rows, basis })
        })
    }

    fn plan(&self, staged: Staged) -> Result<Plan> {
        let plan = self.store.make_plan(&self.tenant, staged.rows, staged.basis);
        Ok(self.runtime.block_on(plan)?)
    }

    fn apply(&self, plan: Plan, changes: usize) -> Result<()> {
        let applied = self
            .runtime
            .block_on(self.store.apply(plan, RunFacts::default()))?;
        anyhow::ensure!(
            applied.changes == changes as u64,
            "readers were told of {} changes, and not of {changes}: what is counted is something else",
            applied.changes
        );
        Ok(())
    }
}

fn open(folder: &Path) -> Result<Arc<dyn Store>> {
    struct Standing;
    impl Clock for Standing {
        fn now(&self) -> UnixMillis {
            UnixMillis(NOW)
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }
    SqliteStore::open(folder, Arc::new(Standing)).context("opening the store")
}

/// Puts all rows, in pages as large as Okta's.
async fn put(staging: &dyn StagingRows, org: Org, changed: Changed) -> Result<()> {
    let users: Vec<usize> = (0..org.users).collect();
    for page in users.chunks(USERS_PAGE) {
        let page = page.iter().map(|n| org::user(*n, *n < changed.users));
        staging.put_users(page.collect::<Result<_, _>>()?).await?;
    }
    let version = |group| if group < changed.groups { 2 } else { 1 };
    let groups: Vec<usize> = (0..org.groups).collect();
    for page in groups.chunks(GROUPS_PAGE) {
        let page = page
            .iter()
            .map(|n| Ok((org::group(*n, version(*n))?, true)))
            .collect::<Result<_>>()?;
        staging.put_groups(page).await?;
    }
    for group in groups {
        // A changed group has the member after its last in place of its first.
        let begin = usize::from(group < changed.groups);
        let members = (begin..begin + org.per_group)
            .map(|place| ExternalId::new(org::user_id(org.member(group, place))))
            .collect::<Result<Vec<_>, _>>()?;
        let pages = members.chunks(MEMBERS_PAGE);
        let last = pages.len() - 1;
        for (n, page) in pages.enumerate() {
            let part = PagePart {
                first: n == 0,
                last: n == last,
            };
            let group = ExternalId::new(org::group_id(group))?;
            staging
                .put_members(group, page.iter().collect(), UnixMillis(NOW), part)
                .await?;
        }
    }
    Ok(())
}
