//! Directories: added, found, changed. Their removal is a run of its own, in `removal`.

use idsync_model::{
    DirectoryId, DirectoryState, DisabledReason, ErrorKind, Failure, RunId, Settings, StoredCounts,
    TenantName, UnixMillis,
};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, named_params,
};

use super::word::{from_json, from_word, json, unreadable, unsigned, word};
use super::{runs, scope, vault};
use crate::{Directory, NewDirectory, SealedSecret, StoreError, Verified};

pub(super) fn add(
    connection: &mut Connection,
    tenant: &TenantName,
    new: &NewDirectory,
) -> Result<Directory, StoreError> {
    const ADD: &str = "
        INSERT INTO directory (tenant_id, id, provider, name, state, settings, created_at)
        VALUES (:tenant_id, :id, :provider, :name, :state, :settings, :created_at)";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tenant_id = scope::tenant_id(&transaction, tenant)?;
    let added = transaction.execute(
        ADD,
        named_params! {
            ":tenant_id": tenant_id,
            ":id": new.id.as_str(),
            ":provider": new.provider,
            ":name": new.name,
            ":state": word(DirectoryState::Draft),
            ":settings": json(&new.settings),
            ":created_at": new.created_at.0,
        },
    );
    match added {
        Ok(_) => {}
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            return Err(StoreError::NameTaken {
                name: new.name.clone(),
            });
        }
        Err(error) => return Err(error.into()),
    }
    let scope = scope::directory(&transaction, tenant, &new.id)?;
    vault::set_secrets(&transaction, scope, &new.secrets, false)?;
    if let Some(key) = &new.key {
        vault::add_key(&transaction, scope, key, vault::KeyState::Current, new.created_at)?;
    }
    let directory = find(&transaction, tenant, new.id.as_str())?;
    transaction.commit()?;
    Ok(directory)
}

pub(super) fn list(connection: &Connection, tenant: &TenantName) -> Result<Vec<Directory>, StoreError> {
    const LIST: &str = "
        SELECT
            id, provider, name, state, disabled_reason, settings, verified_settings, verified_fingerprint,
            verified_plugin_version, verified_org, verified_at, held_since, last_full_at,
            full_mark > full_mark_done, generation, users, groups, memberships, created_at, directory_key,
            last_full_plugin_version, settings_mark, verified_scope, verified_kid
        FROM directory
        WHERE tenant_id = :tenant_id AND removed_at IS NULL
        ORDER BY name";
    let tenant_id = scope::tenant_id(connection, tenant)?;
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query(named_params! { ":tenant_id": tenant_id })?;
    let mut directories = Vec::new();
    while let Some(row) = rows.next()? {
        directories.push(from_row(connection, tenant, row)?);
    }
    Ok(directories)
}

pub(super) fn find(
    connection: &Connection,
    tenant: &TenantName,
    id_or_name: &str,
) -> Result<Directory, StoreError> {
    const FIND: &str = "
        SELECT
            id, provider, name, state, disabled_reason, settings, verified_settings, verified_fingerprint,
            verified_plugin_version, verified_org, verified_at, held_since, last_full_at,
            full_mark > full_mark_done, generation, users, groups, memberships, created_at, directory_key,
            last_full_plugin_version, settings_mark, verified_scope, verified_kid
        FROM directory
        WHERE tenant_id = :tenant_id AND removed_at IS NULL AND (id = :id_or_name OR name = :id_or_name)
        ORDER BY id = :id_or_name DESC
        LIMIT 1";
    let tenant_id = scope::tenant_id(connection, tenant)?;
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query(named_params! { ":tenant_id": tenant_id, ":id_or_name": id_or_name })?;
    match rows.next()? {
        Some(row) => from_row(connection, tenant, row),
        None => Err(StoreError::UnknownDirectory {
            id_or_name: id_or_name.to_owned(),
        }),
    }
}

fn from_row(connection: &Connection, tenant: &TenantName, row: &Row<'_>) -> Result<Directory, StoreError> {
    let directory_key: i64 = row.get(19)?;
    let verified = match (
        row.get::<_, Option<String>>(6)?,
        row.get::<_, Option<String>>(7)?,
        row.get::<_, Option<String>>(8)?,
        row.get::<_, Option<i64>>(10)?,
    ) {
        (Some(settings), Some(fingerprint), Some(plugin_version), Some(at)) => Some(Verified {
            settings: from_json("verified settings", &settings)?,
            fingerprint,
            plugin_version,
            org_id: row.get(9)?,
            scope: from_json("a verified scope", &row.get::<_, String>(22)?)?,
            kid: row.get(23)?,
            at: UnixMillis(at),
        }),
        _ => None,
    };
    Ok(Directory {
        id: row
            .get::<_, String>(0)?
            .parse()
            .map_err(|e| unreadable("a directory's id", e))?,
        tenant: tenant.clone(),
        provider: row.get(1)?,
        name: row.get(2)?,
        state: from_word("a directory's state", row.get(3)?)?,
        disabled_reason: row
            .get::<_, Option<String>>(4)?
            .map(|text| from_json("why a directory is disabled", &text))
            .transpose()?,
        settings: from_json("settings", &row.get::<_, String>(5)?)?,
        settings_mark: unsigned(row.get(21)?),
        secret_names: vault::secret_names(connection, directory_key)?,
        waiting_secrets: vault::waiting_secrets(connection, directory_key)?,
        next_key: vault::next_key(connection, directory_key)?,
        verified,
        last_run: runs::newest(connection, directory_key)?,
        held_since: row.get::<_, Option<i64>>(11)?.map(UnixMillis),
        last_full_at: row.get::<_, Option<i64>>(12)?.map(UnixMillis),
        last_full_plugin_version: row.get(20)?,
        full_run_due: row.get(13)?,
        generation: unsigned(row.get(14)?),
        counts: StoredCounts {
            users: unsigned(row.get(15)?),
            groups: unsigned(row.get(16)?),
            memberships: unsigned(row.get(17)?),
        },
        created_at: UnixMillis(row.get(18)?),
    })
}

/// Changes one directory in one transaction, and reads it again.
fn change(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    work: impl FnOnce(&Transaction<'_>, scope::DirectoryScope) -> Result<(), StoreError>,
) -> Result<Directory, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::directory(&transaction, tenant, directory)?;
    work(&transaction, scope)?;
    let changed = find(&transaction, tenant, directory.as_str())?;
    transaction.commit()?;
    Ok(changed)
}

pub(super) fn set_settings(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    expected: &Settings,
    settings: &Settings,
    secrets: &[SealedSecret],
) -> Result<Directory, StoreError> {
    const SET: &str = "
        UPDATE directory
        SET settings = :settings, full_mark = full_mark + 1, settings_mark = settings_mark + 1
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND settings = :expected
        RETURNING verified_at IS NOT NULL";
    change(connection, tenant, directory, |transaction, scope| {
        let is_verified = transaction
            .query_row(
                SET,
                named_params! {
                    ":tenant_id": scope.tenant_id,
                    ":directory_key": scope.directory_key,
                    ":settings": json(settings),
                    ":expected": json(expected),
                },
                |row| row.get(0),
            )
            .optional()?
            .ok_or(StoreError::SettingsChanged)?;
        vault::set_secrets(transaction, scope, secrets, is_verified)
    })
}

/// Why a run in progress ends when its directory is disabled.
fn disabling() -> Failure {
    Failure::new(
        ErrorKind::Cancelled,
        "disabling",
        "the directory was disabled before the run ended",
        "Nothing was changed. Sync it by hand, or enable it.",
    )
}

/// Sets the state. Returns besides the runs that disabling ended, whose files can go.
pub(super) fn set_state(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    state: DirectoryState,
    reason: Option<&DisabledReason>,
    now: UnixMillis,
) -> Result<(Directory, Vec<RunId>), StoreError> {
    const SET: &str = "
        UPDATE directory
        SET state = :state, disabled_reason = :reason, generation = generation + :raise
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    let mut ended = Vec::new();
    let directory = change(connection, tenant, directory, |transaction, scope| {
        transaction.execute(
            SET,
            named_params! {
                ":tenant_id": scope.tenant_id,
                ":directory_key": scope.directory_key,
                ":state": word(state),
                ":reason": reason.map(json),
                ":raise": i64::from(state == DirectoryState::Disabled),
            },
        )?;
        if state == DirectoryState::Disabled {
            ended = runs::end_unended(transaction, scope, now, &disabling())?;
        }
        Ok(())
    })?;
    Ok((directory, ended))
}
