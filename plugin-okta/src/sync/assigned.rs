//! Reading what is assigned to an app: its users and its groups.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::{GROUPS, Job, Run, USERS, add};
use crate::apps::App;
use crate::client::Answer;
use crate::cursor::Place;
use crate::failure::{ErrorKind, Failure};
use crate::hints;
use crate::host::{Entity, Host};
use crate::link::encoded;
use crate::model::{AppGroup, AppUser};
use crate::pace::Bucket;
use crate::pages::{End, Listing, Page};
use crate::probe::Kind;
use crate::rows;

/// Okta's largest pages: app users with `expand=user`, app groups.
const APP_USERS_LIMIT: u32 = 500;
const APP_GROUPS_LIMIT: u32 = 200;

impl<H: Host> Run<'_, '_, H> {
    pub(super) async fn read_assigned(&self, kind: Kind, app: &Rc<App>) -> Result<(), Failure> {
        let round = self.round(kind).get();
        let what = format!("the {} of the app {}", kind.word(), app.label);
        let path = format!("/api/v1/apps/{}/{}", encoded(&app.id), kind.word());
        let (stage, expand, limit) = match kind {
            Kind::Users => (USERS, "user", APP_USERS_LIMIT),
            Kind::Groups => (GROUPS, "group", APP_GROUPS_LIMIT),
        };
        let mut listing = Listing::new(
            self.client,
            stage,
            &what,
            Bucket::Apps,
            &path,
            Some(expand),
            limit,
        );
        let place = match kind {
            Kind::Users => self.cursor.borrow().users.get(&app.id).cloned(),
            Kind::Groups => None,
        };
        let mut has_rows = place.as_ref().is_some_and(|place| place.has_rows);
        let is_over = place.as_ref().is_some_and(|place| place.next.is_none());
        if let Some(target) = place.and_then(|place| place.next) {
            listing = listing.going_on_at(target);
        }
        let end = if is_over {
            End::Complete
        } else {
            listing
                .for_each_page(async |page| {
                    if self.round(kind).get() != round {
                        return Ok(ControlFlow::Break(()));
                    }
                    let next = page.next.clone();
                    has_rows |= match kind {
                        Kind::Users => self.put_users(page).await?,
                        Kind::Groups => self.put_groups(app, page).await?,
                    };
                    if kind == Kind::Users && self.round(kind).get() == round {
                        let place = Place { next, has_rows };
                        self.cursor.borrow_mut().users.insert(app.id.clone(), place);
                    }
                    self.after_page().await;
                    Ok(ControlFlow::Continue(()))
                })
                .await?
        };
        match end {
            End::Complete if !has_rows => self.probes.believe_empty(self.client, kind).await?,
            End::Complete => {}
            End::Stopped => return Ok(()),
            End::Refused { .. } if self.round(kind).get() != round => return Ok(()),
            End::Refused {
                answer,
                is_first: false,
            } if round == 0 && matches!(answer.status, 400 | 404) => {
                self.begin_again(kind).await;
                return Ok(());
            }
            End::Refused { answer, is_first } => {
                return Err(listing_refused(&answer, is_first, kind, app, &what));
            }
        }
        if listing.was_shrunk {
            self.note(format!(
                "Pages of {what} were too large and were read in smaller pieces."
            ));
        }
        Ok(())
    }

    /// Okta no longer takes the place where a listing was to go on (RUNS §6.4). The host drops rows by their kind only, so
    /// that the listings of all apps begin again, once in a run; those under way end by themselves.
    async fn begin_again(&self, kind: Kind) {
        let round = self.round(kind);
        round.set(round.get() + 1);
        let entity = match kind {
            Kind::Users => {
                let mut cursor = self.cursor.borrow_mut();
                cursor.users.clear();
                cursor.user_rows = 0;
                Entity::User
            }
            Kind::Groups => {
                self.group_rows.set(0);
                Entity::Group
            }
        };
        self.remarks.borrow_mut().retain(|(kind, ..)| *kind != entity);
        self.has_news.set(true);
        self.client.host.restart(entity).await;
        self.jobs
            .borrow_mut()
            .retain(|job| !matches!(job, Job::Assigned(queued, _) if *queued == kind));
        for app in self.apps.borrow().iter() {
            self.push(Job::Assigned(kind, Rc::clone(app)));
        }
    }

    /// Says whether the page had any row.
    async fn put_users(&self, page: Page) -> Result<bool, Failure> {
        let listed = self.put_users_of(&page).await?;
        drop(page);
        let done = {
            let mut cursor = self.cursor.borrow_mut();
            cursor.user_rows += listed as u64;
            cursor.user_rows
        };
        self.client.progress(USERS, done, None);
        Ok(listed > 0)
    }

    /// Puts the users of a page, who borrow from it, and says how many it lists.
    async fn put_users_of(&self, page: &Page) -> Result<usize, Failure> {
        let rows = page.rows::<AppUser<'_>>()?;
        let mut users = Vec::with_capacity(rows.len());
        let mut remarks: Vec<(&str, Cow<'static, str>)> = Vec::new();
        for row in &rows {
            let (id, user) = (&*row.id.0, &row.embedded.user);
            match rows::user(id, user) {
                Ok(put) => {
                    users.push(put);
                    remarks.extend(rows::user_remark(user).map(|how| (id, how.into())));
                }
                Err(why) => remarks.push((id, why.into())),
            }
        }
        for (id, remark) in remarks {
            self.remark(Entity::User, id, remark).await;
        }
        for batch in rows::batches(&users) {
            self.client.host.put_users(batch).await;
        }
        Ok(rows.len())
    }

    /// Says what is the matter with a row, once.
    async fn remark(&self, kind: Entity, id: &str, remark: Cow<'static, str>) {
        let is_new = self
            .remarks
            .borrow_mut()
            .insert((kind, id.to_owned(), remark.clone()));
        if is_new {
            self.client.host.skip(kind, id, &remark).await;
        }
    }

    /// Says whether the page had any row.
    async fn put_groups(&self, app: &Rc<App>, page: Page) -> Result<bool, Failure> {
        let mut groups = Vec::new();
        let mut remarks = Vec::new();
        for row in page.rows::<AppGroup<'_>>()? {
            let group = &row.embedded.group;
            groups.push(rows::group(&row.id.0, group));
            remarks.extend(rows::group_remark(group).map(|how| (row.id.0.to_string(), how)));
        }
        drop(page);
        for (id, remark) in remarks {
            self.remark(Entity::Group, &id, remark.into()).await;
        }
        let host = self.client.host;
        let listed = groups.len();
        for batch in rows::batches(&groups) {
            let ids: Vec<Rc<str>> = batch
                .iter()
                .map(|group| Rc::from(group.external_id.as_str()))
                .collect();
            let must_fetch = host.put_groups(batch).await;
            for (id, must_fetch) in ids.into_iter().zip(must_fetch) {
                let is_new = self.name_group(&id, app);
                if is_new && must_fetch {
                    add(&self.lists, 1);
                    self.push(Job::Members(id));
                }
            }
        }
        add(&self.group_rows, listed);
        self.client.progress(GROUPS, self.group_rows.get(), None);
        Ok(listed > 0)
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
}

fn listing_refused(answer: &Answer, is_first: bool, kind: Kind, app: &App, what: &str) -> Failure {
    let failure = answer.failure(kind.word(), what);
    match answer.status {
        404 if is_first => Failure {
            hint: format!(
                "The app {} is gone at Okta. The next run reads what is left.",
                app.label
            ),
            ..failure
        },
        404 => Failure {
            kind: ErrorKind::Protocol,
            ..failure
        },
        403 => Failure {
            hint: format!("{} {}", kind.permission_hint(), hints::FOUR_THINGS),
            ..failure
        },
        _ => failure,
    }
}
