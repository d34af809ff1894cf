//! Tenants: added, listed, removed with their history.

use idsync_model::{TenantName, UnixMillis};
use rusqlite::{Connection, ErrorCode, TransactionBehavior, named_params};

use super::scope;
use super::word::{unreadable, unsigned};
use crate::{StoreError, Tenant};

pub(super) fn add(connection: &Connection, name: &TenantName, now: UnixMillis) -> Result<Tenant, StoreError> {
    let added = connection.execute(
        "INSERT INTO tenant (name, created_at) VALUES (:name, :now)",
        named_params! { ":name": name.as_str(), ":now": now.0 },
    );
    match added {
        Ok(_) => Ok(Tenant {
            name: name.clone(),
            created_at: now,
            directories: 0,
        }),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(StoreError::NameTaken {
                name: name.to_string(),
            })
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn list(connection: &Connection) -> Result<Vec<Tenant>, StoreError> {
    const LIST: &str = "
        SELECT
            t.name,
            t.created_at,
            (
                SELECT count(*)
                FROM directory AS d
                WHERE d.tenant_id = t.tenant_id AND d.removed_at IS NULL
            )
        FROM tenant AS t
        ORDER BY t.name";
    let mut statement = connection.prepare(LIST)?;
    let mut rows = statement.query([])?;
    let mut tenants = Vec::new();
    while let Some(row) = rows.next()? {
        tenants.push(Tenant {
            name: row
                .get::<_, String>(0)?
                .parse()
                .map_err(|e| unreadable("a tenant's name", e))?,
            created_at: UnixMillis(row.get(1)?),
            directories: unsigned(row.get(2)?),
        });
    }
    Ok(tenants)
}

/// Every table that holds rows of a tenant, those first that refer to others.
const ERASE: &[&str] = &[
    "DELETE FROM change_block WHERE tenant_id = :tenant_id",
    "DELETE FROM member_list WHERE tenant_id = :tenant_id",
    "DELETE FROM directory_user WHERE tenant_id = :tenant_id",
    "DELETE FROM directory_group WHERE tenant_id = :tenant_id",
    "DELETE FROM user_identity WHERE tenant_id = :tenant_id",
    "DELETE FROM group_identity WHERE tenant_id = :tenant_id",
    "DELETE FROM recent_list_deletion WHERE tenant_id = :tenant_id",
    "DELETE FROM lease WHERE tenant_id = :tenant_id",
    "DELETE FROM held_plan WHERE tenant_id = :tenant_id",
    "DELETE FROM run_skip WHERE tenant_id = :tenant_id",
    "DELETE FROM run WHERE tenant_id = :tenant_id",
    "DELETE FROM vault WHERE tenant_id = :tenant_id",
    "DELETE FROM signing_key WHERE tenant_id = :tenant_id",
    "DELETE FROM directory WHERE tenant_id = :tenant_id",
    "DELETE FROM tenant WHERE tenant_id = :tenant_id",
];

pub(super) fn remove(connection: &mut Connection, name: &TenantName) -> Result<(), StoreError> {
    const COUNT: &str = "
        SELECT count(*)
        FROM directory
        WHERE tenant_id = :tenant_id AND removed_at IS NULL";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tenant_id = scope::tenant_id(&transaction, name)?;
    let directories: i64 =
        transaction.query_row(COUNT, named_params! { ":tenant_id": tenant_id }, |row| row.get(0))?;
    if directories > 0 {
        return Err(StoreError::TenantNotEmpty {
            tenant: name.clone(),
            directories: unsigned(directories),
        });
    }
    for statement in ERASE {
        transaction.execute(statement, named_params! { ":tenant_id": tenant_id })?;
    }
    transaction.commit()?;
    Ok(())
}
