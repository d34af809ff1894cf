//! What the directory knows of users when they are put. It is looked up while others are still read, so that a plan need
//! not look all of them up when it is waited for. It holds as long as the directory's generation does.

use idsync_model::User;
use rusqlite::{Connection, OptionalExtension as _};

use crate::StoreError;

/// One user who was put, beside what the directory knows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// The key, where the directory has ever seen the user.
    pub(super) user_key: Option<i64>,
    /// Whether readers see the user.
    pub(super) was_live: bool,
    /// Whether what they see is another row.
    pub(super) differs: bool,
}

/// Looks up the users of one directory.
pub(super) struct Directory {
    key: i64,
    /// Before its first sync a directory knows nobody, and nobody is looked up.
    knows_anybody: bool,
}

impl Directory {
    pub(super) fn of(store: &Connection, key: i64) -> Result<Self, StoreError> {
        const KNOWS_ANYBODY: &str = "SELECT EXISTS (SELECT 1 FROM user_identity WHERE directory_key = ?1)";
        Ok(Self {
            key,
            knows_anybody: store
                .prepare_cached(KNOWS_ANYBODY)?
                .query_row([key], |row| row.get(0))?,
        })
    }

    /// The standing of each of them, in their order.
    pub(super) fn look_up(&self, store: &Connection, users: &[User]) -> Result<Vec<Standing>, StoreError> {
        const FIND: &str = "
            SELECT
                i.user_key,
                u.user_key IS NOT NULL,
                (u.email, u.username, u.display_name, u.given_name, u.family_name, u.status)
                    IS NOT (?3, ?4, ?5, ?6, ?7, ?8)
            FROM user_identity AS i
            LEFT JOIN directory_user AS u ON u.user_key = i.user_key AND u.deleted_at IS NULL
            WHERE i.directory_key = ?1 AND i.external_id = ?2";
        if !self.knows_anybody {
            return Ok(vec![Standing::default(); users.len()]);
        }
        // One look at the store for all of them: each one's own would take and give back its locks.
        let transaction = store.unchecked_transaction()?;
        let mut find = transaction.prepare_cached(FIND)?;
        let standings = users.iter().map(|user| {
            let found = find.query_row(
                (
                    self.key,
                    user.external_id.as_str(),
                    &user.email,
                    &user.username,
                    &user.display_name,
                    &user.given_name,
                    &user.family_name,
                    &user.provider_status,
                ),
                |row| {
                    Ok(Standing {
                        user_key: row.get(0)?,
                        was_live: row.get(1)?,
                        differs: row.get(2)?,
                    })
                },
            );
            Ok(found.optional()?.unwrap_or_default())
        });
        standings.collect()
    }
}
