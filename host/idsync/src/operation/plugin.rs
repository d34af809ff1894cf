//! Plugins: listing those that can be used, and inspecting a file.

use std::path::Path;

use idsync_sandbox::Inspection;
use serde::Serialize;

use crate::app::{AppOptions, Plugins};
use crate::error::CommandError;

/// A file among the plugins.
#[derive(Debug, Serialize)]
pub struct PluginLine {
    /// The provider's word.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// The plugin's version.
    pub version: Option<String>,
    /// The file's name.
    pub file: String,
    /// Why it can't be used.
    pub problem: Option<String>,
}

/// The plugins of the folder, by the names of their files.
pub async fn list(options: &AppOptions) -> Result<Vec<PluginLine>, CommandError> {
    let plugins = Plugins::open(options)?;
    let mut lines = Vec::new();
    for path in plugins.files()? {
        let file = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let line = match plugins.load(&path).await {
            Ok(plugin) => {
                let about = plugin.description();
                PluginLine {
                    id: Some(about.id.clone()),
                    name: Some(about.name.clone()),
                    version: Some(about.version.clone()),
                    file,
                    problem: None,
                }
            }
            Err(error) => PluginLine {
                id: None,
                name: None,
                version: None,
                file,
                problem: Some(error.summary),
            },
        };
        lines.push(line);
    }
    Ok(lines)
}

/// Looks at one file.
pub async fn inspect(options: &AppOptions, file: &Path) -> Result<Inspection, CommandError> {
    Ok(Plugins::open(options)?.load(file).await?.inspect())
}
