//! What is kept sealed for a directory: its key pair, its secret settings, and what its plugin keeps.

use idsync_model::{DirectoryId, RunId, TenantName, UnixMillis};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, named_params};

use super::scope::{self, DirectoryScope};
use super::word::{from_word, signed, unsigned, word};
use crate::{Memory, NewKey, Sealed, SealedSecret, SecretOf, SigningKey, SigningKeys, StoreError};

/// Whose value it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// A secret setting.
    Setting,
    /// A secret setting that waits for its verification; without a value, the one in force is to be erased.
    SettingNext,
    /// What the plugin keeps.
    Plugin,
}

impl Origin {
    fn word(self) -> &'static str {
        match self {
            Self::Setting => "setting",
            Self::SettingNext => "setting-next",
            Self::Plugin => "plugin",
        }
    }
}

/// Which of a directory's two keys it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyState {
    /// The one that runs use.
    Current,
    /// The one that waits for its verification.
    Next,
}

impl KeyState {
    fn word(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next => "next",
        }
    }
}

pub(super) fn add_key(
    connection: &Connection,
    scope: DirectoryScope,
    key: &NewKey,
    state: KeyState,
    now: UnixMillis,
) -> Result<(), StoreError> {
    const ADD: &str = "
        INSERT INTO signing_key (
            directory_key, kid, tenant_id, state, algorithm, public_jwk, sealed_private, created_at
        )
        VALUES (:directory_key, :kid, :tenant_id, :state, :algorithm, :public_jwk, :sealed_private, :now)";
    connection.prepare_cached(ADD)?.execute(named_params! {
        ":directory_key": scope.directory_key,
        ":kid": key.kid,
        ":tenant_id": scope.tenant_id,
        ":state": state.word(),
        ":algorithm": word(key.algorithm),
        ":public_jwk": key.public_jwk,
        ":sealed_private": key.sealed_private.0,
        ":now": now.0,
    })?;
    Ok(())
}

pub(super) fn signing_keys(
    connection: &Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
) -> Result<SigningKeys, StoreError> {
    const FIND: &str = "
        SELECT kid, algorithm, public_jwk, sealed_private, created_at, state = 'next'
        FROM signing_key
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key";
    let scope = scope::directory(connection, tenant, directory)?;
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query(named_params! {
        ":tenant_id": scope.tenant_id,
        ":directory_key": scope.directory_key,
    })?;
    let mut keys = SigningKeys::default();
    while let Some(row) = rows.next()? {
        let key = SigningKey {
            kid: row.get(0)?,
            algorithm: from_word("a key's algorithm", row.get(1)?)?,
            public_jwk: row.get(2)?,
            sealed_private: Sealed(row.get(3)?),
            created_at: UnixMillis(row.get(4)?),
        };
        if row.get(5)? {
            keys.next = Some(key);
        } else {
            keys.current = Some(key);
        }
    }
    Ok(keys)
}

/// The id of the key that waits.
pub(super) fn next_key(connection: &Connection, directory_key: i64) -> Result<Option<String>, StoreError> {
    const FIND: &str = "
        SELECT kid
        FROM signing_key
        WHERE directory_key = :directory_key AND state = 'next'";
    let kid = connection
        .prepare_cached(FIND)?
        .query_row(named_params! { ":directory_key": directory_key }, |row| {
            row.get(0)
        })
        .optional()?;
    Ok(kid)
}

/// Erases a key: first by overwriting, so that no page keeps it.
pub(super) fn erase_key(
    connection: &Connection,
    scope: DirectoryScope,
    state: KeyState,
) -> Result<(), StoreError> {
    const STEPS: [&str; 2] = [
        "UPDATE signing_key
         SET sealed_private = zeroblob(length(sealed_private))
         WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND state = :state",
        "DELETE FROM signing_key
         WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND state = :state",
    ];
    for step in STEPS {
        connection.execute(
            step,
            named_params! {
                ":tenant_id": scope.tenant_id,
                ":directory_key": scope.directory_key,
                ":state": state.word(),
            },
        )?;
    }
    Ok(())
}

/// The secret settings that a directory has once what waits is verified.
pub(super) fn secret_names(connection: &Connection, directory_key: i64) -> Result<Vec<String>, StoreError> {
    const NAMES: &str = "
        SELECT name
        FROM vault AS v
        WHERE v.directory_key = :directory_key
          AND (
              v.origin = 'setting-next' AND v.sealed IS NOT NULL
              OR v.origin = 'setting' AND NOT EXISTS (
                  SELECT 1
                  FROM vault AS n
                  WHERE n.directory_key = v.directory_key AND n.origin = 'setting-next' AND n.name = v.name
              )
          )
        ORDER BY name";
    names(connection, NAMES, directory_key)
}

/// The secret settings that wait for a verification, those that are to be erased among them.
pub(super) fn waiting_secrets(
    connection: &Connection,
    directory_key: i64,
) -> Result<Vec<String>, StoreError> {
    const NAMES: &str = "
        SELECT name
        FROM vault
        WHERE directory_key = :directory_key AND origin = 'setting-next'
        ORDER BY name";
    names(connection, NAMES, directory_key)
}

fn names(
    connection: &Connection,
    statement: &'static str,
    directory_key: i64,
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(statement)?;
    let names = statement
        .query_map(named_params! { ":directory_key": directory_key }, |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    Ok(names)
}

/// Sets secrets: to wait for a verification where there was one before, else at once.
pub(super) fn set_secrets(
    connection: &Connection,
    scope: DirectoryScope,
    secrets: &[SealedSecret],
    is_verified: bool,
) -> Result<(), StoreError> {
    const ERASE_NEXT: &str = "
        INSERT INTO vault (directory_key, origin, name, tenant_id, sealed, plain_bytes)
        VALUES (:directory_key, 'setting-next', :name, :tenant_id, NULL, 0)
        ON CONFLICT (directory_key, origin, name) DO UPDATE SET sealed = NULL";
    for secret in secrets {
        let value = secret.value.as_ref();
        if !is_verified {
            put(connection, scope, Origin::Setting, &secret.name, value, 0)?;
        } else if value.is_some() {
            put(connection, scope, Origin::SettingNext, &secret.name, value, 0)?;
        } else {
            connection.prepare_cached(ERASE_NEXT)?.execute(named_params! {
                ":directory_key": scope.directory_key,
                ":name": secret.name,
                ":tenant_id": scope.tenant_id,
            })?;
        }
    }
    Ok(())
}

/// Puts the secrets that wait in force; those that they replace are overwritten. Returns whether there were any.
pub(super) fn promote_secrets(connection: &Connection, scope: DirectoryScope) -> Result<bool, StoreError> {
    const STEPS: [&str; 4] = [
        "UPDATE vault
         SET sealed = zeroblob(length(sealed))
         WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND origin = 'setting'
           AND name IN (
               SELECT n.name
               FROM vault AS n
               WHERE n.directory_key = :directory_key AND n.origin = 'setting-next'
           )",
        "DELETE FROM vault
         WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND origin = 'setting'
           AND name IN (
               SELECT n.name
               FROM vault AS n
               WHERE n.directory_key = :directory_key AND n.origin = 'setting-next'
           )",
        "DELETE FROM vault
         WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND origin = 'setting-next'
           AND sealed IS NULL",
        "UPDATE vault
         SET origin = 'setting'
         WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND origin = 'setting-next'",
    ];
    let mut changed = 0;
    for step in STEPS {
        changed += connection.execute(
            step,
            named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key },
        )?;
    }
    Ok(changed > 0)
}

/// A secret setting.
pub(super) fn secret(
    connection: &Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    name: &str,
    of: SecretOf,
) -> Result<Option<Sealed>, StoreError> {
    const NEXT: &str = "
        SELECT sealed
        FROM vault
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key
          AND origin IN ('setting', 'setting-next') AND name = :name
        ORDER BY origin = 'setting-next' DESC
        LIMIT 1";
    if of == SecretOf::Verified {
        return get(connection, tenant, directory, Origin::Setting, name);
    }
    let scope = scope::directory(connection, tenant, directory)?;
    let found: Option<Option<Vec<u8>>> = connection
        .prepare_cached(NEXT)?
        .query_row(
            named_params! {
                ":tenant_id": scope.tenant_id,
                ":directory_key": scope.directory_key,
                ":name": name,
            },
            |row| row.get(0),
        )
        .optional()?;
    Ok(found.flatten().map(Sealed))
}

pub(super) fn get(
    connection: &Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    origin: Origin,
    name: &str,
) -> Result<Option<Sealed>, StoreError> {
    const FIND: &str = "
        SELECT sealed
        FROM vault
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND origin = :origin AND name = :name";
    let scope = scope::directory(connection, tenant, directory)?;
    let found = connection
        .prepare_cached(FIND)?
        .query_row(
            named_params! {
                ":tenant_id": scope.tenant_id,
                ":directory_key": scope.directory_key,
                ":origin": origin.word(),
                ":name": name,
            },
            |row| row.get(0).map(Sealed),
        )
        .optional()?;
    Ok(found)
}

fn put(
    connection: &Connection,
    scope: DirectoryScope,
    origin: Origin,
    name: &str,
    value: Option<&Sealed>,
    plain_bytes: u64,
) -> Result<(), StoreError> {
    const PUT: &str = "
        INSERT INTO vault (directory_key, origin, name, tenant_id, sealed, plain_bytes)
        VALUES (:directory_key, :origin, :name, :tenant_id, :sealed, :plain_bytes)
        ON CONFLICT (directory_key, origin, name)
        DO UPDATE SET sealed = excluded.sealed, plain_bytes = excluded.plain_bytes";
    const ERASE: &str = "
        DELETE FROM vault
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND origin = :origin AND name = :name";
    match value {
        Some(Sealed(sealed)) => connection.prepare_cached(PUT)?.execute(named_params! {
            ":directory_key": scope.directory_key,
            ":origin": origin.word(),
            ":name": name,
            ":tenant_id": scope.tenant_id,
            ":sealed": sealed,
            ":plain_bytes": signed(plain_bytes),
        })?,
        None => connection.prepare_cached(ERASE)?.execute(named_params! {
            ":tenant_id": scope.tenant_id,
            ":directory_key": scope.directory_key,
            ":origin": origin.word(),
            ":name": name,
        })?,
    };
    Ok(())
}

/// Keeps a value of the plugin's, or erases it, within the limit for all of them. On behalf of a run, only while that
/// one may write.
pub(super) fn remember(
    connection: &mut Connection,
    tenant: &TenantName,
    directory: &DirectoryId,
    run: Option<&RunId>,
    memory: &Memory,
) -> Result<(), StoreError> {
    const USED: &str = "
        SELECT coalesce(sum(octet_length(name) + plain_bytes), 0)
        FROM vault
        WHERE tenant_id = :tenant_id AND directory_key = :directory_key AND origin = 'plugin'";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let scope = scope::directory(&transaction, tenant, directory)?;
    if let Some(run) = run
        && scope::run(&transaction, tenant, run)?.directory_key != scope.directory_key
    {
        return Err(StoreError::UnknownRun { run: run.to_string() });
    }
    let Memory {
        name,
        value,
        plain_bytes,
        limit_bytes,
    } = memory;
    put(
        &transaction,
        scope,
        Origin::Plugin,
        name,
        value.as_ref(),
        *plain_bytes,
    )?;
    let used: i64 = transaction.prepare_cached(USED)?.query_row(
        named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key },
        |row| row.get(0),
    )?;
    if value.is_some() && unsigned(used) > *limit_bytes {
        return Err(StoreError::VaultFull {
            bytes: unsigned(used),
            limit: *limit_bytes,
        });
    }
    transaction.commit()?;
    Ok(())
}

/// Erases all that is sealed for a directory: first by overwriting, so that no page keeps it.
pub(super) fn erase(connection: &Connection, scope: DirectoryScope) -> Result<(), StoreError> {
    const STEPS: [&str; 4] = [
        "UPDATE signing_key
         SET sealed_private = zeroblob(length(sealed_private))
         WHERE tenant_id = :tenant_id AND directory_key = :directory_key",
        "DELETE FROM signing_key
         WHERE tenant_id = :tenant_id AND directory_key = :directory_key",
        "UPDATE vault
         SET sealed = zeroblob(length(sealed))
         WHERE tenant_id = :tenant_id AND directory_key = :directory_key",
        "DELETE FROM vault
         WHERE tenant_id = :tenant_id AND directory_key = :directory_key",
    ];
    for step in STEPS {
        connection.execute(
            step,
            named_params! { ":tenant_id": scope.tenant_id, ":directory_key": scope.directory_key },
        )?;
    }
    Ok(())
}
