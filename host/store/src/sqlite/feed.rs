//! Reads the change feed: the check of the position and the changes, at one moment.

use idsync_model::{DeleteReason, DirectoryId, FeedCursor, FeedId, Operation, TenantName};
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::de::DeserializeOwned;

use super::runs::run_id;
use super::scope;
use super::word::{from_json, reason, signed, unreadable, unsigned};
use crate::{ChangeBody, ChangePage, ChangeRow, PositionRefused, StoreError};

/// The id of a tenant's feed, and the number of its last change.
pub(super) fn position(connection: &Connection, tenant_id: i64) -> Result<(FeedId, u64), StoreError> {
    const POSITION: &str = "
        SELECT feed_id, last_seq
        FROM tenant
        WHERE tenant_id = :tenant_id";
    let (feed, last): (String, i64) = connection
        .prepare_cached(POSITION)?
        .query_row(named_params! { ":tenant_id": tenant_id }, |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let feed = feed.parse().map_err(|e| unreadable("a feed's id", e))?;
    Ok((feed, unsigned(last)))
}

/// Reads up to `limit` changes after a position.
pub(super) fn changes(
    connection: &mut Connection,
    tenant: &TenantName,
    since: &FeedCursor,
    directory: Option<&DirectoryId>,
    limit: u64,
) -> Result<ChangePage, StoreError> {
    const READ: &str = "
        SELECT
            c.seq, r.id, d.id, c.kind, c.operation, ui.external_id, gi.external_id, c.reason, c.before, c.after
        FROM change AS c
        CROSS JOIN run AS r ON r.run_key = c.run_key
        CROSS JOIN directory AS d ON d.directory_key = c.directory_key
        LEFT JOIN user_identity AS ui ON ui.user_key = c.user_key
        LEFT JOIN group_identity AS gi ON gi.group_key = c.group_key
        WHERE c.tenant_id = :tenant_id AND c.seq > :since
          AND (:directory_key IS NULL OR c.directory_key = :directory_key)
        ORDER BY c.seq
        LIMIT :limit";
    let transaction = connection.transaction()?;
    let tenant_id = scope::tenant_id(&transaction, tenant)?;
    let directory_key = directory
        .map(|directory| known_directory(&transaction, tenant_id, directory))
        .transpose()?;
    let (feed, last) = position(&transaction, tenant_id)?;
    if let Some(why) = refused(&transaction, tenant_id, since, &feed, last)? {
        return Err(StoreError::FeedPosition {
            asked: since.clone(),
            why,
        });
    }
    let mut changes = Vec::new();
    {
        let mut statement = transaction.prepare_cached(READ)?;
        let mut rows = statement.query(named_params! {
            ":tenant_id": tenant_id,
            ":since": signed(since.seq),
            ":directory_key": directory_key,
            ":limit": signed(limit),
        })?;
        while let Some(row) = rows.next()? {
            changes.push(from_row(&feed, row)?);
        }
    }
    // A page that is not full ends with the last change, whoever's it is.
    let next = if (changes.len() as u64) < limit {
        last
    } else {
        changes.last().map_or(since.seq, |change| change.seq)
    };
    Ok(ChangePage {
        feed,
        rows: changes,
        next,
        last,
    })
}

/// The key of a directory that the tenant has or had.
fn known_directory(
    connection: &Connection,
    tenant_id: i64,
    directory: &DirectoryId,
) -> Result<i64, StoreError> {
    connection
        .prepare_cached("SELECT directory_key FROM directory WHERE tenant_id = :tenant_id AND id = :id")?
        .query_row(
            named_params! { ":tenant_id": tenant_id, ":id": directory.as_str() },
            |row| row.get(0),
        )
        .optional()?
        .ok_or_else(|| StoreError::UnknownDirectory {
            id_or_name: directory.to_string(),
        })
}

/// Why a position can't be gone on from (RUNS §8.4). A number without its feed is of the only feed that the tenant ever
/// had; where there was an earlier one it may be of that, but for 0, with which every feed begins.
fn refused(
    connection: &Connection,
    tenant_id: i64,
    since: &FeedCursor,
    feed: &FeedId,
    last: u64,
) -> Result<Option<PositionRefused>, StoreError> {
    match &since.feed {
        Some(asked) if asked != feed => return Ok(Some(PositionRefused::AnotherFeed)),
        None if since.seq > 0 && is_renewed(connection, tenant_id)? => {
            return Ok(Some(PositionRefused::UnnamedFeed));
        }
        Some(_) | None => {}
    }
    if since.seq > last {
        return Ok(Some(PositionRefused::Beyond { last }));
    }
    let first: Option<i64> = connection
        .prepare_cached("SELECT min(seq) FROM change WHERE tenant_id = :tenant_id")?
        .query_row(named_params! { ":tenant_id": tenant_id }, |row| row.get(0))?;
    // Whoever has taken the change before the first that is kept, or the last of all, misses nothing.
    let earliest = first.map_or(last, |first| unsigned(first - 1));
    Ok((since.seq < earliest).then_some(PositionRefused::Purged { earliest }))
}

/// Whether the tenant's feed took the place of an earlier one.
fn is_renewed(connection: &Connection, tenant_id: i64) -> Result<bool, StoreError> {
    let is_renewed = connection
        .prepare_cached("SELECT feed_renewed FROM tenant WHERE tenant_id = :tenant_id")?
        .query_row(named_params! { ":tenant_id": tenant_id }, |row| row.get(0))?;
    Ok(is_renewed)
}

fn from_row(feed: &FeedId, row: &Row<'_>) -> Result<ChangeRow, StoreError> {
    let body = match row.get::<_, i64>(3)? {
        1 => ChangeBody::User {
            operation: operation(row)?,
            external_id: row.get(5)?,
            row: stored(row, 9)?,
            before: stored(row, 8)?,
            reason: why(row)?,
        },
        2 => ChangeBody::Group {
            operation: operation(row)?,
            external_id: row.get(6)?,
            row: stored(row, 9)?,
            before: stored(row, 8)?,
            reason: why(row)?,
        },
        3 => ChangeBody::Membership {
            operation: operation(row)?,
            group: row.get(6)?,
            user: row.get(5)?,
            reason: why(row)?,
        },
        _ => ChangeBody::Applied {
            counts: stored(row, 9)?.unwrap_or_default(),
        },
    };
    Ok(ChangeRow {
        seq: unsigned(row.get(0)?),
        feed: feed.clone(),
        run: run_id(row.get(1)?)?,
        directory: row
            .get::<_, String>(2)?
            .parse()
            .map_err(|e| unreadable("a directory's id", e))?,
        body,
    })
}

fn operation(row: &Row<'_>) -> Result<Operation, StoreError> {
    Ok(match row.get::<_, i64>(4)? {
        1 => Operation::Create,
        2 => Operation::Update,
        _ => Operation::Delete,
    })
}

fn stored<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<Option<T>, StoreError> {
    row.get::<_, Option<String>>(column)?
        .map(|text| from_json("a change", &text))
        .transpose()
}

fn why(row: &Row<'_>) -> Result<Option<DeleteReason>, StoreError> {
    reason(row.get(7)?)
}
