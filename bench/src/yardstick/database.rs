//! Tables of users, groups and memberships; one thread writes them, in one transaction, by prepared statements.

use std::path::Path;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use rusqlite::Connection;
use tokio::sync::mpsc;

/// How many batches may wait for the writer.
const QUEUE: usize = 64;

const TABLES: &str = "
    CREATE TABLE user (
        external_id  TEXT PRIMARY KEY,
        email        TEXT,
        username     TEXT,
        display_name TEXT,
        given_name   TEXT,
        family_name  TEXT,
        status       TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE directory_group (
        external_id TEXT PRIMARY KEY,
        name        TEXT NOT NULL,
        description TEXT
    ) WITHOUT ROWID;
    CREATE TABLE membership (
        group_id TEXT NOT NULL,
        user_id  TEXT NOT NULL,
        PRIMARY KEY (group_id, user_id)
    ) WITHOUT ROWID;";

pub struct UserRow {
    pub external_id: String,
    pub email: Option<String>,
    pub username: Option<String>,
    pub display_name: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub status: String,
}

pub struct GroupRow {
    pub external_id: String,
    pub name: String,
    pub description: Option<String>,
}

enum Batch {
    Users(Vec<UserRow>),
    Groups(Vec<GroupRow>),
    Members(String, Vec<String>),
}

/// The database, being filled.
pub struct Database {
    rows: Rows,
    writer: JoinHandle<Result<()>>,
}

/// Where rows are put.
#[derive(Clone)]
pub struct Rows(mpsc::Sender<Batch>);

impl Rows {
    async fn put(&self, batch: Batch) -> Result<()> {
        self.0
            .send(batch)
            .await
            .map_err(|_| anyhow!("the writer has ended"))
    }

    pub async fn put_users(&self, users: Vec<UserRow>) -> Result<()> {
        self.put(Batch::Users(users)).await
    }

    pub async fn put_groups(&self, groups: Vec<GroupRow>) -> Result<()> {
        self.put(Batch::Groups(groups)).await
    }

    pub async fn put_members(&self, group: String, users: Vec<String>) -> Result<()> {
        self.put(Batch::Members(group, users)).await
    }
}

impl Database {
    /// Makes the file and starts its writer.
    pub fn create(path: &Path) -> Result<Self> {
        let file = Connection::open(path).with_context(|| format!("making {}", path.display()))?;
        file.pragma_update(None, "journal_mode", "wal")?;
        file.pragma_update(None, "synchronous", "full")?;
        file.execute_batch(TABLES)?;
        let (sender, batches) = mpsc::channel(QUEUE);
        let writer = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || write(&file, batches))
            .context("starting the writer")?;
        Ok(Self {
            rows: Rows(sender),
            writer,
        })
    }

    /// Where rows are put.
    pub fn rows(&self) -> Rows {
        self.rows.clone()
    }

    /// Waits until all is written, when every other place to put rows is gone.
    pub async fn commit(self) -> Result<()> {
        drop(self.rows);
        let writer = self.writer;
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .context("waiting for the writer")?
            .map_err(|_| anyhow!("the writer broke off"))?
    }
}

fn write(file: &Connection, mut batches: mpsc::Receiver<Batch>) -> Result<()> {
    file.execute_batch("BEGIN")?;
    {
        let mut user =
            file.prepare("INSERT INTO user VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING")?;
        let mut group =
            file.prepare("INSERT INTO directory_group VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
        let mut membership = file.prepare("INSERT INTO membership VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
        while let Some(batch) = batches.blocking_recv() {
            match batch {
                Batch::Users(rows) => {
                    for row in rows {
                        user.execute((
                            row.external_id,
                            row.email,
                            row.username,
                            row.display_name,
                            row.given_name,
                            row.family_name,
                            row.status,
                        ))?;
                    }
                }
                Batch::Groups(rows) => {
                    for row in rows {
                        group.execute((row.external_id, row.name, row.description))?;
                    }
                }
                Batch::Members(of, users) => {
                    for id in users {
                        membership.execute((&of, id))?;
                    }
                }
            }
        }
    }
    file.execute_batch("COMMIT")?;
    Ok(())
}
