//! The yardstick: reads the pages of an org that idsync reads, and inserts their rows into tables. No sandbox, no plan,
//! no limits, no resume; what is left is what the work itself costs.

mod database;
mod org;
mod pages;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use self::database::{Database, Rows};
use self::org::Org;
use self::pages::{AppGroup, AppUser, Member};
use crate::{out, time};

/// How a yardstick is called.
#[derive(Debug, Args)]
pub struct Options {
    /// URL of the org
    #[arg(long)]
    base: String,
    /// The certificate of its CA
    #[arg(long)]
    ca: PathBuf,
    /// URL of its control API, where the public key is registered
    #[arg(long)]
    control: String,
    /// The service app
    #[arg(long)]
    client_id: String,
    /// The sign-in app
    #[arg(long)]
    app_id: String,
    /// The database to make
    #[arg(long)]
    database: PathBuf,
    /// How many requests there are at once
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
}

/// Reads and inserts, and prints what it did as one line of JSON.
pub fn main(options: &Options) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the threads")?
        .block_on(whole(options))
}

async fn whole(options: &Options) -> Result<()> {
    let org = Org::connect(options).await?;
    let began = time::now();
    let org = Arc::new(org.sign_in().await?);
    let database = Database::create(&options.database)?;
    let app = format!("{}/api/v1/apps/{}", options.base, options.app_id);
    let users = tokio::spawn(read_users(
        Arc::clone(&org),
        database.rows(),
        format!("{app}/users?limit=500&expand=user"),
    ));
    let groups = read_groups(
        &org,
        &database.rows(),
        format!("{app}/groups?limit=200&expand=group"),
    )
    .await?;
    let memberships = stream::iter(groups.iter().cloned())
        .map(|group| {
            let lists = read_members(Arc::clone(&org), database.rows(), options.base.clone(), group);
            async move { tokio::spawn(lists).await.context("a reader broke off")? }
        })
        .buffer_unordered(options.concurrency)
        .try_fold(0, async |sum, members| Ok(sum + members))
        .await?;
    let users = users.await.context("the reader of users broke off")??;
    database.commit().await?;
    let told = json!({
        "users": users,
        "groups": groups.len(),
        "memberships": memberships,
        "requests": org.requests(),
        "duration_ms": began.elapsed().as_millis(),
    });
    out::line(&told.to_string());
    Ok(())
}

async fn read_users(org: Arc<Org>, rows: Rows, first: String) -> Result<usize> {
    let mut next = Some(first);
    let mut users = 0;
    while let Some(url) = next {
        let page = org.page(&url).await?;
        next = page.next.map(|url| with_expand(url, "user"));
        let listed: Vec<AppUser<'_>> = serde_json::from_slice(&page.body).context("reading users")?;
        users += listed.len();
        rows.put_users(listed.iter().map(AppUser::row).collect()).await?;
    }
    Ok(users)
}

async fn read_groups(org: &Org, rows: &Rows, first: String) -> Result<Vec<String>> {
    let mut next = Some(first);
    let mut groups = Vec::new();
    while let Some(url) = next {
        let page = org.page(&url).await?;
        next = page.next.map(|url| with_expand(url, "group"));
        let listed: Vec<AppGroup<'_>> = serde_json::from_slice(&page.body).context("reading groups")?;
        groups.extend(listed.iter().map(|group| group.id.to_string()));
        rows.put_groups(listed.iter().map(AppGroup::row).collect())
            .await?;
    }
    Ok(groups)
}

async fn read_members(org: Arc<Org>, rows: Rows, base: String, group: String) -> Result<usize> {
    let mut next = Some(format!("{base}/api/v1/groups/{group}/users?limit=1000"));
    let mut members = 0;
    while let Some(url) = next {
        let page = org.page(&url).await?;
        next = page.next;
        let listed: Vec<Member<'_>> = serde_json::from_slice(&page.body).context("reading members")?;
        members += listed.len();
        let ids = listed.iter().map(|member| member.id.to_string()).collect();
        rows.put_members(group.clone(), ids).await?;
    }
    Ok(members)
}

/// Okta's links lack `expand` at times.
fn with_expand(url: String, what: &str) -> String {
    if url.contains("expand=") {
        url
    } else {
        format!("{url}&expand={what}")
    }
}
