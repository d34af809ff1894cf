//! Reads what readers see: an export from one moment, and what is known of single groups.

use idsync_model::{DirectoryId, ExternalId, FeedCursor, MembersVersion, TenantName, UnixMillis};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::word::unsigned;
use super::{feed, key_set, scope};
use crate::{ExportRow, ExportSink, GroupRead, GroupRow, MembershipRow, StoreError, UserRow};

/// Hands over all rows of a directory, then the number of the tenant's last change.
pub(super) fn export(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    mut sink: ExportSink,
) -> Result<u64, StoreError> {
    const USERS: &str = "
        SELECT
            i.external_id, u.email, u.username, u.display_name, u.given_name, u.family_name, u.status, i.user_key
        FROM user_identity AS i
        CROSS JOIN directory_user AS u ON u.user_key = i.user_key
        WHERE i.directory_key = :directory_key AND u.tenant_id = :tenant_id AND u.deleted_at IS NULL
        ORDER BY i.external_id";
    const GROUPS: &str = "
        SELECT i.external_id, g.name, g.description, i.group_key
        FROM group_identity AS i
        CROSS JOIN directory_group AS g ON g.group_key = i.group_key
        WHERE i.directory_key = :directory_key AND g.tenant_id = :tenant_id AND g.deleted_at IS NULL
        ORDER BY i.external_id";
    let transaction = connection.transaction()?;
    let scope = scope::directory(&transaction, tenant, directory)?;
    let keys = named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key };

    let mut users = transaction.prepare_cached(USERS)?;
    let mut rows = users.query(keys)?;
    let mut order = Vec::new();
    while let Some(row) = rows.next()? {
        order.push(row.get(7)?);
        sink(ExportRow::User(UserRow {
            external_id: row.get(0)?,
            email: row.get(1)?,
            username: row.get(2)?,
            display_name: row.get(3)?,
            given_name: row.get(4)?,
            family_name: row.get(5)?,
            status: row.get(6)?,
        }))
        .map_err(StoreError::Sink)?;
    }
    let mut groups = transaction.prepare_cached(GROUPS)?;
    let mut rows = groups.query(keys)?;
    let mut group_keys = Vec::new();
    while let Some(row) = rows.next()? {
        group_keys.push(row.get(3)?);
        sink(ExportRow::Group(GroupRow {
            external_id: row.get(0)?,
            name: row.get(1)?,
            description: row.get(2)?,
        }))
        .map_err(StoreError::Sink)?;
    }
    export_memberships(&transaction, &order, &group_keys, &mut sink)?;
    let (feed, seq) = feed::position(&transaction, scope.tenant_id)?;
    let cursor = FeedCursor::of(feed.clone(), seq);
    sink(ExportRow::End { seq, feed, cursor }).map_err(StoreError::Sink)?;
    Ok(seq)
}

/// Hands over the memberships of `groups`, in this order, each group's in the order of `users`, which are all whom
/// readers see.
fn export_memberships(
    transaction: &Connection,
    users: &[i64],
    groups: &[i64],
    sink: &mut ExportSink,
) -> Result<(), StoreError> {
    const LIST: &str = "
        SELECT i.external_id, l.users
        FROM member_list AS l
        JOIN group_identity AS i ON i.group_key = l.group_key
        WHERE l.group_key = ?1";
    const USER: &str = "SELECT external_id FROM user_identity WHERE user_key = ?1";
    let mut places: Vec<(i64, usize)> = users.iter().copied().zip(0..).collect();
    places.sort_unstable();
    let mut lists = transaction.prepare_cached(LIST)?;
    let mut ids = transaction.prepare_cached(USER)?;
    for group in groups {
        let mut found = lists.query([group])?;
        let Some(list) = found.next()? else {
            continue;
        };
        let id: String = list.get(0)?;
        let mut members: Vec<usize> = key_set::from_column(list, 1)?
            .iter()
            .filter_map(|user| {
                let place = places.binary_search_by_key(&key_set::key(user), |(key, _)| *key);
                Some(places[place.ok()?].1)
            })
            .collect();
        members.sort_unstable();
        for place in members {
            sink(ExportRow::Membership(MembershipRow {
                group: id.clone(),
                user: ids.query_row([users[place]], |row| row.get(0))?,
            }))
            .map_err(StoreError::Sink)?;
        }
    }
    Ok(())
}

/// What is stored of groups that readers see.
pub(super) fn group_reads(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    groups: &[ExternalId],
) -> Result<Vec<Option<GroupRead>>, StoreError> {
    const FIND: &str = "
        SELECT
            g.changed_at,
            g.tag,
            g.read_at,
            EXISTS (SELECT 1 FROM member_list AS l WHERE l.group_key = g.group_key)
        FROM group_identity AS i
        JOIN directory_group AS g ON g.group_key = i.group_key
        WHERE i.directory_key = :directory_key AND i.external_id = :external_id
          AND g.tenant_id = :tenant_id AND g.deleted_at IS NULL";
    let transaction = connection.transaction()?;
    let scope = scope::directory(&transaction, tenant, directory)?;
    let mut statement = transaction.prepare_cached(FIND)?;
    let mut reads = Vec::with_capacity(groups.len());
    for group in groups {
        let read = statement
            .query_row(
                named_params! {
                    ":tenant_id": scope.tenant_id,
                    ":directory_key": scope.directory_key,
                    ":external_id": group.as_str(),
                },
                |row| {
                    let changed_at: Option<i64> = row.get(0)?;
                    let tag: Option<String> = row.get(1)?;
                    Ok(GroupRead {
                        version: changed_at
                            .map(|at| MembersVersion::ChangedAt(unsigned(at)))
                            .or_else(|| tag.map(MembersVersion::Tag)),
                        read_at: row.get::<_, Option<i64>>(2)?.map(UnixMillis),
                        has_members: row.get(3)?,
                    })
                },
            )
            .optional()?;
        reads.push(read);
    }
    Ok(reads)
}
