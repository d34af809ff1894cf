//! Calls over the boundary between host and guest, the same in every run: `cargo xtask counts` counts their instructions.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use async_trait::async_trait;
use clap::Args;
use idsync_capability::egress::Egress;
use idsync_capability::keys::MasterKey;
use idsync_counts::stretch::{Stretch, ends};
use idsync_model::{
    CallContext, CancellationToken, Entity, ExternalId, ExternalIds, Group, MembersVerdict, Mode, NoEvents,
    PagePart, Provider as _, Settings, Staging, StagingError, StoredCounts, SyncRequest, SystemClock,
    UnixMillis, User,
};
use idsync_sandbox::{BoundPlugin, Compiling, Grants, Limits, Pool, Sandbox, Setup};

/// How many instances are made for a call of `normalize`.
const INSTANCES: usize = 20;
/// How many users the plugin puts, and how many more in the call that is refused.
const USERS: usize = 20_000;
/// Longer than any call takes, on however slow a machine.
const LONG: Duration = Duration::from_hours(2);

/// What is called.
#[derive(Debug, Args)]
pub struct Options {
    /// The test plugin `hostile`: it puts users until they are refused
    #[arg(long)]
    plugin: PathBuf,
    /// A folder for the compiled plugin
    #[arg(long)]
    folder: PathBuf,
    /// The program that compiles, where it is not this one: what is emulated while counting can't run code that is
    /// compiled for the processor itself
    #[arg(long)]
    compiler: Option<PathBuf>,
}

/// Makes the calls.
pub fn main(options: &Options) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("making a runtime")?
        .block_on(whole(options))
}

async fn whole(options: &Options) -> Result<()> {
    let sandbox = sandbox(options)?;
    let plugin = sandbox
        .load(&options.plugin)
        .await
        .with_context(|| format!("loading {}", options.plugin.display()))?;
    let bound = plugin.bind(Grants {
        directory: None,
        key: None,
        vault: None,
        limits: None,
    });
    normalize(&bound).await?;
    ends(&Stretch::Before);
    for _ in 0..INSTANCES {
        normalize(&bound).await?;
    }
    ends(&Stretch::Kept("20 instances, a call of each"));

    let shelf = Arc::new(Shelf::default());
    put_users(&bound, Arc::clone(&shelf)).await;
    ends(&Stretch::Kept("20,000 users from guest to host"));
    let put = shelf.users.load(Ordering::Relaxed);
    ensure!(put == USERS, "{put} users were put, and not {USERS}");
    Ok(())
}

fn sandbox(options: &Options) -> Result<Arc<Sandbox>> {
    let limits = Limits {
        cpu_between_host_calls: LONG,
        cpu_total: LONG,
        wall_time: LONG,
        ..Limits::default()
    };
    let program = match &options.compiler {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("finding this program")?,
    };
    Ok(Sandbox::new(Setup {
        pool: Pool::new(2, &limits),
        limits,
        compiling: Compiling {
            // An emulator needs address space of its own.
            memory_bytes: 1 << 46,
            cpu: LONG,
            wall_time: LONG,
            ..Compiling::by(program)
        },
        cache_folder: options.folder.join("cache"),
        cache_key: MasterKey::from_text(&"5a".repeat(32))?.component_cache_key(),
        egress: Egress::new(&[], std::iter::empty().collect())?,
        clock: Arc::new(SystemClock::new()),
    })?)
}

async fn normalize(plugin: &BoundPlugin) -> Result<()> {
    plugin
        .normalize(&settings("none"))
        .await
        .map_err(|failure| anyhow!("calling `normalize`: {}", failure.summary))?
        .map(drop)
        .map_err(|problems| anyhow!("the settings were refused: {problems:?}"))
}

/// The plugin puts users, a thousand in each call, and the call that is one too many ends it.
async fn put_users(plugin: &BoundPlugin, shelf: Arc<Shelf>) {
    let request = SyncRequest {
        settings: settings("flood-store"),
        mode: Mode::Full,
        resume: None,
        expected_org: None,
    };
    let context = CallContext {
        run: None,
        time_limit: LONG,
        cancel: CancellationToken::new(),
        events: Arc::new(NoEvents),
    };
    plugin.sync(request, shelf, context).await;
}

fn settings(behaviour: &str) -> Settings {
    [("behaviour", behaviour), ("host", "org.example.com")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect()
}

/// A staging that counts users, and takes so many.
#[derive(Default)]
struct Shelf {
    users: AtomicUsize,
}

#[async_trait]
impl Staging for Shelf {
    async fn stored(&self) -> Result<StoredCounts, StagingError> {
        Ok(StoredCounts::default())
    }

    async fn put_users(&self, users: Vec<User>) -> Result<(), StagingError> {
        let put = self.users.load(Ordering::Relaxed) + users.len();
        if put > USERS {
            return Err(StagingError::TooManyRows { limit: USERS as u64 });
        }
        self.users.store(put, Ordering::Relaxed);
        Ok(())
    }

    async fn put_groups(&self, groups: Vec<Group>) -> Result<Vec<bool>, StagingError> {
        Ok(vec![true; groups.len()])
    }

    async fn put_members(
        &self,
        _group: ExternalId,
        _users: ExternalIds,
        _read_at: UnixMillis,
        _part: PagePart,
    ) -> Result<MembersVerdict, StagingError> {
        Ok(MembersVerdict::Taken)
    }

    async fn restart(&self, _kind: Entity) -> Result<(), StagingError> {
        Ok(())
    }

    async fn drop_group(&self, _external_id: ExternalId) -> Result<(), StagingError> {
        Ok(())
    }

    async fn skip(&self, _kind: Entity, _external_id: String, _reason: String) -> Result<(), StagingError> {
        Ok(())
    }

    async fn checkpoint(&self, _state: Vec<u8>) -> Result<(), StagingError> {
        Ok(())
    }
}
