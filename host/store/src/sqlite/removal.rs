//! Removes a directory: a run of its own, whose changes are one block.

use idsync_model::{
    DirectoryId, EntityCounts, ErrorKind, Failure, Mode, Outcome, RunId, TenantName, Trigger, UnixMillis,
};
use rusqlite::{Connection, TransactionBehavior, named_params};

use super::apply::{Block, last_seq};
use super::connection::empty_journal;
use super::runs::{self, Ending, RunRow};
use super::word::unsigned;
use super::{feed_mark, hold, leases, recent, scope, vault};
use crate::{Applied, AppliedCounts, RunFacts, StoreError};

/// What readers are told, in the order of RUNS §3.3.
const CHANGES: [&str; 3] = [
    include_str!("sql/removal/01_membership_deletions.sql"),
    include_str!("sql/removal/02_group_deletions.sql"),
    include_str!("sql/removal/03_user_deletions.sql"),
];

/// Removes it. Returns besides the runs whose files can go.
pub(super) fn remove(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    run: &RunId,
    now: UnixMillis,
) -> Result<(Applied, Vec<RunId>), StoreError> {
    const BURY: [&str; 2] = [
        include_str!("sql/removal/04_group_tombstones.sql"),
        include_str!("sql/removal/05_user_tombstones.sql"),
    ];
    const FORGET: [&str; 2] = [
        include_str!("sql/removal/06_lists.sql"),
        include_str!("sql/removal/07_lists_by_user.sql"),
    ];
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

    let before = last_seq(&transaction, &scope)?;
    let mut block = Block {
        transaction: &transaction,
        scope: &scope,
        now,
        seq: before,
    };
    let mut told = [0; 3];
    for (statement, told) in CHANGES.iter().zip(&mut told) {
        let seq = block.seq;
        block.tell(statement)?;
        *told = unsigned(block.seq - seq);
    }
    let changes = block.seq - before;
    let deleted = |deleted| EntityCounts {
        deleted,
        ..EntityCounts::default()
    };
    let counts = AppliedCounts {
        users: deleted(told[2]),
        groups: deleted(told[1]),
        memberships: deleted(told[0]),
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
    for statement in FORGET {
        transaction.execute(statement, keys)?;
    }
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
