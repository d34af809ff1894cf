//! A run: the org is checked, the apps are found, and their users, their groups and the groups' members are read side by
//! side and handed to the host.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::apps::{self, App};
use crate::client::{Answer, Client};
use crate::cursor;
use crate::failure::{ErrorKind, Failure};
use crate::hints;
use crate::host::{Entity, Host, LogLevel, MembersVerdict, PagePart};
use crate::link::encoded;
use crate::model::{AppGroup, AppUser, Row};
use crate::notify::Notify;
use crate::org;
use crate::pace::{Bucket, MAX_CONCURRENT};
use crate::pages::{End, Listing, Page};
use crate::probe::{Kind, Probes};
use crate::report::{Mode, SyncRequest, SyncSummary};
use crate::rows;
use crate::settings::Settings;

/// The stages of a run, as people see them.
const USERS: &str = "users";
const GROUPS: &str = "groups";
const MEMBERS: &str = "memberships";

/// Okta's largest pages: app users with `expand=user`, app groups, members of a group.
const APP_USERS_LIMIT: u32 = 500;
const APP_GROUPS_LIMIT: u32 = 200;
const MEMBERS_LIMIT: u32 = 1000;

/// What was put is committed this often.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// Groups named one by one in the notes; the others are counted.
const NAMED_IN_NOTES: usize = 20;

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
        jobs: RefCell::default(),
        more_jobs: Notify::default(),
        groups: RefCell::default(),
        skipped: RefCell::default(),
        notes: RefCell::default(),
        counts: Counts::default(),
        checkpoint_at: Cell::new(host.monotonic() + CHECKPOINT_EVERY),
    };
    let result = run.whole(&request).await;
    if let Err(failure) = &result
        && matches!(failure.kind, ErrorKind::Cancelled | ErrorKind::Deadline)
    {
        run.checkpoint().await;
    }
    result?;
    Ok(SyncSummary {
        requests: client.requests(),
        retries: client.retries(),
        waited_ms: u64::try_from(client.waited().as_millis()).unwrap_or(u64::MAX),
        notes: run.notes.take(),
    })
}

/// One listing to read.
enum Job {
    Users(Rc<App>),
    Groups(Rc<App>),
    Members(Rc<str>),
}

#[derive(Default)]
struct Counts {
    users: Cell<u64>,
    groups: Cell<u64>,
    lists_done: Cell<u64>,
    lists: Cell<u64>,
    pages: Cell<u64>,
    gone: Cell<u64>,
}

fn add(counter: &Cell<u64>, more: usize) {
    counter.set(counter.get() + more as u64);
}

struct Run<'r, 'h, H: Host> {
    client: &'r Client<'h, H>,
    probes: Probes,
    jobs: RefCell<VecDeque<Job>>,
    more_jobs: Notify,
    /// Every group that was put, and the apps that name it.
    groups: RefCell<HashMap<Rc<str>, Vec<Rc<App>>>>,
    skipped: RefCell<HashSet<String>>,
    notes: RefCell<Vec<String>>,
    counts: Counts,
    checkpoint_at: Cell<Duration>,
}

impl<H: Host> Run<'_, '_, H> {
    async fn whole(&self, request: &SyncRequest) -> Result<(), Failure> {
        let host = self.client.host;
        if request.resume.is_some() {
            // What a checkpoint holds is not gone on from yet: all listings begin again.
            for kind in [Entity::User, Entity::Group, Entity::Membership] {
                host.restart(kind).await;
            }
        }
        org::check(self.client, request.expected_org.as_deref()).await?;
        self.client.check_scopes().await?;
        let mut scope = apps::scope(self.client).await?;
        host.log(
            LogLevel::Info,
            "reading from Okta",
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
        self.notes.borrow_mut().append(&mut scope.notes);
        for app in &scope.active {
            let app = Rc::new(app.clone());
            self.push(Job::Users(Rc::clone(&app)));
            self.push(Job::Groups(app));
        }
        self.work().await?;
        self.note_gone();
        scope.remember(self.client).await;
        Ok(())
    }

    fn push(&self, job: Job) {
        self.jobs.borrow_mut().push_back(job);
        self.more_jobs.wake_all();
    }

    /// Runs the jobs, those included that other jobs add, as many at once as requests may be.
    async fn work(&self) -> Result<(), Failure> {
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < MAX_CONCURRENT as usize {
                let Some(job) = self.jobs.borrow_mut().pop_front() else {
                    break;
                };
                running.push(self.run(job));
            }
            if running.is_empty() {
                return Ok(());
            }
            let is_full = running.len() == MAX_CONCURRENT as usize;
            let next = if is_full {
                running.next().await
            } else {
                match select(running.next(), pin!(self.more_jobs.changed())).await {
                    Either::Left((done, _)) => done,
                    Either::Right(_) => continue,
                }
            };
            if let Some(done) = next {
                done?;
            }
        }
    }

    async fn run(&self, job: Job) -> Result<(), Failure> {
        match job {
            Job::Users(app) => self.read_users(&app).await,
            Job::Groups(app) => self.read_groups(&app).await,
            Job::Members(group) => self.read_members(&group).await,
        }
    }

    async fn read_users(&self, app: &App) -> Result<(), Failure> {
        let path = format!("/api/v1/apps/{}/users", encoded(&app.id));
        let what = format!("the users of the app {}", app.label);
        let mut listing = Listing::new(
            self.client,
            USERS,
            &what,
            Bucket::Apps,
            &path,
            Some("user"),
            APP_USERS_LIMIT,
        );
        let mut seen = 0;
        let end = listing
            .for_each_page(async |page| {
                seen += self.put_users(page).await?;
                self.after_page().await;
                Ok(())
            })
            .await?;
        self.finish_listing(end, seen, Kind::Users, app, &what, listing.was_shrunk)
            .await
    }

    async fn put_users(&self, page: Page) -> Result<usize, Failure> {
        let mut users = Vec::new();
        let mut without_email = Vec::new();
        let listed = {
            let rows = page.rows::<AppUser<'_>>()?;
            for row in &rows {
                match rows::user(&row.id.0, &row.embedded.user) {
                    Some(user) => users.push(user),
                    None => without_email.push(row.id.0.to_string()),
                }
            }
            rows.len()
        };
        drop(page);
        let host = self.client.host;
        for id in without_email {
            if self.skipped.borrow_mut().insert(id.clone()) {
                host.skip(Entity::User, &id, rows::NO_EMAIL).await;
            }
        }
        for batch in rows::batches(users) {
            host.put_users(batch).await;
        }
        add(&self.counts.users, listed);
        host.progress(USERS, self.counts.users.get(), None);
        Ok(listed)
    }

    async fn read_groups(&self, app: &Rc<App>) -> Result<(), Failure> {
        let path = format!("/api/v1/apps/{}/groups", encoded(&app.id));
        let what = format!("the groups of the app {}", app.label);
        let mut listing = Listing::new(
            self.client,
            GROUPS,
            &what,
            Bucket::Apps,
            &path,
            Some("group"),
            APP_GROUPS_LIMIT,
        );
        let mut seen = 0;
        let end = listing
            .for_each_page(async |page| {
                seen += self.put_groups(app, page).await?;
                self.after_page().await;
                Ok(())
            })
            .await?;
        self.finish_listing(end, seen, Kind::Groups, app, &what, listing.was_shrunk)
            .await
    }

    async fn put_groups(&self, app: &Rc<App>, page: Page) -> Result<usize, Failure> {
        let groups: Vec<_> = page
            .rows::<AppGroup<'_>>()?
            .iter()
            .map(|row| rows::group(&row.id.0, &row.embedded.group))
            .collect();
        drop(page);
        let host = self.client.host;
        let listed = groups.len();
        for batch in rows::batches(groups) {
            let ids: Vec<Rc<str>> = batch
                .iter()
                .map(|group| Rc::from(group.external_id.as_str()))
                .collect();
            let must_fetch = host.put_groups(batch).await;
            for (id, must_fetch) in ids.into_iter().zip(must_fetch) {
                let is_new = self.name_group(&id, app);
                if is_new && must_fetch {
                    add(&self.counts.lists, 1);
                    self.push(Job::Members(id));
                }
            }
        }
        add(&self.counts.groups, listed);
        host.progress(GROUPS, self.counts.groups.get(), None);
        Ok(listed)
    }

    /// Notes that an app names a group; says whether the group is seen for the first time in this run (RUNS §1.6).
    fn name_group(&self, id: &Rc<str>, app: &Rc<App>) -> bool {
        let mut groups = self.groups.borrow_mut();
        let named_by = groups.entry(Rc::clone(id)).or_default();
        let is_new = named_by.is_empty();
        if !named_by.iter().any(|known| known.id == app.id) {
            named_by.push(Rc::clone(app));
        }
        is_new
    }

    async fn finish_listing(
        &self,
        end: End,
        seen: usize,
        kind: Kind,
        app: &App,
        what: &str,
        was_shrunk: bool,
    ) -> Result<(), Failure> {
        match end {
            End::Complete if seen == 0 => self.probes.believe_empty(self.client, kind).await?,
            End::Complete => {}
            End::Refused { answer, .. } => return Err(listing_refused(&answer, kind, app, what)),
        }
        if was_shrunk {
            let note = format!("Pages of {what} were too much for Okta and were read in smaller pieces.");
            self.notes.borrow_mut().push(note);
        }
        Ok(())
    }

    async fn read_members(&self, group: &Rc<str>) -> Result<(), Failure> {
        let verdict = match self.list_members(group).await? {
            Members::Read(verdict) => verdict,
            Members::Gone(answer) => return self.leave_out(group, &answer).await,
        };
        if verdict == MembersVerdict::ReadAgain
            && let Members::Gone(answer) = self.list_members(group).await?
        {
            return self.leave_out(group, &answer).await;
        }
        add(&self.counts.lists_done, 1);
        self.client.host.progress(
            MEMBERS,
            self.counts.lists_done.get(),
            Some(self.counts.lists.get()),
        );
        Ok(())
    }

    async fn list_members(&self, group: &Rc<str>) -> Result<Members, Failure> {
        let path = format!("/api/v1/groups/{}/users", encoded(group));
        let what = format!("the members of the group {group}");
        let mut is_second_try = false;
        loop {
            let mut listing = Listing::new(
                self.client,
                MEMBERS,
                &what,
                Bucket::Groups,
                &path,
                None,
                MEMBERS_LIMIT,
            );
            let mut verdict = MembersVerdict::Taken;
            let end = listing
                .for_each_page(async |page| {
                    let part = PagePart {
                        first: page.is_first,
                        last: page.is_last,
                    };
                    let users: Vec<String> = page
                        .rows::<Row<'_>>()?
                        .iter()
                        .map(|row| row.id.0.to_string())
                        .collect();
                    let read_at = page.read_at_ms();
                    drop(page);
                    verdict = self.client.host.put_members(group, users, read_at, part).await;
                    self.after_page().await;
                    Ok(())
                })
                .await?;
            match end {
                End::Complete => return Ok(Members::Read(verdict)),
                End::Refused {
                    answer,
                    is_first: true,
                } if answer.status == 404 => return Ok(Members::Gone(answer)),
                // A cursor that Okta no longer takes: the listing begins again, once.
                End::Refused {
                    answer,
                    is_first: false,
                } if !is_second_try && matches!(answer.status, 400 | 404) => {
                    is_second_try = true;
                }
                End::Refused { answer, .. } if answer.status == 404 => {
                    return Err(Failure {
                        kind: ErrorKind::Protocol,
                        ..answer.failure(MEMBERS, &what)
                    });
                }
                End::Refused { answer, .. } => {
                    return Err(Failure {
                        hint: format!("{} {}", Kind::Groups.permission_hint(), hints::FOUR_THINGS),
                        ..answer.failure(MEMBERS, &what)
                    });
                }
            }
        }
    }

    /// A group whose members can't be found was deleted only when no app names it any more (RUNS §1.5).
    async fn leave_out(&self, group: &Rc<str>, refusal: &Answer) -> Result<(), Failure> {
        let named_by = self.groups.borrow().get(group).cloned().unwrap_or_default();
        for app in named_by {
            let target = format!("/api/v1/apps/{}/groups/{}", encoded(&app.id), encoded(group));
            let answer = self.client.get(GROUPS, Bucket::Apps, target).await?;
            if answer.status == 404 {
                continue;
            }
            if answer.status != 200 {
                return Err(answer.failure(GROUPS, &format!("the group {group} of the app {}", app.label)));
            }
            return Err(Failure {
                kind: ErrorKind::Forbidden,
                summary: format!(
                    "The app {} names the group {group}, but Okta does not show its members{}.",
                    app.label,
                    refusal.error().quoted()
                ),
                hint: Kind::Groups.resource_hint(),
                ..refusal.failure(MEMBERS, "members")
            });
        }
        self.client.host.drop_group(group).await;
        add(&self.counts.gone, 1);
        if self.counts.gone.get() <= NAMED_IN_NOTES as u64 {
            let note = format!("The group {group} was deleted at Okta while it was read, and is left out.");
            self.notes.borrow_mut().push(note);
        }
        Ok(())
    }

    fn note_gone(&self) {
        let gone = self.counts.gone.get();
        if gone > 0 {
            let note = format!("Groups that were gone when their members were read: {gone}.");
            self.notes.borrow_mut().push(note);
        }
    }

    async fn after_page(&self) {
        add(&self.counts.pages, 1);
        if self.client.host.monotonic() >= self.checkpoint_at.get() {
            self.checkpoint().await;
        }
    }

    async fn checkpoint(&self) {
        self.checkpoint_at
            .set(self.client.host.monotonic() + CHECKPOINT_EVERY);
        let cursor = cursor::Cursor {
            okta_ms: self.client.clock.now_ms(self.client.host),
            pages: self.counts.pages.get(),
        };
        self.client.host.checkpoint(cursor.to_bytes()).await;
    }
}

enum Members {
    Read(MembersVerdict),
    Gone(Answer),
}

fn listing_refused(answer: &Answer, kind: Kind, app: &App, what: &str) -> Failure {
    let failure = answer.failure(kind.word(), what);
    match answer.status {
        404 => Failure {
            hint: format!(
                "The app {} is gone at Okta. The next run reads what is left.",
                app.label
            ),
            ..failure
        },
        403 => Failure {
            hint: format!("{} {}", kind.permission_hint(), hints::FOUR_THINGS),
            ..failure
        },
        _ => failure,
    }
}
