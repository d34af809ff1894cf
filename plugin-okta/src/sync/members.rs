//! Reading the members of a group, and telling whether a group that has none to show is gone.

use std::ops::ControlFlow;
use std::rc::Rc;

use super::{GROUPS, MEMBERS, Run};
use crate::client::Answer;
use crate::failure::{ErrorKind, Failure};
use crate::hints;
use crate::host::{Host, MembersVerdict, PagePart};
use crate::link::encoded;
use crate::model::Row;
use crate::pace::Bucket;
use crate::pages::{End, Listing, Page};
use crate::probe::Kind;

/// Okta's largest page of a group's members.
const MEMBERS_LIMIT: u32 = 1000;
/// Groups named one by one in the notes; the others are counted.
const NAMED_IN_NOTES: u64 = 20;

enum Members {
    Read(MembersVerdict),
    Gone(Answer),
}

impl<H: Host> Run<'_, '_, H> {
    pub(super) async fn read_members(&self, group: &Rc<str>) -> Result<(), Failure> {
        let verdict = match self.list_members(group).await? {
            Members::Read(verdict) => verdict,
            Members::Gone(answer) => return self.leave_out(group, &answer).await,
        };
        if verdict == MembersVerdict::ReadAgain
            && let Members::Gone(answer) = self.list_members(group).await?
        {
            return self.leave_out(group, &answer).await;
        }
        self.cursor.borrow_mut().lists += 1;
        let done = self.cursor.borrow().lists;
        self.client.progress(MEMBERS, done, Some(self.lists.get()));
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
            let place = self.cursor.borrow().members.get(&**group).cloned();
            if let Some(target) = place {
                listing = listing.going_on_at(target);
            }
            let mut verdict = MembersVerdict::Taken;
            let end = listing
                .for_each_page(async |page| {
                    let part = PagePart {
                        first: page.is_first,
                        last: page.is_last(),
                    };
                    verdict = self.put_members(group, &page, part).await?;
                    let next = page.next.clone();
                    drop(page);
                    self.keep_place(group, next);
                    self.after_page().await;
                    Ok(ControlFlow::Continue(()))
                })
                .await?;
            match end {
                End::Complete | End::Stopped => return Ok(Members::Read(verdict)),
                End::Refused {
                    answer,
                    is_first: true,
                } if answer.status == 404 => return Ok(Members::Gone(answer)),
                // A place that Okta no longer takes: the listing begins again, once (RUNS §6.4).
                End::Refused {
                    answer,
                    is_first: false,
                } if !is_second_try && matches!(answer.status, 400 | 404) => {
                    is_second_try = true;
                    self.keep_place(group, None);
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

    async fn put_members(&self, group: &str, page: &Page, part: PagePart) -> Result<MembersVerdict, Failure> {
        let rows = page.rows::<Row<'_>>()?;
        let users: Vec<&str> = rows.iter().map(|row| &*row.id.0).collect();
        let host = self.client.host;
        Ok(host.put_members(group, &users, page.read_at_ms(), part).await)
    }

    /// Keeps where the list goes on. A list without a place begins at its first page: when it has ended, the host does not
    /// ask for it again.
    fn keep_place(&self, group: &str, next: Option<String>) {
        let mut cursor = self.cursor.borrow_mut();
        match next {
            Some(target) => cursor.members.insert(group.to_owned(), target),
            None => cursor.members.remove(group),
        };
    }

    /// A group whose members can't be found was deleted only when no app names it any more (RUNS §1.5).
    async fn leave_out(&self, group: &Rc<str>, refusal: &Answer) -> Result<(), Failure> {
        // Another app may name it while one is asked.
        let named_by = |place: usize| self.groups.borrow().get(group)?.get(place).cloned();
        for app in (0..).map_while(named_by) {
            let target = format!("/api/v1/apps/{}/groups/{}", encoded(&app.id), encoded(group));
            let what = format!("the group {group} of the app {}", app.label);
            let answer = self.client.get(GROUPS, &what, Bucket::Apps, target).await?;
            if answer.status == 404 {
                continue;
            }
            if answer.status != 200 {
                return Err(answer.failure(GROUPS, &what));
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
        // Should another page name it after all, it is new again.
        self.groups.borrow_mut().remove(group);
        self.client.host.drop_group(group).await;
        self.has_news.set(true);
        self.cursor.borrow_mut().gone += 1;
        if self.cursor.borrow().gone <= NAMED_IN_NOTES {
            self.note(format!(
                "The group {group} was deleted at Okta while it was read, and is left out."
            ));
        }
        Ok(())
    }

    /// Says how many groups were gone.
    pub(super) fn note_gone(&self) {
        let gone = self.cursor.borrow().gone;
        if gone > 0 {
            self.note(format!(
                "Groups that were gone when their members were read: {gone}."
            ));
        }
    }
}
