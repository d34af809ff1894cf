//! What the service counts: `/metrics`, in the text of OpenMetrics or of Prometheus.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use idsync_model::{DirectoryId, DirectoryState, EntityCounts, Outcome, RunReport, TenantName, UnixMillis};
use prometheus_client::encoding::{
    EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, prometheus_text, text,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The two forms of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0, for those who ask for it.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4, for all others.
    Prometheus,
}

impl Form {
    /// The form that the request's `Accept` asks for.
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// Its media type (OpenMetrics 1.0, "Protocol Negotiation").
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// From a run of a small org to one that takes all its time, in seconds.
const DURATION_SECONDS: [f64; 12] = [
    0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0,
];
/// Up to the limit of a plugin's memory, in bytes.
const MEMORY_BYTES: [f64; 8] = [
    2_097_152.0,
    4_194_304.0,
    8_388_608.0,
    16_777_216.0,
    33_554_432.0,
    67_108_864.0,
    100_663_296.0,
    134_217_728.0,
];

type DurationFamily = Family<RunLabels, Histogram, fn() -> Histogram>;
type MemoryFamily = Family<ProviderLabels, Histogram, fn() -> Histogram>;
type Seconds = Counter<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    provider: String,
    outcome: Word,
    /// The kind of failure; empty without one, as for a label that is not there.
    error: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    provider: String,
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RowLabels {
    provider: String,
    kind: Word,
    operation: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectoryLabels {
    tenant: String,
    directory: String,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectoryStateLabels {
    tenant: String,
    directory: String,
    name: String,
    state: Word,
}

/// A word of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

/// A directory as the metrics show it.
#[derive(Debug, Clone)]
pub struct DirectoryGauge {
    /// Its tenant.
    pub tenant: TenantName,
    /// Its id.
    pub id: DirectoryId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: DirectoryState,
    /// Whether a plan of it waits for a person.
    pub is_held: bool,
    /// Whether its runs fail.
    pub is_failing: bool,
    /// Whether it is being synced, by whatever process.
    pub is_running: bool,
    /// When a run of it last succeeded.
    pub last_success: Option<UnixMillis>,
}

/// All that is counted. What runs did is added up since the start; how directories stand is taken from the store at
/// each look.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    runs: Family<EndLabels, Counter>,
    duration: DurationFamily,
    memory: MemoryFamily,
    requests: Family<ProviderLabels, Counter>,
    waits: Family<ProviderLabels, Seconds>,
    rows: Family<RowLabels, Counter>,
    gauges: Gauges,
    /// Held while the gauges are filled and written, so that two askers don't mix their looks.
    looking: Mutex<()>,
}

#[derive(Debug, Default)]
struct Gauges {
    directories: Family<StateLabels, Gauge>,
    held: Gauge,
    failing: Gauge,
    running: Gauge,
    state: Family<DirectoryStateLabels, Gauge>,
    is_held: Family<DirectoryLabels, Gauge>,
    is_failing: Family<DirectoryLabels, Gauge>,
    last_success: Family<DirectoryLabels, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    /// Nothing counted yet; `version` is this build's.
    pub fn new(version: &str) -> Self {
        let mut registry = Registry::with_prefix("idsync");
        let (runs, requests, waits, rows) = (
            Family::default(),
            Family::default(),
            Family::default(),
            Family::default(),
        );
        let duration: DurationFamily = Family::new_with_constructor(|| Histogram::new(DURATION_SECONDS));
        let memory: MemoryFamily = Family::new_with_constructor(|| Histogram::new(MEMORY_BYTES));
        let gauges = Gauges::default();
        let build = Info::new(vec![("version".to_owned(), version.to_owned())]);
        registry.register("build", "The running idsync", build);
        registry.register(
            "runs",
            "Runs that ended in this process, by outcome and kind of failure",
            runs.clone(),
        );
        registry.register_with_unit(
            "run_duration",
            "How long runs took",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register_with_unit(
            "plugin_peak_memory",
            "The most memory that the plugin of a run had",
            Unit::Bytes,
            memory.clone(),
        );
        registry.register("requests", "Requests sent to providers", requests.clone());
        registry.register_with_unit(
            "limit_wait",
            "Time for which the limits of providers held requests back",
            Unit::Seconds,
            waits.clone(),
        );
        registry.register("rows", "Rows that applied runs changed", rows.clone());
        gauges.register(&mut registry);
        Self {
            registry,
            runs,
            duration,
            memory,
            requests,
            waits,
            rows,
            gauges,
            looking: Mutex::new(()),
        }
    }

    /// Counts a run that has ended.
    pub fn run_ended(&self, provider: &str, report: &RunReport) {
        let provider = provider.to_owned();
        let outcome = Word(report.outcome.as_str());
        let error = Word(report.error.as_ref().map_or("", |failure| failure.kind.as_str()));
        let of_provider = ProviderLabels {
            provider: provider.clone(),
        };
        self.requests.get_or_create(&of_provider).inc_by(report.requests);
        self.waits
            .get_or_create(&of_provider)
            .inc_by(report.waited_ms as f64 / 1000.0);
        // A run that never came to its plugin says nothing of its memory.
        if report.peak_memory_bytes > 0 {
            self.memory
                .get_or_create(&of_provider)
                .observe(report.peak_memory_bytes as f64);
        }
        self.duration
            .get_or_create(&RunLabels {
                provider: provider.clone(),
                outcome,
            })
            .observe(report.duration_ms as f64 / 1000.0);
        if report.outcome == Outcome::Succeeded && !report.dry_run {
            self.rows_changed(&provider, "user", report.users);
            self.rows_changed(&provider, "group", report.groups);
            self.rows_changed(&provider, "membership", report.memberships);
        }
        self.runs
            .get_or_create(&EndLabels {
                provider,
                outcome,
                error,
            })
            .inc();
    }

    fn rows_changed(&self, provider: &str, kind: &'static str, counts: EntityCounts) {
        for (operation, count) in [
            ("created", counts.created),
            ("updated", counts.updated),
            ("deleted", counts.deleted),
        ] {
            self.rows
                .get_or_create(&RowLabels {
                    provider: provider.to_owned(),
                    kind: Word(kind),
                    operation: Word(operation),
                })
                .inc_by(count);
        }
    }

    /// The text of all metrics, with the directories as they stand.
    pub fn text(&self, directories: &[DirectoryGauge], form: Form) -> String {
        // The lock guards no value that a panic could leave half made: the next look fills all anew.
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        self.gauges.fill(directories);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = match form {
            Form::OpenMetrics => text::encode(&mut text, &self.registry),
            Form::Prometheus => prometheus_text::encode(&mut text, &self.registry),
        };
        text
    }
}

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        registry.register("directories", "Directories by state", self.directories.clone());
        registry.register(
            "directories_held",
            "Directories with a plan that waits for a person",
            self.held.clone(),
        );
        registry.register(
            "directories_failing",
            "Directories whose runs fail",
            self.failing.clone(),
        );
        registry.register(
            "runs_in_progress",
            "Runs in progress, of any process on this data directory",
            self.running.clone(),
        );
        registry.register(
            "directory_state",
            "1 for the state of each directory",
            self.state.clone(),
        );
        registry.register(
            "directory_held",
            "1 where a plan of the directory waits for a person",
            self.is_held.clone(),
        );
        registry.register(
            "directory_failing",
            "1 where the runs of the directory fail",
            self.is_failing.clone(),
        );
        registry.register_with_unit(
            "directory_last_success_timestamp",
            "When a run of the directory last succeeded",
            Unit::Seconds,
            self.last_success.clone(),
        );
    }

    fn fill(&self, directories: &[DirectoryGauge]) {
        // A directory that was removed or renamed leaves nothing behind.
        self.state.clear();
        self.is_held.clear();
        self.is_failing.clear();
        self.last_success.clear();
        let states = [
            DirectoryState::Draft,
            DirectoryState::Active,
            DirectoryState::Disabled,
        ];
        for state in states {
            let count = directories
                .iter()
                .filter(|directory| directory.state == state)
                .count();
            let labels = StateLabels { state: word(state) };
            self.directories.get_or_create(&labels).set(number(count));
        }
        let count = |is: fn(&DirectoryGauge) -> bool| number(directories.iter().filter(|d| is(d)).count());
        self.held.set(count(|directory| directory.is_held));
        self.failing.set(count(|directory| directory.is_failing));
        self.running.set(count(|directory| directory.is_running));
        for directory in directories {
            let labels = DirectoryLabels {
                tenant: directory.tenant.to_string(),
                directory: directory.id.to_string(),
                name: directory.name.clone(),
            };
            for state in states {
                let labels = DirectoryStateLabels {
                    tenant: labels.tenant.clone(),
                    directory: labels.directory.clone(),
                    name: labels.name.clone(),
                    state: word(state),
                };
                self.state
                    .get_or_create(&labels)
                    .set(i64::from(directory.state == state));
            }
            self.is_held
                .get_or_create(&labels)
                .set(i64::from(directory.is_held));
            self.is_failing
                .get_or_create(&labels)
                .set(i64::from(directory.is_failing));
            if let Some(at) = directory.last_success {
                self.last_success.get_or_create(&labels).set(at.0 as f64 / 1000.0);
            }
        }
    }
}

fn word(state: DirectoryState) -> Word {
    Word(match state {
        DirectoryState::Draft => "draft",
        DirectoryState::Active => "active",
        DirectoryState::Disabled => "disabled",
    })
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
