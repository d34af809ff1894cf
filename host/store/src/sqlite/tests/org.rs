//! What the tests share: a store in a folder of its own, an org that can be read in part, and what a reader sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use idsync_model::{
    Clock, DirectoryId, Entity, ExternalId, ExternalIds, Group, Held, MembersVersion, Mode, OwnerId,
    PagePart, RunId, Settings, TenantName, Trigger, UnixMillis, User,
};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::feed::number;
use crate::sqlite::SMALL_PAGES;
use crate::sqlite::resuming::boot_id;
use crate::{
    Applied, ChangeRow, Directory, ExportRow, GroupRow, MembershipRow, NewDirectory, NewKey, NewRun, Plan,
    ReadWith, RunBasis, RunFacts, Sealed, SqliteStore, StagingRows, Store, StoreError, UserRow, Verified,
};

/// A list in one part.
pub(super) const WHOLE: PagePart = PagePart {
    first: true,
    last: true,
};
/// The parts of a longer one.
pub(super) const FIRST: PagePart = PagePart {
    first: true,
    last: false,
};
pub(super) const NEXT: PagePart = PagePart {
    first: false,
    last: false,
};
pub(super) const LAST: PagePart = PagePart {
    first: false,
    last: true,
};

/// A clock that stands until it is moved, or that goes on by a step each time it is read.
pub(super) struct StandingClock {
    now: AtomicI64,
    step: AtomicI64,
}

impl Clock for StandingClock {
    fn now(&self) -> UnixMillis {
        let step = self.step.load(Ordering::SeqCst);
        UnixMillis(self.now.fetch_add(step, Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A store in a folder that goes with it.
pub(super) struct House {
    pub(super) folder: TempDir,
    pub(super) clock: Arc<StandingClock>,
    pub(super) store: Arc<dyn Store>,
    pub(super) tenant: TenantName,
}

pub(super) fn house() -> House {
    house_where(SMALL_PAGES)
}

/// One where no run is small: the rows of each lie in its file from the start.
pub(super) fn house_with_files() -> House {
    house_where(0)
}

/// One where the rows of a run take so many pages in memory.
pub(super) fn house_where(small_pages: i64) -> House {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(StandingClock {
        now: AtomicI64::new(1_700_000_000_000),
        step: AtomicI64::new(0),
    });
    let store = SqliteStore::open_in(folder.path(), clock.clone(), boot_id(), small_pages).unwrap();
    House {
        folder,
        clock,
        store,
        tenant: TenantName::default_tenant(),
    }
}

/// A store beside another one on the same folder, as another process has it.
pub(super) fn beside(house: &House) -> House {
    let store = SqliteStore::open(&house.path(), house.clock.clone()).unwrap();
    House {
        // Its own folder is never used.
        folder: tempfile::tempdir().unwrap(),
        clock: Arc::clone(&house.clock),
        store,
        tenant: house.tenant.clone(),
    }
}

pub(super) fn read_with(mode: Mode) -> ReadWith {
    ReadWith {
        mode,
        fingerprint: "a".to_owned(),
        plugin_digest: "0123".to_owned(),
        contract: "idsync:provider@1.0.0".to_owned(),
    }
}

pub(super) fn id(text: &str) -> ExternalId {
    ExternalId::new(text).unwrap()
}

pub(super) fn ids(texts: &[&str]) -> ExternalIds {
    texts.iter().map(|text| id(text)).collect()
}

/// The same store, opened anew as another process would.
pub(super) fn reopened(house: House) -> House {
    let House {
        folder,
        clock,
        store,
        tenant,
    } = house;
    drop(store);
    let store = SqliteStore::open(folder.path(), clock.clone()).unwrap();
    House {
        folder,
        clock,
        store,
        tenant,
    }
}

impl House {
    pub(super) fn clock_now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// A verification as of now, of nothing in particular.
    pub(super) fn verified(&self) -> Verified {
        Verified {
            settings: Settings::default(),
            fingerprint: "a".to_owned(),
            plugin_version: "1.0.0".to_owned(),
            org_id: None,
            scope: Vec::new(),
            kid: None,
            hosts: None,
            at: self.clock_now(),
        }
    }

    pub(super) fn later(&self, duration: Duration) {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap();
        self.clock.now.fetch_add(milliseconds, Ordering::SeqCst);
    }

    /// From now on each look at the clock takes this long.
    pub(super) fn looks_take(&self, step: Duration) {
        let milliseconds = i64::try_from(step.as_millis()).unwrap();
        self.clock.step.store(milliseconds, Ordering::SeqCst);
    }

    /// Sets the clock, also back.
    pub(super) fn set_clock(&self, now: i64) {
        self.clock.now.store(now, Ordering::SeqCst);
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// A connection beside the store, for what only the files show.
    pub(super) fn raw(&self) -> Connection {
        Connection::open_with_flags(
            self.folder.path().join("idsync.db"),
            OpenFlags::SQLITE_OPEN_READ_WRITE,
        )
        .unwrap()
    }

    pub(super) async fn directory(&self, name: &str) -> Directory {
        self.directory_of(&self.tenant, name).await
    }

    pub(super) async fn directory_of(&self, tenant: &TenantName, name: &str) -> Directory {
        let new = NewDirectory {
            id: DirectoryId::generate(),
            provider: "okta".to_owned(),
            name: name.to_owned(),
            settings: Settings::default(),
            secrets: Vec::new(),
            key: Some(NewKey {
                kid: "kid-1".to_owned(),
                algorithm: idsync_model::KeyAlgorithm::Rs256,
                public_jwk: "{\"kty\":\"RSA\"}".to_owned(),
                sealed_private: Sealed(b"sealed-private-half".to_vec()),
            }),
            created_at: self.clock.now(),
        };
        self.store.add_directory(tenant, new).await.unwrap()
    }

    pub(super) async fn begin(
        &self,
        directory: &Directory,
        mode: Mode,
    ) -> (RunId, RunBasis, Arc<dyn StagingRows>) {
        let lease = self.store.lease(&directory.tenant, &directory.id).await.unwrap();
        let new = NewRun {
            mode,
            takes_over: lease.map(|lease| lease.fence),
            ..self.new_run(directory)
        };
        let run = new.run.clone();
        let basis = self.store.begin_run(&directory.tenant, new).await.unwrap();
        let staging = self
            .store
            .create_staging(&directory.tenant, &run, read_with(mode))
            .await
            .unwrap();
        (run, basis, staging)
    }

    /// A full run that takes nothing over.
    pub(super) fn new_run(&self, directory: &Directory) -> NewRun {
        NewRun {
            run: RunId::generate(),
            directory: directory.id.clone(),
            trigger: Trigger::Manual,
            mode: Mode::Full,
            dry_run: false,
            started_at: self.clock.now(),
            plugin_version: "1.0.0".to_owned(),
            owner: OwnerId::generate(),
            takes_over: None,
        }
    }

    pub(super) async fn plan(
        &self,
        directory: &Directory,
        org: &Org,
        mode: Mode,
    ) -> Result<Plan, StoreError> {
        let (_, basis, staging) = self.begin(directory, mode).await;
        org.put(&*staging, self.clock.now()).await;
        self.store.make_plan(&directory.tenant, staging, basis).await
    }

    /// The plan of what was read, for a directory that is in this generation now.
    pub(super) async fn plan_at(
        &self,
        generation: u64,
        staging: &Arc<dyn StagingRows>,
        basis: RunBasis,
    ) -> Plan {
        let basis = RunBasis { generation, ..basis };
        let staging = Arc::clone(staging);
        self.store.make_plan(&self.tenant, staging, basis).await.unwrap()
    }

    /// Reads the org and applies what was read.
    /// Plans what was read, and applies it.
    pub(super) async fn settle(
        &self,
        directory: &Directory,
        staging: Arc<dyn StagingRows>,
        basis: RunBasis,
    ) -> Applied {
        let planned = self.store.make_plan(&directory.tenant, staging, basis).await;
        self.store
            .apply(planned.unwrap(), RunFacts::default())
            .await
            .unwrap()
    }

    pub(super) async fn sync(&self, directory: &Directory, org: &Org) -> Applied {
        let plan = self.plan(directory, org, Mode::Full).await.unwrap();
        self.store.apply(plan, RunFacts::default()).await.unwrap()
    }

    /// Reads the org and holds the plan.
    pub(super) async fn hold(&self, directory: &Directory, org: &Org) -> RunId {
        let plan = self.plan(directory, org, Mode::Full).await.unwrap();
        let reasons = Held { reasons: Vec::new() };
        self.store
            .hold(plan, reasons, RunFacts::default())
            .await
            .unwrap()
            .run
    }

    /// What a reader sees of a directory.
    pub(super) async fn seen(&self, directory: &Directory) -> Seen {
        let rows = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&rows);
        self.store
            .export(
                &directory.tenant,
                &directory.id,
                Box::new(move |row| {
                    sink.lock().unwrap().push(row);
                    Ok(())
                }),
            )
            .await
            .unwrap();
        let rows = std::mem::take(&mut *rows.lock().unwrap());
        let mut seen = Seen::default();
        for row in rows {
            match row {
                ExportRow::User(user) => assert!(seen.users.insert(user.external_id.clone(), user).is_none()),
                ExportRow::Group(group) => {
                    assert!(seen.groups.insert(group.external_id.clone(), group).is_none());
                }
                ExportRow::Membership(pair) => assert!(seen.memberships.insert(pair)),
                ExportRow::End { .. } => {}
            }
        }
        seen
    }

    /// All changes of the tenant, in their order.
    pub(super) async fn changes(&self) -> Vec<ChangeRow> {
        let page = self.page(&number(0), u64::MAX).await.unwrap();
        assert_eq!(page.next, page.last);
        page.rows
    }
}

/// What a reader sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) users: BTreeMap<String, UserRow>,
    pub(super) groups: BTreeMap<String, GroupRow>,
    pub(super) memberships: BTreeSet<MembershipRow>,
}

impl Seen {
    pub(super) fn user_ids(&self) -> Vec<&str> {
        self.users.keys().map(String::as_str).collect()
    }

    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        self.memberships
            .iter()
            .map(|pair| (pair.group.as_str(), pair.user.as_str()))
            .collect()
    }
}

/// An org as a run reads it.
#[derive(Debug, Clone, Default)]
pub(super) struct Org {
    pub(super) users: BTreeMap<String, User>,
    pub(super) groups: BTreeMap<String, Group>,
    /// The lists that are read, of groups that are listed.
    pub(super) lists: BTreeMap<String, Vec<String>>,
    pub(super) dropped: BTreeSet<String>,
    pub(super) skipped: Vec<(Entity, String, String)>,
}

impl Org {
    pub(super) fn user(mut self, name: &str) -> Self {
        self.users.insert(name.to_owned(), user(name));
        self
    }

    pub(super) fn inactive(mut self, name: &str) -> Self {
        let mut user = user(name);
        user.active = false;
        "SUSPENDED".clone_into(&mut user.provider_status);
        self.users.insert(name.to_owned(), user);
        self
    }

    /// A group with its list.
    pub(super) fn group(self, name: &str, members: &[&str]) -> Self {
        let mut org = self.unread_group(name);
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        org.lists.insert(name.to_owned(), members);
        org
    }

    /// A group whose list is not read.
    pub(super) fn unread_group(mut self, name: &str) -> Self {
        self.groups.insert(name.to_owned(), group(name));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.users.remove(name);
        self.groups.remove(name);
        self.lists.remove(name);
        self
    }

    /// What a reader sees once it is applied, where every group's list is read.
    pub(super) fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        for user in self.users.values().filter(|user| user.active) {
            let row = UserRow {
                external_id: user.external_id.to_string(),
                email: user.email.clone(),
                username: user.username.clone(),
                display_name: user.display_name.clone(),
                given_name: user.given_name.clone(),
                family_name: user.family_name.clone(),
                status: user.provider_status.clone(),
            };
            seen.users.insert(row.external_id.clone(), row);
        }
        for (name, group) in &self.groups {
            if self.dropped.contains(name) {
                continue;
            }
            let row = GroupRow {
                external_id: name.clone(),
                name: group.name.clone(),
                description: group.description.clone(),
            };
            seen.groups.insert(name.clone(), row);
            for member in self.lists.get(name).into_iter().flatten() {
                if seen.users.contains_key(member) {
                    seen.memberships.insert(MembershipRow {
                        group: name.clone(),
                        user: member.clone(),
                    });
                }
            }
        }
        seen
    }

    /// Puts it, the lists in pages of two.
    pub(super) async fn put(&self, staging: &dyn StagingRows, now: UnixMillis) {
        let groups = self.groups.values().map(|group| (group.clone(), true)).collect();
        staging.put_groups(groups).await.unwrap();
        staging
            .put_users(self.users.values().cloned().collect())
            .await
            .unwrap();
        for (group, members) in &self.lists {
            let pages: Vec<&[String]> = if members.is_empty() {
                vec![&[]]
            } else {
                members.chunks(2).collect()
            };
            for (number, page) in pages.iter().enumerate() {
                let part = PagePart {
                    first: number == 0,
                    last: number + 1 == pages.len(),
                };
                let page = page.iter().map(|member| id(member)).collect();
                staging.put_members(id(group), page, now, part).await.unwrap();
            }
        }
        for group in &self.dropped {
            staging.drop_group(id(group)).await.unwrap();
        }
        for (kind, external_id, reason) in &self.skipped {
            staging
                .skip(*kind, external_id.clone(), reason.clone())
                .await
                .unwrap();
        }
        staging.flush().await.unwrap();
    }
}

pub(super) fn user(name: &str) -> User {
    User {
        external_id: id(name),
        email: format!("{name}@example.com"),
        username: format!("{name}@example.com"),
        display_name: Some(name.to_uppercase()),
        given_name: None,
        family_name: None,
        active: true,
        provider_status: "ACTIVE".to_owned(),
    }
}

pub(super) fn group(name: &str) -> Group {
    Group {
        external_id: id(name),
        name: format!("Group {name}"),
        description: None,
        provider_kind: None,
        members_version: Some(MembersVersion::ChangedAt(1)),
    }
}
