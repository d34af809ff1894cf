//! A directory's second key, and what a verification puts in force: that key, and the secrets that wait.

use idsync_model::{DirectoryId, TenantName, UnixMillis};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, named_params};

use super::connection::empty_journal;
use super::scope::{self, DirectoryScope};
use super::word::{from_json, json};
use super::{directories, vault};
use crate::{Directory, NewKey, StoreError, Verified};

/// Adds the second key.
pub(super) fn add_next_key(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    key: &NewKey,
    now: UnixMillis,
) -> Result<Directory, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::directory(&transaction, tenant, directory)?;
    if let Some(kid) = vault::next_key(&transaction, scope.directory_key)? {
        return Err(StoreError::NextKeyWaits { kid });
    }
    vault::add_key(&transaction, scope, key, vault::KeyState::Next, now)?;
    raise_mark(&transaction, scope)?;
    let changed = directories::find(&transaction, tenant, directory.as_str())?;
    transaction.commit()?;
    Ok(changed)
}

/// Erases the second key.
pub(super) fn drop_next_key(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
) -> Result<Directory, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::directory(&transaction, tenant, directory)?;
    if vault::next_key(&transaction, scope.directory_key)?.is_none() {
        return Err(StoreError::NoNextKey);
    }
    vault::erase_key(&transaction, scope, vault::KeyState::Next)?;
    raise_mark(&transaction, scope)?;
    let changed = directories::find(&transaction, tenant, directory.as_str())?;
    transaction.commit()?;
    empty_journal(connection);
    Ok(changed)
}

/// A verification in progress was of other keys, and counts no more.
fn raise_mark(transaction: &Transaction<'_>, scope: DirectoryScope) -> Result<(), StoreError> {
    const RAISE: &str = "
        UPDATE directory
        SET settings_mark = settings_mark + 1
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    transaction.execute(
        RAISE,
        named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key },
    )?;
    Ok(())
}

/// Records a verification, and puts in force what it was of.
pub(super) fn record_verification(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    verified: &Verified,
    settings_mark: u64,
) -> Result<Directory, StoreError> {
    const RECORD: &str = "
        UPDATE directory
        SET
            full_mark = full_mark
                + ((verified_fingerprint, verified_plugin_version, verified_org)
                    IS NOT (:fingerprint, :plugin_version, :org)),
            generation = generation
                + ((verified_settings, verified_org) IS NOT (:settings, :org)),
            verified_settings = :settings,
            verified_fingerprint = :fingerprint,
            verified_plugin_version = :plugin_version,
            verified_org = :org,
            verified_scope = :scope,
            verified_kid = :kid,
            hosts = :hosts,
            verified_at = :at,
            failing = NULL,
            failing_mark = failing_mark + 1,
            next_try_at = NULL
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::directory(&transaction, tenant, directory)?;
    let before = directories::find(&transaction, tenant, directory.as_str())?;
    if before.settings_mark != settings_mark {
        return Err(StoreError::SettingsChanged);
    }
    refuse_same_scope(&transaction, scope, verified)?;
    let mut has_erased = vault::promote_secrets(&transaction, scope)?;
    if let Some(kid) = &verified.kid {
        has_erased |= promote_key(&transaction, scope, kid)?;
    }
    transaction.execute(
        RECORD,
        named_params! {
            ":tenant_id": scope.tenant_id,
            ":directory_key": scope.directory_key,
            ":settings": json(&verified.settings),
            ":fingerprint": verified.fingerprint,
            ":plugin_version": verified.plugin_version,
            ":org": verified.org_id,
            ":scope": json(&verified.scope),
            ":kid": verified.kid,
            ":hosts": verified.hosts.as_ref().map(json),
            ":at": verified.at.0,
        },
    )?;
    let changed = directories::find(&transaction, tenant, directory.as_str())?;
    transaction.commit()?;
    if has_erased {
        empty_journal(connection);
    }
    Ok(changed)
}

/// The key that signed is the one that runs use from now on. Returns whether another one was erased for it.
fn promote_key(transaction: &Transaction<'_>, scope: DirectoryScope, kid: &str) -> Result<bool, StoreError> {
    const STATE: &str = "
        SELECT state = 'next'
        FROM signing_key
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND kid = :kid";
    const PROMOTE: &str = "
        UPDATE signing_key
        SET state = 'current'
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND kid = :kid";
    let key = named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":kid": kid,
    };
    let is_next = transaction
        .query_row(STATE, key, |row| row.get(0))
        .optional()?
        // It was dropped since the verification began.
        .ok_or(StoreError::SettingsChanged)?;
    if is_next {
        vault::erase_key(transaction, scope, vault::KeyState::Current)?;
        transaction.execute(PROMOTE, key)?;
    }
    Ok(is_next)
}

/// Two directories of a tenant may not sync the same part of the same org (RUNS §7.3). No part means all of the org. What
/// was verified before parts were kept is known again with its next verification.
fn refuse_same_scope(
    transaction: &Transaction<'_>,
    scope: DirectoryScope,
    verified: &Verified,
) -> Result<(), StoreError> {
    const OTHERS: &str = "
        SELECT other.name, other.verified_scope
        FROM directory AS this
        JOIN directory AS other ON other.tenant_id = this.tenant_id AND other.provider = this.provider
        WHERE this.directory_key = :directory_key AND other.directory_key <> :directory_key
          AND other.tenant_id = :tenant_id AND other.removed_at IS NULL AND other.verified_org = :org
          AND other.verified_scope IS NOT NULL
        ORDER BY other.name";
    let mut statement = transaction.prepare_cached(OTHERS)?;
    let mut rows = statement.query(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
        ":org": verified.org_id,
    })?;
    while let Some(row) = rows.next()? {
        let theirs: Vec<String> = from_json("a verified scope", &row.get::<_, String>(1)?)?;
        let is_all = theirs.is_empty() || verified.scope.is_empty();
        if is_all || theirs.iter().any(|part| verified.scope.contains(part)) {
            return Err(StoreError::SameScope {
                directory: row.get(0)?,
            });
        }
    }
    Ok(())
}
