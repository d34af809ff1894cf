//! An org that tests change, and a provider that reads it as a plugin would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::future::BoxFuture;
use idsync_model::{
    CallContext, Check, CheckOutcome, Description, Entity, ExternalId, ExternalIds, Failure, Group,
    MembersVerdict, MembersVersion, Normalized, PagePart, Provider, SettingProblem, Settings, Staging,
    StagingError, SyncEnd, SyncRequest, SyncSummary, UnixMillis, Usage, User, Verification,
};

use crate::clock::TestClock;

/// A user of the org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgUser {
    pub email: String,
    pub name: String,
    pub active: bool,
}

/// A group of the org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgGroup {
    pub name: String,
    pub members: BTreeSet<String>,
    pub changed_at: UnixMillis,
}

/// What the provider holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Org {
    pub users: BTreeMap<String, OrgUser>,
    pub groups: BTreeMap<String, OrgGroup>,
}

impl Org {
    /// `users` active users, `u000` and on, none in a group.
    pub fn of(users: usize) -> Self {
        let mut org = Self::default();
        for n in 0..users {
            org.add_user(&format!("u{n:03}"));
        }
        org
    }

    pub fn add_user(&mut self, id: &str) {
        self.users.insert(
            id.to_owned(),
            OrgUser {
                email: format!("{id}@example.com"),
                name: format!("User {id}"),
                active: true,
            },
        );
    }

    pub fn set_active(&mut self, id: &str, active: bool) {
        self.users.get_mut(id).expect("a user of this org").active = active;
    }

    /// Adds a group, or gives it other members.
    pub fn set_group(&mut self, id: &str, members: &[&str], now: UnixMillis) {
        self.groups.insert(
            id.to_owned(),
            OrgGroup {
                name: format!("Group {id}"),
                members: members.iter().map(|m| (*m).to_owned()).collect(),
                changed_at: now,
            },
        );
    }

    /// The lines that a right export has: active users, groups, memberships of active users.
    pub fn expected(&self) -> Vec<String> {
        let users = self
            .users
            .iter()
            .filter(|(_, user)| user.active)
            .map(|(id, user)| format!("user {id} {} {}", user.email, user.name));
        let groups = self
            .groups
            .iter()
            .map(|(id, group)| format!("group {id} {}", group.name));
        let memberships = self.groups.iter().flat_map(|(id, group)| {
            group
                .members
                .iter()
                .filter(|member| self.users.get(*member).is_some_and(|user| user.active))
                .map(move |member| format!("membership {id} {member}"))
        });
        users.chain(groups).chain(memberships).collect()
    }
}

/// What a provider does instead of reading the org.
pub type Act =
    Arc<dyn Fn(Arc<dyn Staging>, CallContext) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// Reads an [`Org`], page by page, and keeps what it was asked.
pub struct OrgProvider {
    pub org: Mutex<Org>,
    pub act: Mutex<Option<Act>>,
    pub requests: Mutex<Vec<SyncRequest>>,
    pub fetched: Mutex<Vec<String>>,
    pub org_id: Mutex<Option<String>>,
    pub verdict: Mutex<CheckOutcome>,
    /// How a read of the org ends, if not well.
    pub end: Mutex<Option<Failure>>,
    /// The pages that were read, by number.
    pub pages: Mutex<Vec<usize>>,
    /// Whether a checkpoint is taken after each page.
    pub checkpoints: AtomicBool,
    /// What is done before a page of that number is read.
    before_page: Mutex<Option<(usize, Act)>>,
    /// What a call says of the provider's clock and of the next run.
    pub usage: Mutex<Usage>,
    clock: Arc<TestClock>,
}

/// Members of one page.
const PAGE: usize = 3;

impl OrgProvider {
    pub fn new(org: Org, clock: Arc<TestClock>) -> Arc<Self> {
        Arc::new(Self {
            org: Mutex::new(org),
            act: Mutex::default(),
            requests: Mutex::default(),
            fetched: Mutex::default(),
            org_id: Mutex::new(Some("org-1".to_owned())),
            verdict: Mutex::new(CheckOutcome::Passed),
            end: Mutex::default(),
            pages: Mutex::default(),
            checkpoints: AtomicBool::new(false),
            before_page: Mutex::default(),
            usage: Mutex::new(Usage {
                requests: 7,
                ..Usage::default()
            }),
            clock,
        })
    }

    pub fn change(&self, change: impl FnOnce(&mut Org)) {
        change(&mut self.org.lock().unwrap());
    }

    /// From now on `act` is done, instead of reading the org.
    pub fn does<F, R>(&self, act: F)
    where
        F: Fn(Arc<dyn Staging>, CallContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        *self.act.lock().unwrap() = Some(Arc::new(move |staging, context| {
            Box::pin(act(staging, context)) as BoxFuture<'static, _>
        }));
    }

    /// From now on the org is read again.
    pub fn reads_org(&self) {
        *self.act.lock().unwrap() = None;
    }

    /// Before the page of that number is read, `act` is done, each time. It takes a checkpoint after each page.
    pub fn does_before_page<F, R>(&self, page: usize, act: F)
    where
        F: Fn(Arc<dyn Staging>, CallContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let act: Act =
            Arc::new(move |staging, context| Box::pin(act(staging, context)) as BoxFuture<'static, _>);
        self.checkpoints.store(true, SeqCst);
        *self.before_page.lock().unwrap() = Some((page, act));
    }

    /// From now on pages are read without anything before them.
    pub fn reads_on(&self) {
        *self.before_page.lock().unwrap() = None;
    }

    /// The pages that were read since this was last asked.
    pub fn take_pages(&self) -> Vec<usize> {
        std::mem::take(&mut *self.pages.lock().unwrap())
    }

    /// The groups whose members were fetched since this was last asked.
    pub fn take_fetched(&self) -> Vec<String> {
        std::mem::take(&mut *self.fetched.lock().unwrap())
    }

    /// Reads users, then groups with their members, page by page, from the page that `resume` names.
    async fn read(
        &self,
        resume: Option<Vec<u8>>,
        staging: Arc<dyn Staging>,
        context: CallContext,
    ) -> Result<(), Failure> {
        let org = self.org.lock().unwrap().clone();
        let first = resume.map_or(0, |state| String::from_utf8(state).unwrap().parse().unwrap());
        for (n, page) in pages(&org).into_iter().enumerate().skip(first) {
            let before = self.before_page.lock().unwrap().clone();
            if let Some((at, act)) = before
                && at == n
            {
                act(Arc::clone(&staging), context.clone()).await?;
            }
            self.pages.lock().unwrap().push(n);
            self.read_page(&org, page, &*staging)
                .await
                .map_err(|e| refused(&e))?;
            if self.checkpoints.load(SeqCst) {
                let state = (n + 1).to_string().into_bytes();
                staging.checkpoint(state).await.map_err(|e| refused(&e))?;
            }
        }
        Ok(())
    }

    async fn read_page(&self, org: &Org, page: Page, staging: &dyn Staging) -> Result<(), StagingError> {
        match page {
            Page::Users(users) => staging.put_users(users).await,
            Page::Groups(groups) => {
                let asked = staging.put_groups(groups.clone()).await?;
                for (group, is_asked) in groups.iter().zip(asked) {
                    if is_asked {
                        self.read_members(org, &group.external_id, staging).await?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn read_members(
        &self,
        org: &Org,
        group: &ExternalId,
        staging: &dyn Staging,
    ) -> Result<(), StagingError> {
        let members: Vec<ExternalId> = org.groups[group.as_str()].members.iter().map(|m| id(m)).collect();
        self.fetched.lock().unwrap().push(group.as_str().to_owned());
        while put_all_members(staging, group, &members, self.clock.time()).await? == MembersVerdict::ReadAgain
        {
        }
        Ok(())
    }
}

/// A page of a listing.
enum Page {
    Users(Vec<User>),
    Groups(Vec<Group>),
}

fn pages(org: &Org) -> Vec<Page> {
    let users: Vec<User> = org.users.iter().map(|(id, user)| user_row(id, user)).collect();
    let groups: Vec<Group> = org
        .groups
        .iter()
        .map(|(id, group)| group_row(id, group))
        .collect();
    let users = users.chunks(PAGE).map(|page| Page::Users(page.to_vec()));
    let groups = groups.chunks(PAGE).map(|page| Page::Groups(page.to_vec()));
    users.chain(groups).collect()
}

/// Puts a whole member list, page by page; the verdict is that on its last page.
pub async fn put_all_members(
    staging: &dyn Staging,
    group: &ExternalId,
    members: &[ExternalId],
    read_at: UnixMillis,
) -> Result<MembersVerdict, StagingError> {
    let mut pages: Vec<&[ExternalId]> = members.chunks(PAGE).collect();
    if pages.is_empty() {
        pages.push(&[]);
    }
    let count = pages.len();
    let mut verdict = MembersVerdict::Taken;
    for (n, page) in pages.into_iter().enumerate() {
        let part = PagePart {
            first: n == 0,
            last: n + 1 == count,
        };
        verdict = staging
            .put_members(group.clone(), page.iter().collect(), read_at, part)
            .await?;
    }
    Ok(verdict)
}

pub fn id(text: &str) -> ExternalId {
    ExternalId::new(text).expect("a test's id")
}

pub fn ids(texts: &[&str]) -> ExternalIds {
    texts.iter().map(|text| id(text)).collect()
}

pub fn user_row(external_id: &str, user: &OrgUser) -> User {
    User {
        external_id: id(external_id),
        email: user.email.clone(),
        username: user.email.clone(),
        display_name: Some(user.name.clone()),
        given_name: None,
        family_name: None,
        active: user.active,
        provider_status: if user.active { "ACTIVE" } else { "SUSPENDED" }.to_owned(),
    }
}

pub fn group_row(external_id: &str, group: &OrgGroup) -> Group {
    Group {
        external_id: id(external_id),
        name: group.name.clone(),
        description: None,
        provider_kind: None,
        members_version: version(external_id, group),
    }
}

/// A time; but groups whose id begins with `tag` have a tag, and those with `plain` have no version at all.
fn version(external_id: &str, group: &OrgGroup) -> Option<MembersVersion> {
    if external_id.starts_with("plain") {
        None
    } else if external_id.starts_with("tag") {
        Some(MembersVersion::Tag(format!("{:?}", group.members)))
    } else {
        let changed_at = u64::try_from(group.changed_at.0).expect("a time after 1970");
        Some(MembersVersion::ChangedAt(changed_at))
    }
}

/// What a plugin's call ends as when staging refuses it: the sandbox turns the trap into this kind.
pub fn refused(error: &StagingError) -> Failure {
    let kind = match error {
        StagingError::Host(_) => idsync_model::ErrorKind::Host,
        StagingError::Contract(_) | StagingError::TooManyRows { .. } | StagingError::TooManyBytes { .. } => {
            idsync_model::ErrorKind::Plugin
        }
    };
    Failure::new(kind, "staging", error.to_string(), "")
}

/// Puts all of an org but the members of its groups.
pub async fn put_without_members(org: &Org, staging: &dyn Staging) -> Result<Vec<bool>, Failure> {
    let users = org.users.iter().map(|(id, user)| user_row(id, user)).collect();
    let groups = org
        .groups
        .iter()
        .map(|(id, group)| group_row(id, group))
        .collect();
    staging.put_users(users).await.map_err(|e| refused(&e))?;
    staging.put_groups(groups).await.map_err(|e| refused(&e))
}

#[async_trait]
impl Provider for OrgProvider {
    async fn describe(&self) -> Result<Description, Failure> {
        Ok(Description {
            id: "test".to_owned(),
            name: "Test".to_owned(),
            version: "1.0.0".to_owned(),
            settings: Vec::new(),
            key: None,
            hosts: Vec::new(),
            permissions: Vec::new(),
            guide: Vec::new(),
            docs_url: None,
        })
    }

    async fn normalize(
        &self,
        settings: &Settings,
    ) -> Result<Result<Normalized, Vec<SettingProblem>>, Failure> {
        Ok(Ok(Normalized {
            settings: settings.clone(),
            notes: Vec::new(),
        }))
    }

    async fn verify(&self, _settings: &Settings, _context: CallContext) -> Result<Verification, Failure> {
        Ok(Verification {
            checks: vec![Check {
                id: "org".to_owned(),
                title: "The org answers".to_owned(),
                outcome: *self.verdict.lock().unwrap(),
                detail: String::new(),
                hint: String::new(),
            }],
            org_id: self.org_id.lock().unwrap().clone(),
            scope: Vec::new(),
        })
    }

    async fn sync(&self, request: SyncRequest, staging: Arc<dyn Staging>, context: CallContext) -> SyncEnd {
        let resume = request.resume.clone();
        self.requests.lock().unwrap().push(request);
        let act = self.act.lock().unwrap().clone();
        let done = match act {
            Some(act) => act(staging, context).await,
            None => match (
                self.read(resume, staging, context).await,
                self.end.lock().unwrap().clone(),
            ) {
                (Ok(()), Some(failure)) => Err(failure),
                (done, _) => done,
            },
        };
        SyncEnd {
            usage: self.usage.lock().unwrap().clone(),
            result: done.map(|()| SyncSummary {
                requests: 7,
                notes: vec!["read the org".to_owned()],
                ..SyncSummary::default()
            }),
        }
    }

    async fn explain(
        &self,
        _settings: &Settings,
        _who: &str,
        _context: CallContext,
    ) -> Result<Vec<Check>, Failure> {
        Ok(Vec::new())
    }
}

/// Skips one user, as plugins do with records they can't sync.
pub async fn skip_user(staging: &dyn Staging, external_id: &str, reason: &str) -> Result<(), Failure> {
    staging
        .skip(Entity::User, external_id.to_owned(), reason.to_owned())
        .await
        .map_err(|error| refused(&error))
}
