//! A sandbox in a temporary folder, the test plugins, a staging that counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use idsync_capability::egress::{Egress, PrivateEgress};
use idsync_capability::keys::MasterKey;
use idsync_model::{
    CallContext, Entity, ExternalId, ExternalIds, Failure, Group, MembersVerdict, Mode, NoEvents, PagePart,
    Provider as _, Settings, Staging, StagingError, StoredCounts, SyncEnd, SyncRequest, SystemClock,
    UnixMillis, User,
};
use idsync_sandbox::{BoundPlugin, Compiling, Grants, Limits, Plugin, Pool, Sandbox, SandboxError, Setup};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// The file of a test plugin, by the name of its package.
pub fn test_plugin(package: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("cargo's folder for tests lies in the target folder");
    let path = target.join("test-plugins").join(format!("{package}.wasm"));
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask build` first",
        path.display()
    );
    path
}

/// The master key that everything of a test derives from.
pub fn master_key(byte: u8) -> MasterKey {
    MasterKey::from_text(&format!("{byte:02x}").repeat(32)).expect("64 hexadecimal digits")
}

/// How a sandbox in this folder is set up.
pub fn setup(folder: &Path, limits: Limits) -> Setup {
    let allowed: PrivateEgress = std::iter::empty().collect();
    Setup {
        pool: Pool::new(16, &limits),
        limits,
        compiling: Compiling::by(PathBuf::from(env!("CARGO_BIN_EXE_idsync-compile-child"))),
        cache_folder: folder.join("cache"),
        cache_key: master_key(1).component_cache_key(),
        egress: Egress::new(&[], allowed).expect("a client without roots of its own"),
        clock: Arc::new(SystemClock::new()),
    }
}

/// A sandbox with its folder, which goes when it is dropped.
pub struct Place {
    pub sandbox: Arc<Sandbox>,
    pub folder: TempDir,
}

impl Place {
    pub fn new(limits: Limits) -> Self {
        Self::with(limits, |_| ())
    }

    pub fn with(limits: Limits, change: impl FnOnce(&mut Setup)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut setup = setup(folder.path(), limits);
        change(&mut setup);
        Self {
            sandbox: Sandbox::new(setup).expect("a sandbox"),
            folder,
        }
    }

    /// What loading a component that is given as text is refused with.
    pub async fn refused(&self, text: &str) -> SandboxError {
        self.refused_file(&wat::parse_str(text).expect("right text"))
            .await
    }

    /// What loading a file of these bytes is refused with.
    pub async fn refused_file(&self, bytes: &[u8]) -> SandboxError {
        let path = self.folder.path().join("plugin.wasm");
        std::fs::write(&path, bytes).expect("a temporary folder");
        let error = self.sandbox.load(&path).await.expect_err("it is no plugin");
        assert!(!error.hint().is_empty(), "{error}");
        assert_eq!(error.to_failure().hint, error.hint());
        error
    }

    pub async fn hostile(&self) -> BoundPlugin {
        self.plugin().await.bind(no_grants())
    }

    pub async fn plugin(&self) -> Arc<Plugin> {
        self.sandbox
            .load(&test_plugin("test-plugin-hostile"))
            .await
            .expect("it is a plugin until it is called")
    }
}

pub fn no_grants() -> Grants {
    Grants {
        directory: None,
        key: None,
        vault: None,
        limits: None,
    }
}

pub fn settings(behaviour: &str) -> Settings {
    settings_with_host(behaviour, "org.example.com")
}

pub fn settings_with_host(behaviour: &str, host: &str) -> Settings {
    [("behaviour", behaviour), ("host", host)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect()
}

pub fn context() -> CallContext {
    CallContext {
        run: None,
        time_limit: Duration::from_mins(5),
        cancel: CancellationToken::new(),
        events: Arc::new(NoEvents),
    }
}

/// Syncs with a behaviour, and nothing else out of the ordinary.
pub async fn sync(plugin: &BoundPlugin, behaviour: &str) -> SyncEnd {
    sync_with(plugin, settings(behaviour), context()).await
}

pub async fn sync_with(plugin: &BoundPlugin, settings: Settings, context: CallContext) -> SyncEnd {
    let request = SyncRequest {
        settings,
        mode: Mode::Full,
        resume: None,
        expected_org: None,
    };
    plugin.sync(request, Arc::new(Shelf::default()), context).await
}

pub fn failure(end: SyncEnd) -> Failure {
    end.result.expect_err("the sync was ended")
}

/// A staging that counts rows, and takes 100,000 of them.
#[derive(Default)]
pub struct Shelf {
    pub rows: AtomicU64,
}

impl Shelf {
    const LIMIT: u64 = 100_000;

    fn add(&self, rows: usize) -> Result<(), StagingError> {
        let before = self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        if before + rows as u64 > Self::LIMIT {
            Err(StagingError::TooManyRows { limit: Self::LIMIT })
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Staging for Shelf {
    async fn stored(&self) -> Result<StoredCounts, StagingError> {
        Ok(StoredCounts::default())
    }
    async fn put_users(&self, users: Vec<User>) -> Result<(), StagingError> {
        self.add(users.len())
    }
    async fn put_groups(&self, groups: Vec<Group>) -> Result<Vec<bool>, StagingError> {
        self.add(groups.len())?;
        Ok(vec![true; groups.len()])
    }
    async fn put_members(
        &self,
        _group: ExternalId,
        users: ExternalIds,
        _read_at: UnixMillis,
        _part: PagePart,
    ) -> Result<MembersVerdict, StagingError> {
        self.add(users.len())?;
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
