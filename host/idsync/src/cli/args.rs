//! The command line: every option and command with its help text.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use idsync_model::{DeleteLimit, Entity, FeedCursor, TenantName};

use crate::duration::{self, DAY};

/// Keeps an identity store in step with the directories of identity providers.
#[derive(Debug, Parser)]
#[command(
    name = "idsync",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 held by the guard, 130 interrupted.\n\
                  The master key is read from IDSYNC_MASTER_KEY (32 bytes in hexadecimal or base64) where that is \
                  set, else from the file master.key in the data directory, which the first start makes.\n\
                  Start with `idsync plugin list` and `idsync directory add --help`."
)]
pub struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command. The master key is the one setting that is read from the environment alone.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where idsync keeps the store, the keys and its cache; made at first use, readable by you alone
    #[arg(
        long,
        value_name = "DIR",
        env = "IDSYNC_DATA_DIR",
        default_value = "idsync-data",
        global = true
    )]
    pub data_dir: PathBuf,
    /// Where the provider plugins (`okta.wasm`, …) are [default: `plugins` beside the binary]
    #[arg(long, value_name = "DIR", env = "IDSYNC_PLUGINS", global = true)]
    pub plugins: Option<PathBuf>,
    /// The tenant whose directories, users and runs are meant
    #[arg(
        long,
        value_name = "NAME",
        env = "IDSYNC_TENANT",
        default_value = "default",
        global = true
    )]
    pub tenant: TenantName,
    /// Trusts the certificates in this PEM file too, besides the public ones; may be given more than once
    #[arg(
        long,
        value_name = "FILE",
        env = "IDSYNC_CA_CERT",
        value_delimiter = ',',
        global = true
    )]
    pub ca_cert: Vec<PathBuf>,
    /// Lets plugins reach this host although its address is private; without a port, port 443
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        env = "IDSYNC_ALLOW_PRIVATE_EGRESS",
        value_delimiter = ',',
        global = true
    )]
    pub allow_private_egress: Vec<String>,
    /// Prints one JSON document on standard output instead of text for people
    #[arg(long, env = "IDSYNC_JSON", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue, global = true)]
    pub json: bool,
    /// What is logged to standard error: a level, or levels by module such as `warn,idsync_engine=debug` [default:
    /// `warn`, of `serve` `info`]
    #[arg(long, value_name = "FILTER", env = "IDSYNC_LOG", global = true)]
    pub log: Option<String>,
    /// How log lines are written
    #[arg(long, value_enum, value_name = "FORMAT", env = "IDSYNC_LOG_FORMAT", default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The provider plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// The tenants of this host
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// The connections to identity providers
    #[command(subcommand)]
    Directory(DirectoryCommand),
    /// Reads a directory and applies what changed
    Sync(SyncArguments),
    /// What runs did, and what becomes of those that are held or in progress
    #[command(subcommand)]
    Run(RunCommand),
    /// Prints the users, groups and memberships of a directory as stored, one JSON object a line; the last line's
    /// `cursor` is where `changes` goes on
    Export {
        /// The directory's id or name
        #[arg(value_name = "ID")]
        directory: String,
    },
    /// Prints what was applied since a position, one JSON object a line
    Changes(ChangesArguments),
    /// Copies the store, and the master key where it is a file, into a new folder; works beside a running service
    Backup {
        /// The folder to make
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Syncs all enabled directories by their schedules, and answers /healthz, /readyz and /metrics
    #[command(
        after_help = "SIGTERM and SIGINT end it in order: requests in flight get 5 s, and the next start goes on where \
                      each run was. A second signal ends it at once; nothing is lost either way."
    )]
    Serve(ServeArguments),
    /// Prints the completion script of a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Prints the manual page (roff), with all commands
    Man,
}

impl Command {
    /// Whether it may connect to a provider. No arm stands for all others, so that each new command is asked.
    pub fn asks_a_provider(&self) -> bool {
        match self {
            Self::Sync(_) | Self::Serve(_) => true,
            Self::Directory(command) => command.asks_a_provider(),
            Self::Plugin(_)
            | Self::Tenant(_)
            | Self::Run(_)
            | Self::Export { .. }
            | Self::Changes(_)
            | Self::Backup { .. }
            | Self::Completions { .. }
            | Self::Man => false,
        }
    }
}

/// `idsync plugin …`
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Lists the plugins that can be used
    List,
    /// Shows what a plugin file is: its name, version, settings, hosts, imports and size
    Inspect {
        /// The component
        file: PathBuf,
    },
}

/// `idsync tenant …`
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Adds a tenant
    Add {
        /// Lower-case letters, digits and `-`
        name: TenantName,
    },
    /// Lists the tenants
    List,
    /// Removes a tenant that has no directories
    Remove {
        /// The tenant
        name: TenantName,
    },
}

/// `idsync directory …`
#[derive(Debug, Subcommand)]
pub enum DirectoryCommand {
    /// Adds a directory as a draft, makes its key pair, and says what to do at the provider
    Add {
        /// The provider's word, as `plugin list` shows it
        #[arg(long, value_name = "PROVIDER")]
        provider: String,
        /// A name that is unique in the tenant
        #[arg(long)]
        name: String,
        /// A setting; may be given more than once, and later with `directory set`. A secret one is read from a file:
        /// KEY=@FILE
        #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
        set: Vec<(String, String)>,
        /// What its plans may delete without being held, as in `directory set`
        #[arg(long, value_name = "KIND=LIMIT", value_parser = max_delete)]
        max_delete: Vec<(Entity, DeleteLimit)>,
    },
    /// Lists the directories
    List,
    /// Shows a directory
    Show(DirectoryId),
    /// Changes settings and limits; an empty value takes a setting away, and KEY=@FILE reads a secret one
    Set {
        /// The directory's id or name
        #[arg(value_name = "ID")]
        directory: String,
        /// The settings
        #[arg(required_unless_present = "max_delete", value_name = "KEY=VALUE", value_parser = key_value)]
        settings: Vec<(String, String)>,
        /// What its plans may delete of `users`, `groups` or `memberships` without being held: `5%` (and at least 10 of
        /// them), a number, `off` or `default` (20%); may be given for each kind
        #[arg(long, value_name = "KIND=LIMIT", value_parser = max_delete)]
        max_delete: Vec<(Entity, DeleteLimit)>,
    },
    /// Sets how often an enabled directory is synced
    Schedule {
        /// The directory's id or name
        #[arg(value_name = "ID")]
        directory: String,
        /// The time from one run to the next, from 10s to 30d, such as 2h or 1h30m
        #[arg(long, value_name = "DURATION", value_parser = schedule)]
        every: Duration,
    },
    /// Makes a second key that takes over once `directory verify` has passed with it
    RotateKey {
        /// The directory's id or name
        #[arg(value_name = "ID")]
        directory: String,
        /// Drops the second key
        #[arg(long)]
        abort: bool,
    },
    /// Prints the public key, to be registered at the provider; while it is rotated, the one that waits beside it
    Key {
        /// The directory's id or name
        #[arg(value_name = "ID")]
        directory: String,
        /// The form of the key
        #[arg(long, value_enum, default_value_t = KeyFormat::Jwk)]
        format: KeyFormat,
    },
    /// Tries the connection and checks each thing that must be right
    Verify(DirectoryId),
    /// Lets the schedule run a verified directory
    Enable(DirectoryId),
    /// Stops the schedule; `sync` by hand still works
    Disable(DirectoryId),
    /// Removes a directory with its users, groups and memberships, and erases its key
    Remove {
        /// The directory's id or name
        #[arg(value_name = "ID")]
        directory: String,
        /// Don't ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Says why a person or group is, or is not, synced
    Explain {
        /// The directory's id or name
        #[arg(value_name = "ID")]
        directory: String,
        /// An id, an e-mail or a login
        who: String,
    },
}

impl DirectoryCommand {
    fn asks_a_provider(&self) -> bool {
        match self {
            Self::Verify(_) | Self::Explain { .. } => true,
            Self::Add { .. }
            | Self::List
            | Self::Show(_)
            | Self::Set { .. }
            | Self::Schedule { .. }
            | Self::RotateKey { .. }
            | Self::Key { .. }
            | Self::Enable(_)
            | Self::Disable(_)
            | Self::Remove { .. } => false,
        }
    }
}

/// A directory by its id or name.
#[derive(Debug, Args)]
pub struct DirectoryId {
    /// The directory's id or name
    #[arg(value_name = "ID")]
    pub directory: String,
}

/// The forms in which a public key is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyFormat {
    /// A JSON Web Key (RFC 7517), as Okta takes it.
    Jwk,
    /// PEM with SubjectPublicKeyInfo (RFC 7468, section 13).
    Pem,
}

/// `idsync sync`
#[derive(Debug, Args)]
pub struct SyncArguments {
    /// The directory's id or name
    #[arg(value_name = "ID")]
    pub directory: String,
    /// Stops after the plan: shows what would change, and changes nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Reads every group's members, also of those that did not change
    #[arg(long)]
    pub full: bool,
}

/// `idsync run …`
#[derive(Debug, Subcommand)]
pub enum RunCommand {
    /// Lists the latest runs, newest first
    List {
        /// Only the runs of this directory
        #[arg(long, value_name = "ID")]
        directory: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Shows what a run did, what it skipped, and for a held one what it would delete
    Show {
        /// The run's id
        run: String,
        /// How many rows of each kind are listed at most
        #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Lists every row
        #[arg(long, conflicts_with = "limit")]
        all: bool,
    },
    /// Applies the plan of a held run: exactly what `run show --all` lists
    Approve {
        /// The run's id
        run: String,
    },
    /// Says no to the plan of a held run; the next run makes its own
    Discard {
        /// The run's id
        run: String,
    },
    /// Ends a run in progress, and waits until it has ended
    Cancel {
        /// The run's id
        run: String,
    },
}

/// `idsync changes`
#[derive(Debug, Args)]
pub struct ChangesArguments {
    /// The position after which to begin: the `cursor` of the last line that was dealt with, or a number alone
    #[arg(long, value_name = "SEQ[@FEED]", default_value = "0")]
    pub since: FeedCursor,
    /// Goes on, and prints each change as it is applied
    #[arg(long)]
    pub follow: bool,
    /// Only the changes of this directory
    #[arg(long, value_name = "ID")]
    pub directory: Option<String>,
}

/// `idsync serve`
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Where to listen; port 0 is any free one
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "IDSYNC_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: String,
    /// How many runs there may be at once
    #[arg(long, value_name = "N", env = "IDSYNC_MAX_RUNS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_runs: u32,
    /// How many of them may be of one tenant
    #[arg(long, value_name = "N", env = "IDSYNC_MAX_RUNS_PER_TENANT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_runs_per_tenant: u32,
    /// How long changes are kept for `changes`, from 1d to 10 years (3650d)
    #[arg(long, value_name = "DURATION", env = "IDSYNC_KEEP_CHANGES", default_value = "30d", value_parser = keep_changes)]
    pub keep_changes: Duration,
}

fn max_delete(text: &str) -> Result<(Entity, DeleteLimit), String> {
    let expected = "expected KIND=LIMIT, such as users=5%, groups=50, memberships=off or users=default";
    let (kind, limit) = text.split_once('=').ok_or(expected)?;
    let kind = Entity::ALL
        .into_iter()
        .find(|known| known.plural() == kind)
        .ok_or_else(|| format!("`{kind}` is none of users, groups, memberships; {expected}"))?;
    let limit = limit.parse::<DeleteLimit>().map_err(|error| error.to_string())?;
    Ok((kind, limit))
}

/// Shorter would leave an org no rest, longer would forget it.
fn schedule(text: &str) -> Result<Duration, String> {
    duration::within(text, Duration::from_secs(10), 30 * DAY)
}

fn keep_changes(text: &str) -> Result<Duration, String> {
    duration::within(text, DAY, 3650 * DAY)
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as okta_domain=your-company.okta.com".to_owned()),
    }
}

/// The master key of the environment, the one setting that must not stand on a command line, where others can read it.
#[expect(clippy::disallowed_methods, reason = "this is the command line's parser")]
pub fn master_key_of_environment() -> Option<String> {
    std::env::var("IDSYNC_MASTER_KEY")
        .ok()
        .filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_setting_needs_a_name_and_keeps_what_follows_the_first_equals_sign() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("a").is_err());
        assert!(key_value("=b").is_err());
    }

    #[test]
    fn a_schedule_outside_its_bounds_is_refused_with_them() {
        for every in ["1ms", "9s", "31d"] {
            let error =
                Arguments::try_parse_from(["idsync", "directory", "schedule", "acme", "--every", every])
                    .unwrap_err()
                    .to_string();
            assert!(error.contains("from 10s to 30d"), "{every}: {error}");
        }
        assert_eq!(schedule("2h"), Ok(Duration::from_hours(2)));
    }

    #[test]
    fn changes_are_kept_for_a_day_at_least_and_ten_years_at_most() {
        assert_eq!(keep_changes("1d"), Ok(DAY));
        assert_eq!(keep_changes("3650d"), Ok(3650 * DAY));
        assert!(keep_changes("23h").is_err());
        assert!(keep_changes("3651d").is_err());
    }

    #[test]
    fn a_limit_names_its_kind() {
        assert!(matches!(
            max_delete("users=5%"),
            Ok((Entity::User, DeleteLimit::Share { .. }))
        ));
        assert!(matches!(
            max_delete("groups=off"),
            Ok((Entity::Group, DeleteLimit::Off))
        ));
        for text in ["users", "people=5%", "users=", "users=-1", "users=101%"] {
            assert!(max_delete(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_alone_can_be_set() {
        let parsed =
            Arguments::try_parse_from(["idsync", "directory", "set", "acme", "--max-delete", "users=50"]);
        assert!(parsed.is_ok(), "{parsed:?}");
        assert!(Arguments::try_parse_from(["idsync", "directory", "set", "acme"]).is_err());
    }
}
