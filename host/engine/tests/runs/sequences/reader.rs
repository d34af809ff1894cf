//! A plugin that reads the org page by page, as it is at each page's moment, and goes on from a checkpoint.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use idsync_model::{
    CallContext, Entity, ExternalId, Failure, MembersVerdict, PagePart, Staging, StagingError,
};

use super::course::Course;
use super::model::Reading;
use super::steps::At;
use crate::org::{Org, group_row, id, refused, user_row};

/// Users, groups and members of one page.
const USERS: usize = 6;
const GROUPS: usize = 2;
const MEMBERS: usize = 6;

/// Where a listing stands.
#[derive(Debug, Clone, Default)]
enum Listing {
    #[default]
    Unread,
    After(String),
    Done,
}

impl Listing {
    fn rest(&self) -> Option<(Bound<String>, Bound<String>)> {
        match self {
            Self::Unread => Some((Bound::Unbounded, Bound::Unbounded)),
            Self::After(last) => Some((Bound::Excluded(last.clone()), Bound::Unbounded)),
            Self::Done => None,
        }
    }

    fn after(last: Option<&ExternalId>, is_last_page: bool) -> Self {
        match last {
            Some(last) if !is_last_page => Self::After(last.as_str().to_owned()),
            _ => Self::Done,
        }
    }
}

/// How far a reading has come, and what it has put: what a checkpoint stands for.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub reading: Reading,
    users: Listing,
    groups: Listing,
    /// The groups whose members are still to be read, …
    asked: VecDeque<String>,
    /// … and the place in the list of the first of them.
    members: Listing,
}

/// Reads on from where an earlier run was, or from the begin.
pub async fn read(
    course: Arc<Course>,
    resume: Option<Vec<u8>>,
    staging: Arc<dyn Staging>,
    context: CallContext,
) -> Result<(), Failure> {
    let run = context.run.clone().expect("a sync is part of a run");
    let script = course.script(&run);
    let at_begin = course.org();
    let is_resumed = resume.is_some();
    let mut place = match resume {
        Some(state) => course.place(&state),
        None => Place::default(),
    };
    if is_resumed {
        course.tally("resumed");
        begin_listings_again(&mut place, script.refuses_place, &*staging)
            .await
            .map_err(|e| refused(&e))?;
        if script.refuses_place != (false, false) {
            course.tally("listing begun again");
        }
    }
    for page in 0_u8.. {
        course.meet(&run, At::Page(page), Some(&context)).await?;
        let is_done = read_page(&course, &mut place, &*staging)
            .await
            .map_err(|e| refused(&e))?;
        if is_done {
            break;
        }
        if page % script.checkpoint_every == 0 {
            let state = course.keep_place(&place);
            staging.checkpoint(state).await.map_err(|e| refused(&e))?;
        }
    }
    let as_read = course.org();
    course.meet(&run, At::Read, Some(&context)).await?;
    let is_one_moment = !is_resumed && as_read == at_begin;
    course.note_read(&run, place.reading, is_one_moment.then_some(at_begin));
    Ok(())
}

async fn begin_listings_again(
    place: &mut Place,
    (users, groups): (bool, bool),
    staging: &dyn Staging,
) -> Result<(), StagingError> {
    if users {
        staging.restart(Entity::User).await?;
        place.reading.users.clear();
        place.users = Listing::Unread;
    }
    if groups {
        staging.restart(Entity::Group).await?;
        place.reading.groups.clear();
        place.groups = Listing::Unread;
        // Those that are put again are asked for again, unless their list was read to its end.
        place.asked.clear();
        place.members = Listing::Unread;
    }
    Ok(())
}

/// Reads the next page. Answers whether there was none.
async fn read_page(course: &Course, place: &mut Place, staging: &dyn Staging) -> Result<bool, StagingError> {
    let org = course.org();
    if let Some(rest) = place.users.rest() {
        read_users(&org, rest, place, staging).await?;
    } else if let Some(rest) = place.groups.rest() {
        read_groups(&org, rest, place, staging).await?;
    } else if let Some(group) = place.asked.front().cloned() {
        read_members(course, &org, group, place, staging).await?;
    } else {
        return Ok(true);
    }
    Ok(false)
}

async fn read_users(
    org: &Org,
    rest: (Bound<String>, Bound<String>),
    place: &mut Place,
    staging: &dyn Staging,
) -> Result<(), StagingError> {
    let page: Vec<_> = org.users.range(rest).take(USERS).collect();
    let rows: Vec<_> = page.iter().map(|(id, user)| user_row(id, user)).collect();
    let last = rows.last().map(|row| row.external_id.clone());
    staging.put_users(rows).await?;
    let is_last = page.len() < USERS;
    place
        .reading
        .users
        .extend(page.into_iter().map(|(id, user)| (id.clone(), user.clone())));
    place.users = Listing::after(last.as_ref(), is_last);
    Ok(())
}

async fn read_groups(
    org: &Org,
    rest: (Bound<String>, Bound<String>),
    place: &mut Place,
    staging: &dyn Staging,
) -> Result<(), StagingError> {
    let page: Vec<_> = org.groups.range(rest).take(GROUPS).collect();
    let rows: Vec<_> = page.iter().map(|(id, group)| group_row(id, group)).collect();
    let last = rows.last().map(|row| row.external_id.clone());
    let asked = staging.put_groups(rows).await?;
    let is_last = page.len() < GROUPS;
    for ((id, group), is_asked) in page.into_iter().zip(asked) {
        place.reading.groups.insert(id.clone(), group.name.clone());
        if is_asked {
            place.asked.push_back(id.clone());
        }
    }
    place.groups = Listing::after(last.as_ref(), is_last);
    Ok(())
}

async fn read_members(
    course: &Course,
    org: &Org,
    group: String,
    place: &mut Place,
    staging: &dyn Staging,
) -> Result<(), StagingError> {
    let Some(found) = org.groups.get(&group) else {
        course.tally("group gone while read");
        staging.drop_group(id(&group)).await?;
        place.reading.groups.remove(&group);
        place.asked.pop_front();
        place.members = Listing::Unread;
        return Ok(());
    };
    let rest = place.members.rest().expect("a list that is not read to its end");
    let is_first = matches!(place.members, Listing::Unread);
    let page: Vec<_> = found.members.range(rest).take(MEMBERS).cloned().collect();
    let is_last = page.len() < MEMBERS;
    let part = PagePart {
        first: is_first,
        last: is_last,
    };
    let rows: Vec<_> = page.iter().map(|member| id(member)).collect();
    let last = rows.last().cloned();
    let read_at = course.provider_time();
    let verdict = staging
        .put_members(id(&group), rows.iter().collect(), read_at, part)
        .await?;
    let known = place.reading.lists.entry(group).or_default();
    if is_first {
        known.clear();
    }
    known.extend(page);
    place.members = match verdict {
        MembersVerdict::ReadAgain => {
            course.tally("empty list read again");
            Listing::Unread
        }
        MembersVerdict::Taken if is_last => {
            place.asked.pop_front();
            Listing::Unread
        }
        MembersVerdict::Taken => Listing::after(last.as_ref(), false),
    };
    Ok(())
}
