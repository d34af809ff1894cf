//! Reads the change feed: the check of the position and the changes, at one moment.

use idsync_model::{DirectoryId, FeedCursor, FeedId, Operation, TenantName};
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde::de::DeserializeOwned;

use super::feed_rows::{GroupColumns, Step, UserColumns};
use super::runs::run_id;
use super::word::{damaged, reason, signed, unreadable, unsigned};
use super::{key_set, scope};
use crate::{ChangeBody, ChangePage, ChangeRow, GroupRow, PositionRefused, StoreError, UserRow};

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
    let changes = read(&transaction, &feed, tenant_id, directory_key, since.seq, limit)?;
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
    const FIRST: &str = "
        SELECT last_seq - changes + 1
        FROM change_block
        WHERE tenant_id = :tenant_id
        ORDER BY last_seq
        LIMIT 1";
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
        .prepare_cached(FIRST)?
        .query_row(named_params! { ":tenant_id": tenant_id }, |row| row.get(0))
        .optional()?;
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

/// Up to `limit` changes after a number.
fn read(
    connection: &Connection,
    feed: &FeedId,
    tenant_id: i64,
    directory_key: Option<i64>,
    since: u64,
    limit: u64,
) -> Result<Vec<ChangeRow>, StoreError> {
    const READ: &str = "
        SELECT c.last_seq, c.changes, r.id, d.id, c.kind, c.operation, c.reason, gi.external_id, c.body, c.directory_key
        FROM change_block AS c
        CROSS JOIN run AS r ON r.run_key = c.run_key
        CROSS JOIN directory AS d ON d.directory_key = c.directory_key
        LEFT JOIN group_identity AS gi ON gi.group_key = c.group_key
        WHERE c.tenant_id = :tenant_id AND c.last_seq > :since
          AND (:directory_key IS NULL OR c.directory_key = :directory_key)
        ORDER BY c.last_seq";
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut statement = connection.prepare_cached(READ)?;
    let mut rows = statement.query(named_params! {
        ":tenant_id": tenant_id,
        ":since": signed(since),
        ":directory_key": directory_key,
    })?;
    let mut changes = Vec::new();
    while changes.len() < limit {
        let Some(row) = rows.next()? else {
            break;
        };
        let last = unsigned(row.get(0)?);
        let first = last + 1 - unsigned(row.get(1)?);
        let run = run_id(row.get(2)?)?;
        let directory: DirectoryId = row
            .get::<_, String>(3)?
            .parse()
            .map_err(|e| unreadable("a directory's id", e))?;
        // A reader may stop in the middle of a row.
        let begin = first.max(since + 1);
        let skip = usize::try_from(begin - first).unwrap_or(usize::MAX);
        let room = limit - changes.len();
        let bodies = bodies(connection, row, skip, room)?;
        let told = usize::try_from(last + 1 - begin).unwrap_or(usize::MAX);
        if bodies.len() != told.min(room) {
            return Err(wrong_row());
        }
        changes.extend((begin..=last).zip(bodies).map(|(seq, body)| ChangeRow {
            seq,
            feed: feed.clone(),
            run: run.clone(),
            directory: directory.clone(),
            body,
        }));
    }
    Ok(changes)
}

/// What changed by a row of the feed, but for the first `skip` changes.
fn bodies(
    connection: &Connection,
    row: &Row<'_>,
    skip: usize,
    limit: usize,
) -> Result<Vec<ChangeBody>, StoreError> {
    const USER: &str = "SELECT external_id FROM user_identity WHERE user_key = ?1 AND directory_key = ?2";
    let kind: i64 = row.get(4)?;
    let operation = match row.get::<_, Option<i64>>(5)? {
        Some(1) => Operation::Create,
        Some(2) => Operation::Update,
        _ => Operation::Delete,
    };
    let reason = reason(row.get(6)?)?;
    Ok(match kind {
        1 => steps(row, skip, limit)?
            .map(|(before, after)| {
                let (before, after) = (before.map(user_row), after.map(user_row));
                Ok(ChangeBody::User {
                    operation,
                    external_id: id(before.as_ref(), after.as_ref(), |user| &user.external_id)?,
                    row: after,
                    before,
                    reason,
                })
            })
            .collect::<Result<_, StoreError>>()?,
        2 => steps(row, skip, limit)?
            .map(|(before, after)| {
                let (before, after) = (before.map(group_row), after.map(group_row));
                Ok(ChangeBody::Group {
                    operation,
                    external_id: id(before.as_ref(), after.as_ref(), |group| &group.external_id)?,
                    row: after,
                    before,
                    reason,
                })
            })
            .collect::<Result<_, StoreError>>()?,
        3 => {
            let group: String = row.get(7)?;
            let directory_key: i64 = row.get(9)?;
            let mut ids = connection.prepare_cached(USER)?;
            let users = key_set::from_column(row, 8)?;
            let mut bodies = Vec::with_capacity(limit.min(4_096));
            for user in users.iter().skip(skip).take(limit) {
                bodies.push(ChangeBody::Membership {
                    operation,
                    group: group.clone(),
                    user: ids
                        .query_row([key_set::key(user), directory_key], |row| row.get(0))
                        .optional()?
                        .ok_or_else(wrong_row)?,
                    reason,
                });
            }
            bodies
        }
        _ => vec![ChangeBody::Applied {
            counts: from_json_column(row)?,
        }],
    })
}

fn user_row(columns: UserColumns<String>) -> UserRow {
    let (external_id, email, username, display_name, given_name, family_name, status) = columns;
    UserRow {
        external_id,
        email,
        username,
        display_name,
        given_name,
        family_name,
        status,
    }
}

fn group_row((external_id, name, description): GroupColumns<String>) -> GroupRow {
    GroupRow {
        external_id,
        name,
        description,
    }
}

fn steps<R: DeserializeOwned>(
    row: &Row<'_>,
    skip: usize,
    limit: usize,
) -> Result<impl Iterator<Item = Step<R>>, StoreError> {
    let all: Vec<_> = from_json_column(row)?;
    Ok(all.into_iter().skip(skip).take(limit))
}

fn from_json_column<T: DeserializeOwned>(row: &Row<'_>) -> Result<T, StoreError> {
    let body = row.get_ref(8)?.as_bytes().map_err(rusqlite::Error::from)?;
    serde_json::from_slice(body).map_err(|source| unreadable("a change", source))
}

/// The id in the row of a change, which has one before or after it.
fn id<R>(before: Option<&R>, after: Option<&R>, id: impl Fn(&R) -> &String) -> Result<String, StoreError> {
    after.or(before).map(id).cloned().ok_or_else(wrong_row)
}

/// A row of the feed that does not hold the changes that it says.
fn wrong_row() -> StoreError {
    damaged("a change")
}
