//! A run: the org is checked, the apps are found, and their users, their groups and the groups' members are read side by
//! side and handed to the host. A run that ends early leaves what a later one needs to go on (RUNS §6.4).

mod assigned;
mod members;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::apps::{self, App};
use crate::client::Client;
use crate::cursor::Cursor;
use crate::failure::Failure;
use crate::host::{Entity, Host, LogLevel};
use crate::org;
use crate::probe::{Kind, Probes};
use crate::report::{Mode, SyncRequest, SyncSummary};
use crate::settings::Settings;

/// The stages of a run, as people see them.
const USERS: &str = "users";
const GROUPS: &str = "groups";
const MEMBERS: &str = "memberships";

/// What was put is committed this often, or after so many pages: a process that is killed loses no more. A commit takes
/// some milliseconds.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
const CHECKPOINT_PAGES: u32 = 64;

/// Reads the org's directory into the host's staging.
pub async fn sync<H: Host>(
    host: &H,
    settings: Settings,
    request: SyncRequest,
) -> Result<SyncSummary, Failure> {
    let client = Client::new(host, settings);
    let run = Run {
        client: &client,
        probes: Probes::default(),
        apps: RefCell::default(),
        jobs: RefCell::default(),
        groups: RefCell::default(),
        remarks: RefCell::default(),
        cursor: RefCell::default(),
        users_round: Cell::new(0),
        groups_round: Cell::new(0),
        group_rows: Cell::new(0),
        lists: Cell::new(0),
        has_news: Cell::new(false),
        pages_put: Cell::new(0),
        is_too_large_told: Cell::new(false),
        checkpoint_at: Cell::new(host.monotonic() + CHECKPOINT_EVERY),
    };
    let result = run.whole(&request).await;
    if let Err(failure) = &result
        && failure.kind.is_resumed()
        && run.has_news.get()
    {
        run.checkpoint().await;
    }
    result?;
    Ok(SyncSummary {
        requests: client.requests(),
        retries: client.retries(),
        waited_ms: u64::try_from(client.waited().as_millis()).unwrap_or(u64::MAX),
        notes: run.cursor.take().notes,
    })
}

/// One listing to read.
enum Job {
    /// What is assigned to an app.
    Assigned(Kind, Rc<App>),
    /// The members of a group.
    Members(Rc<str>),
}

fn add(counter: &Cell<u64>, more: usize) {
    counter.set(counter.get() + more as u64);
}

struct Run<'r, 'h, H: Host> {
    client: &'r Client<'h, H>,
    probes: Probes,
    apps: RefCell<Vec<Rc<App>>>,
    jobs: RefCell<VecDeque<Job>>,
    /// Every group that was put, and the apps that name it.
    groups: RefCell<HashMap<Rc<str>, Vec<Rc<App>>>>,
    /// What was said of rows that were left out or mended.
    remarks: RefCell<HashSet<(Entity, String, Cow<'static, str>)>>,
    /// What the next checkpoint says. A page is in it once all of its rows were put, never before.
    cursor: RefCell<Cursor>,
    /// How often all listings of users, and of groups, had to begin again.
    users_round: Cell<u32>,
    groups_round: Cell<u32>,
    group_rows: Cell<u64>,
    lists: Cell<u64>,
    /// Whether something was put since the last checkpoint. Without it none is taken, so that a run which came to nothing
    /// makes old rows look no younger.
    has_news: Cell<bool>,
    /// Pages that were put since the last checkpoint was due.
    pages_put: Cell<u32>,
    /// Whether it was said that the cursor has grown too large.
    is_too_large_told: Cell<bool>,
    checkpoint_at: Cell<Duration>,
}

impl<H: Host> Run<'_, '_, H> {
    async fn whole(&self, request: &SyncRequest) -> Result<(), Failure> {
        let host = self.client.host;
        org::check(self.client, request.expected_org.as_deref()).await?;
        self.client.check_scopes().await?;
        let mut scope = apps::scope(self.client).await?;
        let goes_on = self.take_up(request.resume.as_deref(), &scope.active).await;
        host.log(
            LogLevel::Info,
            if goes_on {
                "going on reading from Okta"
            } else {
                "reading from Okta"
            },
            &[
                ("apps", &scope.active.len().to_string()),
                (
                    "mode",
                    if request.mode == Mode::Full {
                        "full"
                    } else {
                        "incremental"
                    },
                ),
            ],
        );
        self.apps
            .replace(scope.active.iter().cloned().map(Rc::new).collect());
        for app in self.apps.borrow().iter() {
            self.push(Job::Assigned(Kind::Users, Rc::clone(app)));
            self.push(Job::Assigned(Kind::Groups, Rc::clone(app)));
        }
        self.work().await?;
        self.note_gone();
        self.cursor.borrow_mut().notes.append(&mut scope.notes);
        scope.remember(self.client).await;
        Ok(())
    }

    /// Takes up what an earlier run of the same apps has left, where there is such; says whether.
    async fn take_up(&self, left: Option<&[u8]>, active: &[App]) -> bool {
        let mut apps: Vec<String> = active.iter().map(|app| app.id.clone()).collect();
        apps.sort();
        let earlier = left.and_then(Cursor::read).filter(|earlier| earlier.apps == apps);
        let goes_on = earlier.is_some();
        if left.is_some() {
            // The groups are listed again in any case. Their member lists stay, and so do the versions that were read
            // before them (RUNS §2.2).
            let dropped: &[Entity] = if goes_on {
                &[Entity::Group]
            } else {
                &[Entity::User, Entity::Group, Entity::Membership]
            };
            for kind in dropped {
                self.client.host.restart(*kind).await;
            }
        }
        let cursor = earlier.unwrap_or(Cursor {
            apps,
            ..Cursor::default()
        });
        self.lists.set(cursor.lists);
        self.cursor.replace(cursor);
        goes_on
    }

    fn round(&self, kind: Kind) -> &Cell<u32> {
        match kind {
            Kind::Users => &self.users_round,
            Kind::Groups => &self.groups_round,
        }
    }

    fn push(&self, job: Job) {
        self.jobs.borrow_mut().push_back(job);
        self.client.pace.changed.wake_all();
    }

    fn note(&self, note: String) {
        self.cursor.borrow_mut().notes.push(note);
    }

    /// Runs the jobs, those included that other jobs add, as many at once as requests may be. After a failure no job
    /// begins; where a later run goes on, what is under way is still put.
    async fn work(&self) -> Result<(), Failure> {
        let mut running = FuturesUnordered::new();
        let mut first_failure = None;
        let pace = &self.client.pace;
        loop {
            while first_failure.is_none() && pace.has_room_beside(running.len()) {
                let Some(job) = self.jobs.borrow_mut().pop_front() else {
                    break;
                };
                running.push(self.run(job));
            }
            if running.is_empty() {
                return first_failure.map_or(Ok(()), Err);
            }
            // Both more jobs and more room for them are changes of the pace, and may come while the jobs are polled.
            let next = match select(pin!(pace.changed.changed()), running.next()).await {
                Either::Left(_) => continue,
                Either::Right((done, _)) => done,
            };
            match next {
                Some(Err(failure)) if !failure.kind.is_resumed() => return Err(failure),
                Some(Err(failure)) => {
                    self.client.stop();
                    first_failure.get_or_insert(failure);
                }
                Some(Ok(())) | None => {}
            }
        }
    }

    async fn run(&self, job: Job) -> Result<(), Failure> {
        match job {
            Job::Assigned(kind, app) => self.read_assigned(kind, &app).await,
            Job::Members(group) => self.read_members(&group).await,
        }
    }

    async fn after_page(&self) {
        self.has_news.set(true);
        self.pages_put.set(self.pages_put.get() + 1);
        if self.pages_put.get() >= CHECKPOINT_PAGES
            || self.client.host.monotonic() >= self.checkpoint_at.get()
        {
            self.checkpoint().await;
        }
    }

    /// Commits what was put. Where the cursor is too large for the host, the last checkpoint stands.
    async fn checkpoint(&self) {
        self.checkpoint_at
            .set(self.client.host.monotonic() + CHECKPOINT_EVERY);
        self.pages_put.set(0);
        let Some(state) = self.cursor.borrow().to_bytes() else {
            if !self.is_too_large_told.replace(true) {
                self.client.host.log(
                    LogLevel::Warn,
                    "no checkpoint is taken any more, because the run has too many places to go on from",
                    &[],
                );
            }
            return;
        };
        self.has_news.set(false);
        self.client.host.checkpoint(state).await;
    }
}
