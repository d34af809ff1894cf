//! One directory over a real store, and what tests do with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use idsync_engine::lease::Owner;
use idsync_engine::{EngineError, Pulse, ReadLimits, RunOrder, RunSignals, Sync, VerifyOrder, verify};
use idsync_model::{
    CallContext, DirectoryId, DirectoryState, EventSink, Outcome, RunEvent, RunId, RunReport, Settings,
    TenantName, Trigger, Verification,
};
use idsync_store::{Directory, ExportRow, NewDirectory, SqliteStore, Store};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::clock::TestClock;
use crate::org::{Org, OrgProvider};

/// Keeps what happened.
#[derive(Default)]
pub struct Told(pub Mutex<Vec<RunEvent>>);

impl EventSink for Told {
    fn emit(&self, event: RunEvent) {
        self.0.lock().unwrap().push(event);
    }
}

/// A directory, the org behind it, and the store.
pub struct World {
    pub store: Arc<dyn Store>,
    pub clock: Arc<TestClock>,
    pub provider: Arc<OrgProvider>,
    pub tenant: TenantName,
    pub directory: DirectoryId,
    pub told: Arc<Told>,
    pub cancel: CancellationToken,
    pub stop: CancellationToken,
    pub owner: Arc<Owner>,
    pub pulse: Pulse,
    pub folder: Arc<TempDir>,
}

impl World {
    /// A verified directory that was never synced.
    pub async fn new(org: Org) -> Self {
        let world = Self::unverified(org).await;
        assert!(world.verify("settings-1", true).await.is_verified());
        world
    }

    /// A verified directory whose org was synced, long enough ago for all versions to have settled.
    pub async fn synced(org: Org) -> Self {
        let world = Self::new(org).await;
        world.clock.advance(Duration::from_hours(1));
        let report = world.sync().await;
        assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
        world.clock.advance(Duration::from_hours(1));
        world.provider.take_fetched();
        world
    }

    /// The same, whose schedule runs.
    pub async fn active(org: Org) -> Self {
        let world = Self::synced(org).await;
        world
            .store
            .set_state(&world.tenant, &world.directory, DirectoryState::Active, None)
            .await
            .unwrap();
        world
    }

    /// A directory that was never verified.
    pub async fn unverified(org: Org) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::new());
        let store = SqliteStore::open(folder.path(), clock.clone()).unwrap();
        let tenant = TenantName::default_tenant();
        let directory = DirectoryId::generate();
        store
            .add_directory(
                &tenant,
                NewDirectory {
                    id: directory.clone(),
                    provider: "test".to_owned(),
                    name: "org".to_owned(),
                    settings: Settings::from_iter([("domain".to_owned(), "example.com".to_owned())]),
                    secrets: Vec::new(),
                    key: None,
                    created_at: clock.time(),
                },
            )
            .await
            .unwrap();
        Self {
            store,
            provider: OrgProvider::new(org, clock.clone()),
            clock,
            tenant,
            directory,
            told: Arc::default(),
            cancel: CancellationToken::new(),
            stop: CancellationToken::new(),
            owner: take_owner(&folder),
            pulse: Pulse::default(),
            folder: Arc::new(folder),
        }
    }

    /// Another process on the same data directory.
    pub fn beside(&self) -> Self {
        Self {
            store: SqliteStore::open(self.folder.path(), self.clock.clone()).unwrap(),
            clock: self.clock.clone(),
            provider: self.provider.clone(),
            tenant: self.tenant.clone(),
            directory: self.directory.clone(),
            told: Arc::default(),
            cancel: CancellationToken::new(),
            stop: CancellationToken::new(),
            owner: take_owner(&self.folder),
            pulse: self.pulse,
            folder: self.folder.clone(),
        }
    }

    /// The process dies, and another one comes. Its runs must have been dropped before.
    pub fn restarted(self) -> Self {
        let next = self.beside();
        assert_eq!(
            Arc::strong_count(&self.owner),
            1,
            "nothing of the old process is left"
        );
        next
    }

    /// Another verified directory, of the same store.
    pub async fn add_directory(
        &self,
        tenant: &TenantName,
        name: &str,
        org: Org,
    ) -> (DirectoryId, Arc<OrgProvider>) {
        let id = DirectoryId::generate();
        let new = NewDirectory {
            id: id.clone(),
            provider: "test".to_owned(),
            name: name.to_owned(),
            settings: Settings::from_iter([("domain".to_owned(), name.to_owned())]),
            secrets: Vec::new(),
            key: None,
            created_at: self.clock.time(),
        };
        self.store.add_directory(tenant, new).await.unwrap();
        let provider = OrgProvider::new(org, self.clock.clone());
        *provider.org_id.lock().unwrap() = Some(name.to_owned());
        let added = Self {
            provider: provider.clone(),
            tenant: tenant.clone(),
            directory: id.clone(),
            ..self.beside()
        };
        assert!(added.verify(name, true).await.is_verified());
        added.enable().await;
        (id, provider)
    }

    /// The schedule runs from now on.
    pub async fn enable(&self) {
        self.store
            .set_state(&self.tenant, &self.directory, DirectoryState::Active, None)
            .await
            .unwrap();
    }

    pub fn order(&self) -> RunOrder {
        RunOrder {
            run: RunId::generate(),
            tenant: self.tenant.clone(),
            directory: self.directory.clone(),
            trigger: Trigger::Manual,
            full: false,
            dry_run: false,
            plugin_version: "1.0.0".to_owned(),
            plugin_digest: "digest-1".to_owned(),
            contract: "idsync:plugin@1.0.0".to_owned(),
            notes: Vec::new(),
            limits: ReadLimits::default(),
            takes_over: None,
        }
    }

    pub fn signals(&self) -> RunSignals {
        RunSignals {
            cancel: self.cancel.clone(),
            stop: self.stop.clone(),
            events: self.told.clone(),
        }
    }

    pub fn syncer(&self) -> Sync {
        let middle = Arc::new(|| 0.5);
        Sync::new(self.store.clone(), self.clock.clone(), self.owner.clone(), middle).with_pulse(self.pulse)
    }

    pub async fn try_run(&self, order: RunOrder) -> Result<RunReport, EngineError> {
        self.syncer()
            .run(order, self.provider.clone(), self.signals())
            .await
    }

    pub async fn run(&self, order: RunOrder) -> RunReport {
        self.try_run(order).await.unwrap()
    }

    pub async fn sync(&self) -> RunReport {
        self.run(self.order()).await
    }

    pub async fn full_sync(&self) -> RunReport {
        self.run(RunOrder {
            full: true,
            ..self.order()
        })
        .await
    }

    pub async fn dry_run(&self) -> RunReport {
        self.run(RunOrder {
            dry_run: true,
            ..self.order()
        })
        .await
    }

    /// Verifies the present settings.
    pub async fn verify(&self, fingerprint: &str, by_person: bool) -> Verification {
        let settings = self.directory().await.settings;
        self.verify_settings(settings, fingerprint, by_person).await
    }

    pub async fn verify_settings(
        &self,
        settings: Settings,
        fingerprint: &str,
        by_person: bool,
    ) -> Verification {
        let order = VerifyOrder {
            tenant: self.tenant.clone(),
            directory: self.directory.clone(),
            settings,
            settings_mark: self.directory().await.settings_mark,
            kid: None,
            fingerprint: fingerprint.to_owned(),
            plugin_version: "1.0.0".to_owned(),
            hosts: None,
            by_person,
        };
        let context = CallContext {
            run: None,
            time_limit: Duration::from_mins(1),
            cancel: self.cancel.clone(),
            events: self.told.clone(),
        };
        verify(&self.store, &*self.clock, order, &*self.provider, context)
            .await
            .unwrap()
    }

    pub async fn directory(&self) -> Directory {
        self.store
            .directory(&self.tenant, self.directory.as_str())
            .await
            .unwrap()
    }

    /// What readers see, one line a row, in the export's order.
    pub async fn seen(&self) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink_lines = Arc::clone(&lines);
        self.store
            .export(
                &self.tenant,
                &self.directory,
                Box::new(move |row| {
                    if let Some(line) = line(row) {
                        sink_lines.lock().unwrap().push(line);
                    }
                    Ok(())
                }),
            )
            .await
            .unwrap();
        std::mem::take(&mut *lines.lock().unwrap())
    }

    /// Readers see just what the org holds.
    pub async fn assert_equals_org(&self) {
        let expected = self.provider.org.lock().unwrap().expected();
        assert_eq!(self.seen().await, expected);
    }
}

fn take_owner(folder: &TempDir) -> Arc<Owner> {
    Arc::new(Owner::take(&folder.path().join("locks")).unwrap())
}

fn line(row: ExportRow) -> Option<String> {
    match row {
        ExportRow::User(user) => Some(format!(
            "user {} {} {}",
            user.external_id,
            user.email,
            user.display_name.unwrap_or_default()
        )),
        ExportRow::Group(group) => Some(format!("group {} {}", group.external_id, group.name)),
        ExportRow::Membership(membership) => {
            Some(format!("membership {} {}", membership.group, membership.user))
        }
        ExportRow::End { .. } => None,
    }
}

/// An org of `users` users, all of them in the group `all`.
pub fn org_in_one_group(users: usize, now: idsync_model::UnixMillis) -> Org {
    let mut org = Org::of(users);
    let ids: Vec<String> = org.users.keys().cloned().collect();
    let members: Vec<&str> = ids.iter().map(String::as_str).collect();
    org.set_group("all", &members, now);
    org
}

/// The time at which the clock of a new world stands.
pub fn at_start() -> idsync_model::UnixMillis {
    TestClock::new().time()
}
