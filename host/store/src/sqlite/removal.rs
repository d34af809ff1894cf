//! Removes a directory: a run of its own, whose changes are one block.

use idsync_model::{
    DirectoryId, EntityCounts, ErrorKind, Failure, Mode, Operation, Outcome, RunId, TenantName, Trigger,
    UnixMillis,
};
use roaring::RoaringTreemap;
use rusqlite::{Connection, TransactionBehavior, named_params};

use super::apply::last_seq;
use super::block::Block;
use super::connection::empty_journal;
use super::feed_rows::Teller;
use super::runs::{self, Ending, RunRow};
use super::word::unsigned;
use super::{feed_mark, hold, key_set, leases, recent, scope, vault};
use crate::{Applied, AppliedCounts, RunFacts, StoreError};

/// Removes it. Returns besides the runs whose files can go.
pub(super) fn remove(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    run: &RunId,
    now: UnixMillis,
) -> Result<(Applied, Vec<RunId>), StoreError> {
    const BURY: [&str; 2] = [
        include_str!("sql/removal/3_group_tombstones.sql"),
        include_str!("sql/removal/4_user_tombstones.sql"),
    ];
    const FORGET_LISTS: &str = include_str!("sql/removal/5_lists.sql");
    const CLOSE: &str = "
        UPDATE directory
        SET
            removed_at = :now, generation = generation + 1, users = 0, groups = 0, memberships = 0,
            held_since = NULL
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    // Readers may have seen its block: as with an apply, a loss of power must not take it back.
    connection.pragma_update(None, "synchronous", "full")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = scope::directory(&transaction, tenant, directory)?;
    let removed = Failure::new(
        ErrorKind::Cancelled,
        "removal",
        "the directory was removed before the run ended",
        "",
    );
    leases::fence_off(&transaction, found)?;
    let mut ended = runs::end_unended(&transaction, found, now, &removed)?;
    let row = RunRow {
        run,
        trigger: Trigger::Removal,
        mode: Mode::Full,
        dry_run: false,
        started_at: now,
        plugin_version: "",
    };
    runs::insert(&transaction, found, &row)?;
    let scope = scope::run(&transaction, tenant, run)?;
    let superseded = hold::supersede(&transaction, &scope)?;
    ended.extend(hold::forget_all(&transaction, &scope)?);
    recent::forget(&transaction, scope.directory_key)?;

    let mut block = Block {
        transaction: &transaction,
        scope: &scope,
        seq: last_seq(&transaction, &scope)?,
    };
    // In the order of RUNS §3.3.
    let memberships = block.tell(tell_memberships)?;
    let groups =
        block.tell(|teller| teller.tell_groups(include_str!("sql/removal/1_group_deletions.sql")))?;
    let users = block.tell(|teller| teller.tell_users(include_str!("sql/removal/2_user_deletions.sql")))?;
    let changes = memberships + groups + users;
    let deleted = |deleted| EntityCounts {
        deleted,
        ..EntityCounts::default()
    };
    let counts = AppliedCounts {
        users: deleted(unsigned(users)),
        groups: deleted(unsigned(groups)),
        memberships: deleted(unsigned(memberships)),
    };
    let applied_seq = (changes > 0).then(|| block.close(&counts)).transpose()?;
    let seq = block.seq;

    let keys = named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key };
    for statement in BURY {
        transaction.execute(
            statement,
            named_params! {
                ":tenant_id": scope.tenant_id,
                ":directory_key": scope.directory_key,
                ":now": now.0,
                ":run_key": scope.run_key,
            },
        )?;
    }
    transaction.execute(FORGET_LISTS, keys)?;
    vault::erase(&transaction, found)?;
    let ending = Ending {
        outcome: Outcome::Succeeded,
        now,
        counts,
        facts: &RunFacts::default(),
        held: None,
        error: None,
        applied_seq,
        skips: &[],
    };
    runs::end(&transaction, &scope, &ending)?;
    let record = runs::find(&transaction, tenant, run)?;
    transaction.execute(
        CLOSE,
        named_params! {
            ":tenant_id": scope.tenant_id,
            ":directory_key": scope.directory_key,
            ":now": now.0,
        },
    )?;
    transaction.commit()?;
    connection.pragma_update(None, "synchronous", "normal")?;
    feed_mark::settle(connection);
    // The journal would keep the erased bytes until it is reused. The directory is removed all the same.
    empty_journal(connection);
    Ok((
        Applied {
            run: record,
            changes: unsigned(changes),
            seq: unsigned(seq),
            superseded,
        },
        ended,
    ))
}

/// Readers are told that every membership of the directory goes.
fn tell_memberships(teller: &mut Teller<'_>) -> Result<(), StoreError> {
    const LISTS: &str = "
        SELECT l.group_key, l.users
        FROM group_identity AS i
        CROSS JOIN directory_group AS g ON g.group_key = i.group_key
        CROSS JOIN member_list AS l ON l.group_key = i.group_key
        WHERE i.directory_key = :directory_key AND g.deleted_at IS NULL
        ORDER BY l.group_key";
    let directory = named_params! { ":directory_key": teller.directory_key };
    let live = live_users(teller.connection, teller.directory_key)?;
    let mut lists = teller.connection.prepare(LISTS)?;
    let mut lists = lists.query(directory)?;
    while let Some(list) = lists.next()? {
        let users = key_set::from_column(list, 1)? & &live;
        teller.tell_memberships(Operation::Delete, Some("removed"), list.get(0)?, &users)?;
    }
    Ok(())
}

/// The keys of a directory's users whom readers see.
fn live_users(connection: &Connection, directory_key: i64) -> Result<RoaringTreemap, StoreError> {
    const LIVE: &str = "
        SELECT u.user_key
        FROM user_identity AS i
        CROSS JOIN directory_user AS u ON u.user_key = i.user_key
        WHERE i.directory_key = :directory_key AND u.deleted_at IS NULL";
    let mut live = connection.prepare_cached(LIVE)?;
    key_set::of_rows(&mut live.query(named_params! { ":directory_key": directory_key })?)
}
