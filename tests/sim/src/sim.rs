//! One simulated org: started, asked about, changed, and stopped.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::change::{Change, ChangeError};
use crate::clock::Clock;
use crate::dpop::{Nonces, Seen};
use crate::faults::{Fault, Faults, SetFault};
use crate::generate::{self, Shape, Size};
use crate::ids::{Dice, Id};
use crate::limits::Limits;
use crate::org::Org;
use crate::pages::{Cut, Listing};
use crate::seen::{Counters, Log, RequestSeen};
use crate::settings::{Dpop, ResourceSet, Settings};
use crate::state::{State, lock, read, write};
use crate::tls::Authority;
use crate::{changing, control, expected, gzip, server};

/// How the org is made.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// How many users there are.
    pub users: usize,
    /// How many groups are assigned to the sign-in app.
    pub groups: usize,
    /// How many members each group has.
    pub per_group: usize,
    /// What the org has that no ordinary one has.
    pub shape: Shape,
    /// What the org is made from; the same seed makes the same org.
    pub seed: u64,
    /// How long each answer waits, in milliseconds.
    pub latency_ms: u64,
    /// How many requests each bucket allows in a window.
    pub limit: u32,
    /// How long a window is, in seconds.
    pub window_secs: i64,
    /// The port of the org on 127.0.0.1; 0 for a free one.
    pub port: u16,
    /// Whether the service app requires DPoP.
    pub dpop: Dpop,
    /// The org's host name, below `.localhost`.
    pub host: String,
    /// Whether the role reaches the sign-in app alone, as the setup guide says, or all apps.
    pub all_apps: bool,
    /// Who signs the org's certificate; nothing for a CA of its own.
    pub authority: Option<Arc<Authority>>,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            users: 100,
            groups: 10,
            per_group: 10,
            shape: Shape::default(),
            seed: 1,
            latency_ms: 0,
            limit: Settings::default().limit,
            window_secs: 60,
            port: 0,
            dpop: Dpop::Required,
            host: "acme.okta.localhost".to_owned(),
            all_apps: false,
            authority: None,
        }
    }
}

/// Where the org is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SimInfo {
    /// Host and port: what a person would type as the Okta domain.
    pub domain: String,
    /// The URL of the org.
    pub base: String,
    /// The file with the certificate of its CA, in PEM.
    pub ca: String,
    /// The URL of the control API.
    pub control: String,
    /// The id of the service app.
    pub client_id: String,
    /// The id of the sign-in app.
    pub app_id: String,
}

/// A running org. It ends when it is dropped.
#[derive(Debug)]
pub struct Sim {
    state: Arc<State>,
    info: SimInfo,
    stop: watch::Sender<bool>,
    _authority: Arc<Authority>,
    /// Set when the org brought a runtime of its own.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Sim {
    /// Makes an org and serves it on the present tokio runtime. Errs when a port can't be bound or a file not written.
    pub async fn start(options: SimOptions) -> anyhow::Result<Self> {
        let org = generate::org(
            options.seed,
            &Size {
                users: options.users,
                groups: options.groups,
                per_group: options.per_group,
                shape: options.shape,
            },
        );
        let authority = match &options.authority {
            Some(authority) => Arc::clone(authority),
            None => Arc::new(Authority::new(&options.host)?),
        };
        let tls = authority.server(&options.host)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await;
        let listener = listener.with_context(|| format!("binding 127.0.0.1:{} for the org", options.port))?;
        let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("binding the control API")?;
        let domain = format!("{}:{}", options.host, listener.local_addr()?.port());
        let control_at = format!("http://{}", control.local_addr()?);

        let state = Arc::new(state(&options, org, domain));
        let info = SimInfo {
            domain: state.domain.clone(),
            base: state.base(),
            ca: authority.file().display().to_string(),
            control: control_at,
            client_id: read(&state.settings).client_id.clone(),
            app_id: sign_in_id(&read(&state.org)),
        };
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(server::run(listener, tls, Arc::clone(&state), stopped.clone()));
        tokio::spawn(control::run(control, Arc::clone(&state), info.clone(), stopped));
        Ok(Self {
            state,
            info,
            stop,
            _authority: authority,
            runtime: None,
        })
    }

    /// As [`Sim::start`], for callers without a runtime: the org brings its own threads.
    pub fn launch(options: SimOptions) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("okta-sim")
            .enable_all()
            .build()
            .context("starting the threads of the simulated org")?;
        let mut sim = runtime.block_on(Self::start(options))?;
        sim.runtime = Some(runtime);
        Ok(sim)
    }

    /// Where the org is found.
    pub fn info(&self) -> &SimInfo {
        &self.info
    }

    /// Makes one public key (a JWK, or a set of them as JSON) the keys of the service app. Errs when it is no JWK.
    pub fn register_jwk(&self, json: &str) -> anyhow::Result<()> {
        let keys = keys(json)?;
        *write(&self.state.keys) = keys;
        Ok(())
    }

    /// Adds a public key to those of the service app, as in a rotation.
    pub fn add_jwk(&self, json: &str) -> anyhow::Result<()> {
        let mut keys = keys(json)?;
        write(&self.state.keys).append(&mut keys);
        Ok(())
    }

    /// Removes all public keys.
    pub fn remove_jwks(&self) {
        write(&self.state.keys).clear();
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Settings {
        self.state.settings()
    }

    /// Changes the settings.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        self.state.set(change);
    }

    /// Changes the org; tells the id of what was made or changed. Errs when what the change names is not there.
    pub fn change(&self, change: &Change) -> Result<String, ChangeError> {
        changing::apply(&self.state, change)
    }

    /// Makes `steps` changes that the seed decides, and tells them.
    pub fn mutate(&self, seed: u64, steps: usize) -> Vec<Change> {
        changing::mutate(&self.state, &mut Dice::new(seed), steps)
    }

    /// Sets a fault, and tells its number.
    pub fn fault(&self, fault: Fault) -> u64 {
        lock(&self.state.faults).add(fault)
    }

    /// The faults that are set.
    pub fn faults(&self) -> Vec<SetFault> {
        lock(&self.state.faults).all()
    }

    /// Removes all faults, and breaks off the answers that stall.
    pub fn clear_faults(&self) {
        lock(&self.state.faults).clear();
        self.state.release();
    }

    /// Sets the org's clock so far ahead of the machine's (behind, when negative).
    pub fn skew_clock(&self, seconds: i64) {
        self.state.clock.skew(seconds * 1000);
    }

    /// Stops the org's clock at a time in Unix seconds.
    pub fn freeze_clock(&self, unix: i64) {
        self.state.clock.freeze(unix * 1000);
    }

    /// Moves the org's clock.
    pub fn advance_clock(&self, seconds: i64) {
        self.state.clock.advance(seconds * 1000);
    }

    /// The org's time, in Unix seconds.
    pub fn now(&self) -> i64 {
        self.state.clock.now()
    }

    /// Ends every token that was given out.
    pub fn expire_tokens(&self) {
        lock(&self.state.tokens).expire();
    }

    /// Hands out a new nonce from now on; `at_once` makes the earlier ones stale.
    pub fn rotate_nonce(&self, at_once: bool) {
        let mut nonces = lock(&self.state.nonces);
        if at_once { nonces.expire() } else { nonces.rotate() }
    }

    /// Starts all windows of the rate limits anew.
    pub fn refill_limits(&self) {
        lock(&self.state.limits).clear();
    }

    /// What was asked so far, oldest first.
    pub fn requests(&self) -> Vec<RequestSeen> {
        lock(&self.state.log).requests()
    }

    /// Waits until so many requests were asked since the log was emptied; false when they did not come in time.
    pub fn wait_for_requests(&self, count: u64, patience: Duration) -> bool {
        let log = lock(&self.state.log);
        let is_short = |log: &mut Log| log.requests_counted() < count;
        let waited = self.state.asked.wait_timeout_while(log, patience, is_short);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// How much was asked so far.
    pub fn counters(&self) -> Counters {
        lock(&self.state.log).counters()
    }

    /// Forgets what was asked.
    pub fn forget_requests(&self) {
        lock(&self.state.log).clear();
    }

    /// What a right sync holds, in the lines of `idsync export` without its last one.
    pub fn expected(&self) -> String {
        expected::lines(&read(&self.state.org), &self.state.settings())
    }

    /// Makes the pages of a sync beforehand, so that a bench does not measure how they are made.
    pub fn warm(&self) {
        warm(&self.state);
    }
}

/// The public keys in a JWK or a set of them.
pub(crate) fn keys(json: &str) -> anyhow::Result<Vec<Jwk>> {
    let set: Result<JwkSet, _> = serde_json::from_str(json);
    if let Ok(set) = set {
        return Ok(set.keys);
    }
    let key: Jwk =
        serde_json::from_str(json).context("reading the public key: paste one JWK, or a set of them")?;
    anyhow::ensure!(
        key.common.key_id.is_some(),
        "reading the public key: the JWK has no \"kid\"; give it one"
    );
    Ok(vec![key])
}

fn sign_in_id(org: &Org) -> String {
    org.apps
        .get(org.sign_in)
        .map(|app| app.id.to_string())
        .unwrap_or_default()
}

fn state(options: &SimOptions, org: Org, domain: String) -> State {
    let app_id = sign_in_id(&org);
    let settings = Settings {
        client_id: org.apps.last().map(|app| app.id.to_string()).unwrap_or_default(),
        org_id: Id::nth("00o", options.seed, 0).to_string(),
        dpop: options.dpop,
        latency_ms: options.latency_ms,
        limit: options.limit,
        window_secs: options.window_secs,
        resource_set: ResourceSet {
            apps: (!options.all_apps).then(|| vec![app_id]),
            ..ResourceSet::default()
        },
        ..Settings::default()
    };
    State {
        seed: options.seed,
        domain,
        clock: Clock::default(),
        settings: RwLock::new(settings),
        org: RwLock::new(org),
        keys: RwLock::default(),
        tokens: Mutex::default(),
        nonces: Mutex::new(Nonces::new(options.seed)),
        seen: Mutex::<Seen>::default(),
        limits: Mutex::<Limits>::default(),
        faults: Mutex::<Faults>::default(),
        log: Mutex::<Log>::default(),
        asked: Condvar::new(),
        pages: Mutex::new(HashMap::new()),
        released: watch::Sender::new(0),
    }
}

/// See [`Sim::warm`]. The keys are those of [`crate::resources`].
pub(crate) fn warm(state: &State) {
    let settings = state.settings();
    let org = read(&state.org);
    let mut listings = Vec::new();
    for (place, app) in org.apps.iter().enumerate().filter(|(_, app)| !app.is_deleted) {
        let path = format!("/api/v1/apps/{}", app.id);
        listings.push((format!("{path}/users"), Listing::AppUsers(place), true));
        listings.push((format!("{path}/groups"), Listing::AppGroups(place), true));
        for row in &app.groups {
            let path = format!("/api/v1/groups/{}/users", org.group(row.group).id);
            listings.push((path, Listing::Members(row.group), false));
        }
    }
    for (path, listing, is_expanded) in listings {
        let mut cut = Cut {
            limit: listing.limit().most,
            is_expanded,
            ..Cut::default()
        };
        loop {
            let Ok(page) = listing.page(&org, &state.base(), &settings.org_id, &cut) else {
                break;
            };
            let body = gzip::compressed(page.body.as_bytes());
            lock(&state.pages).insert(format!("{path} {cut:?}"), (body, page.cursor.clone()));
            let Some(cursor) = page.cursor else { break };
            cut.after = Some(cursor);
        }
    }
}
