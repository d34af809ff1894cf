//! The yardstick: reads the pages of an org that idsync reads, and inserts their rows into tables. No sandbox, no plan,
//! no limits, no resume; what is left is what the work itself costs.

mod database;
mod org;
mod pages;

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use self::database::{Database, Rows};
use self::org::Org;
use self::pages::{AppGroup, AppUser, Member};
use crate::{on_all_cores, out, time};

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
    on_all_cores(whole(options))
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
    // A group's members are asked for as soon as the group is known.
    let (groups, memberships) = pages(
        &org,
        format!("{app}/groups?limit=200&expand=group"),
        Some("group"),
    )
    .map_ok(|page| {
        let rows = database.rows();
        async move { put_groups(&page, &rows).await }
    })
    .try_buffered(2)
    .map_ok(|groups| stream::iter(groups).map(anyhow::Ok))
    .try_flatten()
    .map_ok(|group| {
        let list = tokio::spawn(read_members(
            Arc::clone(&org),
            database.rows(),
            options.base.clone(),
            group,
        ));
        async move { list.await.context("a reader broke off")? }
    })
    .try_buffer_unordered(options.concurrency)
    .try_fold((0, 0), async |(groups, sum), members| {
        Ok((groups + 1, sum + members))
    })
    .await?;
    let users = users.await.context("the reader of users broke off")??;
    database.commit().await?;
    let told = json!({
        "users": users,
        "groups": groups,
        "memberships": memberships,
        "requests": org.requests(),
        "duration_ms": began.elapsed().as_millis(),
    });
    out::line(&told.to_string());
    Ok(())
}

/// The pages of a listing. The next one is under way while a page is worked on.
fn pages(
    org: &Arc<Org>,
    first: String,
    expand: Option<&'static str>,
) -> impl Stream<Item = Result<Vec<u8>>> + Send + use<> {
    let ask = |org: Arc<Org>, url: String| tokio::spawn(async move { org.page(&url).await });
    let begun = Some((Arc::clone(org), ask(Arc::clone(org), first)));
    stream::try_unfold(begun, move |under_way| async move {
        let Some((org, page)) = under_way else {
            return Ok(None);
        };
        let page = page.await.context("a request broke off")??;
        let next = page.next.map(|url| {
            let page = ask(Arc::clone(&org), with_expand(url, expand));
            (org, page)
        });
        Ok(Some((page.body, next)))
    })
}

async fn read_users(org: Arc<Org>, rows: Rows, first: String) -> Result<usize> {
    let mut pages = pin!(pages(&org, first, Some("user")));
    let mut users = 0;
    while let Some(page) = pages.try_next().await? {
        let listed: Vec<AppUser<'_>> = serde_json::from_slice(&page).context("reading users")?;
        users += listed.len();
        rows.put_users(listed.iter().map(AppUser::row).collect()).await?;
    }
    Ok(users)
}

async fn put_groups(page: &[u8], rows: &Rows) -> Result<Vec<String>> {
    let listed: Vec<AppGroup<'_>> = serde_json::from_slice(page).context("reading groups")?;
    let ids = listed.iter().map(|group| group.id.to_string()).collect();
    rows.put_groups(listed.iter().map(AppGroup::row).collect())
        .await?;
    Ok(ids)
}

async fn read_members(org: Arc<Org>, rows: Rows, base: String, group: String) -> Result<usize> {
    let first = format!("{base}/api/v1/groups/{group}/users?limit=1000");
    let mut pages = pin!(pages(&org, first, None));
    let mut members = 0;
    while let Some(page) = pages.try_next().await? {
        let listed: Vec<Member<'_>> = serde_json::from_slice(&page).context("reading members")?;
        members += listed.len();
        let ids = listed.iter().map(|member| member.id.to_string()).collect();
        rows.put_members(group.clone(), ids).await?;
    }
    Ok(members)
}

/// Okta's links lack `expand` at times.
fn with_expand(url: String, expand: Option<&str>) -> String {
    match expand {
        Some(what) if !url.contains("expand=") => format!("{url}&expand={what}"),
        _ => url,
    }
}
