//! What readers are told of a plan. Of a large one it is made on a thread of its own, while the plan is written.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{panic, thread};

use idsync_model::Operation;

use super::block::Block;
use super::connection::{attach, open_reader};
use super::feed_rows::{FeedRow, Teller};
use super::{key_set, planner};
use crate::{PlanSummary, PlannedCounts, StoreError};

/// Of so few users and groups it is made in less time than another connection takes. Memberships are told as sets, which
/// takes next to none.
const FEW: u64 = if cfg!(test) { 6 } else { 20_000 };

/// How many rows of the feed are made ahead: some 32 KiB each, so that they need no thought.
const AHEAD: usize = if cfg!(test) { 1 } else { 32 };

/// Where a plan lies, and the store that it is for.
#[derive(Clone, Copy)]
pub(super) struct Paths<'a> {
    pub(super) store: &'a Path,
    pub(super) run_file: &'a Path,
}

/// Writes all rows of the feed of a plan, and calls `write`, which writes the plan. What `write` is given is to be called
/// from time to time: it writes the rows that were made meanwhile.
pub(super) fn tell(
    block: &mut Block<'_>,
    paths: Paths<'_>,
    summary: &PlanSummary,
    write: impl FnOnce(&mut dyn FnMut() -> Result<(), StoreError>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if !is_large(summary) {
        return tell_and_write(block, summary, write);
    }
    let directory_key = block.scope.directory_key;
    let (made, told) = sync_channel(AHEAD);
    thread::scope(|scope| {
        let maker = thread::Builder::new()
            .name("feed".to_owned())
            .spawn_scoped(scope, move || make(paths, directory_key, summary, &made));
        let Ok(maker) = maker else {
            // Where there is no thread, it is made on this one.
            return tell_and_write(block, summary, write);
        };
        let written = write_told(block, told, write);
        // It has ended, or ends at its next row, which nobody takes any more.
        match maker.join() {
            Ok(()) => written,
            Err(panicked) => panic::resume_unwind(panicked),
        }
    })
}

/// Readers are told what they saw, so all of it is read before it is written over.
fn tell_and_write(
    block: &mut Block<'_>,
    summary: &PlanSummary,
    write: impl FnOnce(&mut dyn FnMut() -> Result<(), StoreError>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    block.tell(|teller| tell_plan(teller, summary))?;
    write(&mut || Ok(()))
}

/// Whether a plan is worth a second thread.
pub(super) fn is_large(summary: &PlanSummary) -> bool {
    let changes = |counts: &PlannedCounts| counts.created + counts.updated + counts.deleted;
    changes(&summary.users) + changes(&summary.groups) > FEW
}

/// Calls `write`, and writes what is told meanwhile and after. When one of both fails, nothing more is taken.
fn write_told(
    block: &mut Block<'_>,
    told: Receiver<Result<FeedRow, StoreError>>,
    write: impl FnOnce(&mut dyn FnMut() -> Result<(), StoreError>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    write(&mut || told.try_iter().try_for_each(|row| block.write(&row?)))?;
    told.into_iter().try_for_each(|row| block.write(&row?))
}

/// Makes the rows with a connection of its own. It sees the store as readers do until the block is committed: nobody else
/// can commit while the block is being written, and the block is not committed before all rows were made.
fn make(
    paths: Paths<'_>,
    directory_key: i64,
    summary: &PlanSummary,
    made: &SyncSender<Result<FeedRow, StoreError>>,
) {
    let make_all = || -> Result<(), StoreError> {
        let mut connection = open_reader(paths.store)?;
        attach(&connection, paths.run_file, 8_192)?;
        let transaction = connection.transaction()?;
        let mut teller = Teller {
            connection: &transaction,
            directory_key,
            // Whoever no longer takes rows has an error to tell of, and this one is told to nobody.
            hand_over: &mut |row| made.send(Ok(row)).map_err(|_| StoreError::ShuttingDown),
        };
        tell_plan(&mut teller, summary)
    };
    if let Err(error) = make_all() {
        let _ = made.send(Err(error));
    }
}

/// Tells in the order of RUNS §3.3: users and groups created or updated, memberships created, memberships deleted, groups
/// deleted, users deleted.
fn tell_plan(teller: &mut Teller<'_>, summary: &PlanSummary) -> Result<(), StoreError> {
    if summary.users.created + summary.users.updated > 0 {
        teller.tell_users(include_str!("sql/apply/03_user_changes.sql"))?;
    }
    if summary.groups.created + summary.groups.updated > 0 {
        teller.tell_groups(include_str!("sql/apply/05_group_changes.sql"))?;
    }
    if summary.memberships.created > 0 {
        tell_created_memberships(teller)?;
    }
    if summary.memberships.deleted > 0 {
        tell_deleted_memberships(teller)?;
    }
    if summary.groups.deleted > 0 {
        teller.tell_groups(include_str!("sql/apply/10_group_deletions.sql"))?;
    }
    if summary.users.deleted > 0 {
        teller.tell_users(include_str!("sql/apply/12_user_deletions.sql"))?;
    }
    Ok(())
}

/// Readers are told of memberships that they see newly, group by group.
fn tell_created_memberships(teller: &mut Teller<'_>) -> Result<(), StoreError> {
    const CREATED: &str = "
        SELECT group_key, created
        FROM plan_member_list
        WHERE created_count > 0
        ORDER BY group_key";
    let mut lists = teller.connection.prepare_cached(CREATED)?;
    let mut lists = lists.query([])?;
    while let Some(list) = lists.next()? {
        let users = key_set::from_column(list, 1)?;
        teller.tell_memberships(Operation::Create, None, list.get(0)?, &users)?;
    }
    Ok(())
}

/// Readers are told of memberships that they see no longer, group by group. The reason is the group's or the user's
/// where one of them goes.
fn tell_deleted_memberships(teller: &mut Teller<'_>) -> Result<(), StoreError> {
    const DELETED: &str = "
        SELECT l.group_key, l.deleted, g.reason
        FROM plan_member_list AS l
        LEFT JOIN plan_group AS g ON g.group_key = l.group_key AND g.operation = 3
        WHERE l.deleted_count > 0
        ORDER BY l.group_key";
    const ABSENT: &str = "absent";
    let mut users_who_go = planner::users_who_go(teller.connection)?;
    users_who_go.remove(ABSENT);
    let mut lists = teller.connection.prepare_cached(DELETED)?;
    let mut lists = lists.query([])?;
    while let Some(list) = lists.next()? {
        let group_key = list.get(0)?;
        let mut users = key_set::from_column(list, 1)?;
        let of_group: Option<String> = list.get(2)?;
        if of_group.is_none() {
            for (reason, gone) in &users_who_go {
                let with_user = &users & gone;
                users -= gone;
                teller.tell_memberships(Operation::Delete, Some(reason), group_key, &with_user)?;
            }
        }
        let reason = of_group.as_deref().unwrap_or(ABSENT);
        teller.tell_memberships(Operation::Delete, Some(reason), group_key, &users)?;
    }
    Ok(())
}
