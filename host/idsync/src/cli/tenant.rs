//! `idsync tenant …`

use serde_json::json;

use super::args::TenantCommand;
use super::output::{Output, table};
use crate::app::App;
use crate::error::CommandError;
use crate::operation::tenant;

pub async fn run(app: &App, command: TenantCommand, output: Output) -> Result<u8, CommandError> {
    match command {
        TenantCommand::Add { name } => {
            let tenant = tenant::add(app, &name).await?;
            output.answer(&tenant, || {
                format!("Added tenant {name}. Name it with --tenant {name}.")
            })?;
        }
        TenantCommand::List => {
            let tenants = tenant::list(app).await?;
            output.answer(&tenants, || {
                table(
                    ["tenant", "directories", "since"],
                    tenants.iter().map(|t| {
                        [
                            t.name.to_string(),
                            t.directories.to_string(),
                            t.created_at.clone(),
                        ]
                    }),
                )
            })?;
        }
        TenantCommand::Remove { name } => {
            tenant::remove(app, &name).await?;
            output.answer(&json!({ "removed": name }), || format!("Removed tenant {name}."))?;
        }
    }
    Ok(0)
}
