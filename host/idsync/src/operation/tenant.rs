//! Tenants: adding, listing, removing.

use idsync_model::TenantName;
use serde::Serialize;

use crate::app::App;
use crate::error::CommandError;

/// A tenant as commands show it.
#[derive(Debug, Serialize)]
pub struct TenantView {
    /// Its name.
    pub name: TenantName,
    /// How many directories it has.
    pub directories: u64,
    /// When it was added.
    pub created_at: String,
}

impl From<idsync_store::Tenant> for TenantView {
    fn from(tenant: idsync_store::Tenant) -> Self {
        Self {
            name: tenant.name,
            directories: tenant.directories,
            created_at: tenant.created_at.to_string(),
        }
    }
}

/// Adds a tenant.
pub async fn add(app: &App, name: &TenantName) -> Result<TenantView, CommandError> {
    Ok(app.store().add_tenant(name).await?.into())
}

/// All tenants by name.
pub async fn list(app: &App) -> Result<Vec<TenantView>, CommandError> {
    Ok(app
        .store()
        .tenants()
        .await?
        .into_iter()
        .map(TenantView::from)
        .collect())
}

/// Removes a tenant that has no directories.
pub async fn remove(app: &App, name: &TenantName) -> Result<(), CommandError> {
    if *name == TenantName::default_tenant() {
        return Err(CommandError::usage(
            "the tenant `default` can't be removed",
            "It exists from the start, and is the one that is meant where none is named.",
        ));
    }
    Ok(app.store().remove_tenant(name).await?)
}
