//! What every operation is lent: the store, the keys, the way out to providers, and the plugins, put together from the
//! options of the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use idsync_capability::egress::{Egress, HostPort, PrivateEgress};
use idsync_capability::keys::{MasterKey, MasterKeyError};
use idsync_engine::Random;
use idsync_engine::lease::{Owner, OwnerError};
use idsync_model::{
    Clock, ErrorKind, Normalized, Provider, SettingProblem, Settings, SystemClock, TenantName, with_causes,
};
use idsync_sandbox::{Compiling, Grants, Limits, Plugin, Pool, Sandbox, SandboxError, Setup};
use idsync_store::{SqliteStore, Store};
use tokio::sync::OnceCell;

use crate::error::{CommandError, Kind};

/// Instances beside those of runs: what is loaded, described and verified meanwhile.
const OTHER_INSTANCES: u32 = 3;

/// Where things are, and what is allowed.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The folder of the plugins, where it is not beside the binary.
    pub plugins_dir: Option<PathBuf>,
    /// The tenant that commands are about.
    pub tenant: TenantName,
    /// PEM files with certificates to trust besides the public ones.
    pub ca_certs: Vec<PathBuf>,
    /// `HOST` or `HOST:PORT` that may be reached although the address is private.
    pub allow_private_egress: Vec<String>,
    /// The master key of the environment. It never stands on a command line.
    pub master_key: Option<SecretText>,
    /// How many runs there may be at once in this process.
    pub runs_at_once: u32,
}

/// Text that must not be shown.
#[derive(Clone)]
pub struct SecretText(pub String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl AppOptions {
    /// The folder of the plugins.
    pub fn plugins_dir(&self) -> PathBuf {
        self.plugins_dir
            .clone()
            .unwrap_or_else(|| match std::env::current_exe() {
                Ok(binary) => binary.with_file_name("plugins"),
                Err(_) => PathBuf::from("plugins"),
            })
    }

    fn egress(&self) -> Result<Egress, CommandError> {
        let allowed: PrivateEgress = self
            .allow_private_egress
            .iter()
            .map(|text| {
                text.parse::<HostPort>().map_err(|error| {
                    CommandError::usage(
                        format!("--allow-private-egress `{text}`: {error}"),
                        "Give a host such as okta.internal, or a host and a port such as acme.localhost:8443.",
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        Egress::new(&self.ca_certs, allowed)
            .map_err(|error| CommandError::usage(with_causes(&error), error.hint()))
    }
}

/// An opened data directory.
pub struct App {
    options: AppOptions,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    master_key: Arc<MasterKey>,
    egress: Egress,
    owner: OnceCell<Arc<Owner>>,
    plugins: OnceCell<Plugins>,
}

impl App {
    /// Opens the data directory, and makes it where there is none.
    pub fn open(options: AppOptions) -> Result<Self, CommandError> {
        // First, so that a wrong option is told before a data directory is made.
        let egress = options.egress()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = SqliteStore::open(&options.data_dir, Arc::clone(&clock))?;
        let master_key = open_master_key(&options)?;
        Ok(Self {
            options,
            store,
            clock,
            master_key,
            egress,
            owner: OnceCell::new(),
            plugins: OnceCell::new(),
        })
    }

    /// The data directory, and what is allowed.
    pub fn options(&self) -> &AppOptions {
        &self.options
    }

    /// The identity store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The tenant that the command is about.
    pub fn tenant(&self) -> &TenantName {
        &self.options.tenant
    }

    /// The key that all others are sealed with.
    pub fn master_key(&self) -> &MasterKey {
        &self.master_key
    }

    /// This process as an owner of leases, from its first run on.
    pub async fn owner(&self) -> Result<Arc<Owner>, CommandError> {
        let owner = self
            .owner
            .get_or_try_init(|| async { Owner::take(&self.locks_dir()).map(Arc::new) })
            .await?;
        Ok(Arc::clone(owner))
    }

    /// What carries out runs, for this process.
    pub async fn sync(&self) -> Result<idsync_engine::Sync, CommandError> {
        Ok(idsync_engine::Sync::new(
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            self.owner().await?,
            self.random(),
        ))
    }

    /// The folder of the owners' lock files.
    pub fn locks_dir(&self) -> PathBuf {
        self.options.data_dir.join("locks")
    }

    /// What spreads over time what is tried again.
    pub fn random(&self) -> Random {
        Arc::new(|| {
            // Without random numbers everything is tried again in the middle of its span.
            getrandom::u32().map_or(0.5, |number| f64::from(number) / (f64::from(u32::MAX) + 1.0))
        })
    }

    /// The plugin of a provider.
    pub async fn plugin(&self, provider: &str) -> Result<Arc<Plugin>, CommandError> {
        let plugins = self
            .plugins
            .get_or_try_init(|| async {
                Plugins::new(&self.options, &self.master_key, &self.clock, self.egress.clone())
            })
            .await?;
        Box::pin(plugins.of_provider(provider)).await
    }

    /// Settings in the canonical form of a provider, or what is wrong with each.
    pub async fn normalize(
        &self,
        plugin: &Arc<Plugin>,
        settings: &Settings,
    ) -> Result<Result<Normalized, Vec<SettingProblem>>, CommandError> {
        let bound = plugin.bind(Grants {
            directory: None,
            key: None,
            vault: None,
            limits: None,
        });
        Ok(bound.normalize(settings).await?)
    }
}

/// The folder of the plugins, and the sandbox that they run in.
pub struct Plugins {
    dir: PathBuf,
    sandbox: Arc<Sandbox>,
}

impl Plugins {
    /// The plugins of these options. Compiled ones are kept in the data directory, which is made where there is none.
    pub fn open(options: &AppOptions) -> Result<Self, CommandError> {
        let egress = options.egress()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        SqliteStore::open(&options.data_dir, Arc::clone(&clock))?;
        Self::new(options, open_master_key(options)?.as_ref(), &clock, egress)
    }

    fn new(
        options: &AppOptions,
        master_key: &MasterKey,
        clock: &Arc<dyn Clock>,
        egress: Egress,
    ) -> Result<Self, CommandError> {
        let program = std::env::current_exe().map_err(|error| {
            CommandError::host(&error, "The path of the idsync binary could not be found out.")
        })?;
        let limits = Limits::default();
        let sandbox = Sandbox::new(Setup {
            pool: Pool::new(options.runs_at_once.saturating_add(OTHER_INSTANCES), &limits),
            limits,
            compiling: Compiling::by(program),
            cache_folder: options.data_dir.join("cache"),
            cache_key: master_key.component_cache_key(),
            egress,
            clock: Arc::clone(clock),
        })?;
        Ok(Self {
            dir: options.plugins_dir(),
            sandbox,
        })
    }

    /// The files that may be plugins, by name.
    pub fn files(&self) -> Result<Vec<PathBuf>, CommandError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                let hint = format!(
                    "Look at the folder {}, or point --plugins at another.",
                    self.dir.display()
                );
                return Err(CommandError::host(&error, hint));
            }
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
            .collect();
        files.sort();
        Ok(files)
    }

    /// Loads the plugin in a file.
    pub async fn load(&self, file: &Path) -> Result<Arc<Plugin>, CommandError> {
        Ok(self.sandbox.load(file).await?)
    }

    /// The plugin of a provider: the file `PROVIDER.wasm`, which must say that it is that provider.
    async fn of_provider(&self, provider: &str) -> Result<Arc<Plugin>, CommandError> {
        // A provider's word is a file's name here, and must not lead elsewhere.
        let is_word = !provider.is_empty()
            && provider
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let file = self.dir.join(format!("{provider}.wasm"));
        if !is_word || !file.is_file() {
            return Err(self.unknown(provider).await?);
        }
        let plugin = self.load(&file).await?;
        let id = &plugin.description().id;
        if id == provider {
            return Ok(plugin);
        }
        Err(CommandError::new(
            Kind::Run(ErrorKind::Plugin),
            format!(
                "the plugin {} says that it is the provider `{id}`",
                file.display()
            ),
            format!("Name the file {id}.wasm."),
        ))
    }

    async fn unknown(&self, provider: &str) -> Result<CommandError, CommandError> {
        let mut known = Vec::new();
        for file in self.files()? {
            // One that can't be used is no provider; `plugin list` says what is wrong with it.
            if let Ok(plugin) = self.load(&file).await {
                known.push(plugin.description().id.clone());
            }
        }
        let hint = if known.is_empty() {
            format!(
                "There are no plugins in {}: point --plugins at the folder that has them.",
                self.dir.display()
            )
        } else {
            format!(
                "There are: {}. The plugins are in {}.",
                known.join(", "),
                self.dir.display()
            )
        };
        Ok(CommandError::usage(
            format!("there is no provider `{provider}`"),
            hint,
        ))
    }
}

fn open_master_key(options: &AppOptions) -> Result<Arc<MasterKey>, CommandError> {
    let text = options.master_key.as_ref().map(|text| text.0.as_str());
    Ok(Arc::new(MasterKey::open(&options.data_dir, text)?))
}

/// Runs what keeps a processor busy where it holds nobody up.
pub async fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CommandError::host(&error, "This is a fault of idsync: please report it."))
}

impl From<MasterKeyError> for CommandError {
    fn from(error: MasterKeyError) -> Self {
        Self::new(Kind::Run(ErrorKind::Host), with_causes(&error), error.hint())
    }
}

impl From<OwnerError> for CommandError {
    fn from(error: OwnerError) -> Self {
        Self::in_two_parts(Kind::Run(ErrorKind::Host), &error)
    }
}

impl From<SandboxError> for CommandError {
    fn from(error: SandboxError) -> Self {
        error.to_failure().into()
    }
}
