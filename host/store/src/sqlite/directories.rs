//! Directories: added, found, changed. Their removal is a run of its own, in `removal`.

use idsync_model::{
    DirectoryId, DirectoryState, DisabledReason, ErrorKind, Failure, RunId, Settings, StoredCounts,
    TenantName, UnixMillis,
};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, named_params,
};

use super::word::{from_json, from_word, json, moment, unreadable, unsigned, word};
use super::{leases, runs, schedules, scope, vault};
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

/// The statement that shows directories, with what follows the joins: which of them, and in which order.
macro_rules! select_directories {
    ($which:literal) => {
        concat!(
            "
            SELECT
                d.directory_key, d.id, d.provider, d.name, d.state, d.disabled_reason, d.settings,
                d.verified_settings, d.verified_fingerprint, d.verified_plugin_version, d.verified_org, d.verified_at,
                d.held_since, d.last_full_at, d.last_full_plugin_version, d.last_full_contract,
                d.full_mark > d.full_mark_done AS full_run_due, d.generation, d.users, d.groups, d.memberships,
                d.every_ms, d.last_began_at, d.next_try_at, d.not_before, d.not_before_reason, d.is_due, d.failing,
                d.limits, d.created_at, d.settings_mark, d.verified_scope, d.verified_kid, d.hosts, d.last_success_at,
                r.id AS lease_run, l.owner AS lease_owner, l.fence AS lease_fence, l.beat AS lease_beat
            FROM directory AS d
            LEFT JOIN lease AS l ON l.directory_key = d.directory_key
            LEFT JOIN run AS r ON r.run_key = l.run_key
            ",
            $which
        )
    };
}

pub(super) fn list(connection: &Connection, tenant: &TenantName) -> Result<Vec<Directory>, StoreError> {
    const LIST: &str = select_directories!(
        "WHERE d.tenant_id = :tenant_id AND d.removed_at IS NULL
        ORDER BY d.name"
    );
    let tenant_id = scope::tenant_id(connection, tenant)?;
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query(named_params! { ":tenant_id": tenant_id })?;
    let mut directories = Vec::new();
    while let Some(row) = rows.next()? {
        directories.push(from_row(connection, tenant, row)?);
    }
    Ok(directories)
}

/// Finds a directory by its id or its name. With an OR of both SQLite would look at every directory of the tenant.
pub(super) const FIND: &str = select_directories!(
    "WHERE d.directory_key = coalesce(
        (
            SELECT i.directory_key
            FROM directory AS i
            WHERE i.id = :id_or_name AND i.tenant_id = :tenant_id AND i.removed_at IS NULL
        ),
        (
            SELECT n.directory_key
            FROM directory AS n
            WHERE n.tenant_id = :tenant_id AND n.name = :id_or_name AND n.removed_at IS NULL
        )
    )"
);

pub(super) fn find(
    connection: &Connection,
    tenant: &TenantName,
    id_or_name: &str,
) -> Result<Directory, StoreError> {
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
    let directory_key: i64 = row.get("directory_key")?;
    let text = |column| row.get::<_, Option<String>>(column);
    let verified = match (
        text("verified_settings")?,
        text("verified_fingerprint")?,
        text("verified_plugin_version")?,
        moment(row, "verified_at")?,
    ) {
        (Some(settings), Some(fingerprint), Some(plugin_version), Some(at)) => Some(Verified {
            settings: from_json("verified settings", &settings)?,
            fingerprint,
            plugin_version,
            org_id: text("verified_org")?,
            scope: text("verified_scope")?
                .map(|text| from_json("a verified scope", &text))
                .transpose()?
                .unwrap_or_default(),
            kid: text("verified_kid")?,
            hosts: schedules::hosts(row)?,
            at,
        }),
        _ => None,
    };
    Ok(Directory {
        id: row
            .get::<_, String>("id")?
            .parse()
            .map_err(|e| unreadable("a directory's id", e))?,
        tenant: tenant.clone(),
        provider: row.get("provider")?,
        name: row.get("name")?,
        state: from_word("a directory's state", row.get("state")?)?,
        disabled_reason: text("disabled_reason")?
            .map(|text| from_json("why a directory is disabled", &text))
            .transpose()?,
        settings: from_json("settings", &row.get::<_, String>("settings")?)?,
        settings_mark: unsigned(row.get("settings_mark")?),
        secret_names: vault::secret_names(connection, directory_key)?,
        waiting_secrets: vault::waiting_secrets(connection, directory_key)?,
        next_key: vault::next_key(connection, directory_key)?,
        verified,
        last_run: runs::newest(connection, directory_key)?,
        last_success_at: moment(row, "last_success_at")?,
        held_since: moment(row, "held_since")?,
        last_full_at: moment(row, "last_full_at")?,
        last_full_plugin_version: text("last_full_plugin_version")?,
        last_full_contract: text("last_full_contract")?,
        full_run_due: row.get("full_run_due")?,
        generation: unsigned(row.get("generation")?),
        limits: schedules::limits(row)?,
        times: schedules::times(row)?,
        failing: schedules::failing(row)?,
        lease: leases::from_row(row)?,
        counts: StoredCounts {
            users: unsigned(row.get("users")?),
            groups: unsigned(row.get("groups")?),
            memberships: unsigned(row.get("memberships")?),
        },
        created_at: UnixMillis(row.get("created_at")?),
    })
}

/// Changes one directory in one transaction, and reads it again.
pub(super) fn change(
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
        SET state = :state, disabled_reason = :reason
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
            },
        )?;
        match state {
            DirectoryState::Disabled => {
                leases::fence_off(transaction, scope)?;
                ended = runs::end_unended(transaction, scope, now, &disabling())?;
            }
            DirectoryState::Active => schedules::at_enabling(transaction, scope)?,
            DirectoryState::Draft => {}
        }
        Ok(())
    })?;
    Ok((directory, ended))
}
