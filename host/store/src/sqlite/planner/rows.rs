//! Looks at plans that were made: their rows as people know them, and whether one deletes more than another.

use std::collections::BTreeMap;
use std::path::Path;

use idsync_model::{DeleteReason, Entity, ExternalId, Operation};
use roaring::RoaringTreemap;
use rusqlite::{Connection, named_params};

use super::super::connection::{attach, open_run_file};
use super::super::word::{operation_number, reason, signed, unreadable};
use super::super::{key_set, run_file};
use crate::{PlannedRow, StoreError};

/// Rows of a plan with the names that people know them by.
pub(in super::super) fn rows(
    run_file: &Path,
    store: &Path,
    kind: Entity,
    operation: Operation,
    limit: u64,
) -> Result<Vec<PlannedRow>, StoreError> {
    let connection = open_run_file(run_file)?;
    connection.pragma_update(None, "query_only", true)?;
    if !has_plan(&connection)? {
        return Ok(Vec::new());
    }
    attach(&connection, store, 4_096)?;
    let statement = match kind {
        Entity::User => include_str!("../sql/plan/rows_users.sql"),
        Entity::Group => include_str!("../sql/plan/rows_groups.sql"),
        Entity::Membership => return memberships(&connection, operation, limit),
    };
    entities(&connection, statement, kind, operation, limit)
}

/// Whether the file has a plan, and one of this version. An earlier one is stale.
fn has_plan(run_file: &Connection) -> Result<bool, StoreError> {
    const HAS: &str = "SELECT EXISTS (SELECT 1 FROM main.plan_head)";
    Ok(run_file::is_of_this_version(run_file)?
        && run_file.prepare_cached(HAS)?.query_row([], |row| row.get(0))?)
}

fn id(text: String) -> Result<ExternalId, StoreError> {
    ExternalId::new(text).map_err(|e| unreadable("an external id", e))
}

fn entities(
    run_file: &Connection,
    statement: &str,
    kind: Entity,
    operation: Operation,
    limit: u64,
) -> Result<Vec<PlannedRow>, StoreError> {
    let mut statement = run_file.prepare_cached(statement)?;
    let mut found = statement.query(named_params! {
        ":operation": operation_number(operation),
        ":limit": signed(limit),
    })?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push(PlannedRow {
            kind,
            operation,
            external_id: id(row.get(0)?)?,
            member: None,
            label: row.get(1)?,
            reason: reason(row.get(2)?)?,
        });
    }
    Ok(rows)
}

/// By group, and then by user, in the order of the store's keys.
fn memberships(
    run_file: &Connection,
    operation: Operation,
    limit: u64,
) -> Result<Vec<PlannedRow>, StoreError> {
    const LISTS: &str = "
        SELECT
            CASE :operation WHEN 1 THEN l.created WHEN 3 THEN l.deleted END,
            coalesce(i.external_id, n.external_id),
            g.reason
        FROM plan_head AS h
        CROSS JOIN plan_member_list AS l
        LEFT JOIN group_identity AS i ON i.group_key = l.group_key
        LEFT JOIN plan_new_group AS n ON n.n = l.group_key - h.group_key_base
        LEFT JOIN plan_group AS g ON g.group_key = l.group_key AND g.operation = 3
        ORDER BY l.group_key";
    const USER: &str = "
        SELECT coalesce(i.external_id, n.external_id), iif(p.operation = 3, p.reason, NULL)
        FROM (SELECT :user_key AS user_key) AS k
        LEFT JOIN plan_user AS p ON p.user_key = k.user_key
        LEFT JOIN user_identity AS i ON i.user_key = k.user_key
        LEFT JOIN staged_person AS n ON n.person_no = p.person_no";
    let mut lists = run_file.prepare_cached(LISTS)?;
    let mut lists = lists.query(named_params! { ":operation": operation_number(operation) })?;
    let mut user = run_file.prepare_cached(USER)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut rows = Vec::new();
    while rows.len() < limit {
        let Some(list) = lists.next()? else {
            break;
        };
        let group = id(list.get(1)?)?;
        let of_group = reason(list.get(2)?)?;
        for member in key_set::from_column(list, 0)?.iter().take(limit - rows.len()) {
            let (member, of_user): (String, Option<String>) = user
                .query_row(named_params! { ":user_key": key_set::key(member) }, |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let why = of_group.or(reason(of_user)?).unwrap_or(DeleteReason::Absent);
            rows.push(PlannedRow {
                kind: Entity::Membership,
                operation,
                external_id: group.clone(),
                member: Some(id(member)?),
                label: None,
                reason: (operation == Operation::Delete).then_some(why),
            });
        }
    }
    Ok(rows)
}

/// Whether a plan deletes something that an older one does not, or that can't be known because the older is of an earlier
/// version. Rows that are stored have the same keys in both.
pub(in super::super) fn deletes_more(plan: &Path, older: &Path) -> Result<bool, StoreError> {
    const LISTS: &str = "
        SELECT p.deleted, o.deleted
        FROM main.plan_member_list AS p
        LEFT JOIN beside.plan_member_list AS o ON o.group_key = p.group_key
        WHERE p.deleted_count > 0";
    if !has_plan(&open_run_file(older)?)? {
        return Ok(true);
    }
    let plan = open_run_file(plan)?;
    attach(&plan, older, 4_096)?;
    if plan.query_row(include_str!("../sql/plan/deletes_more.sql"), [], |row| row.get(0))? {
        return Ok(true);
    }
    let mut lists = plan.prepare(LISTS)?;
    let mut lists = lists.query([])?;
    while let Some(list) = lists.next()? {
        if !key_set::from_column(list, 0)?.is_subset(&key_set::from_column(list, 1)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The users whom the plan deletes, by reason.
pub(in super::super) fn users_who_go(
    transaction: &Connection,
) -> Result<BTreeMap<String, RoaringTreemap>, StoreError> {
    const GOING: &str = "
        SELECT reason, user_key
        FROM plan_user
        WHERE operation = 3";
    let mut going = transaction.prepare_cached(GOING)?;
    let mut going = going.query([])?;
    let mut by_reason = BTreeMap::<String, RoaringTreemap>::new();
    while let Some(row) = going.next()? {
        by_reason
            .entry(row.get(0)?)
            .or_default()
            .insert(key_set::member(row.get(1)?));
    }
    Ok(by_reason)
}
