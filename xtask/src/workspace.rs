//! Where things are: the workspace's root, its packages and its target folder, as cargo sees them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A package of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name in Cargo.toml.
    pub name: String,
    /// Its folder, relative to the workspace's root.
    pub folder: PathBuf,
    /// What its code, but not its tests, depends on.
    pub dependencies: Vec<String>,
}

/// The workspace.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The folder of the workspace's Cargo.toml.
    pub root: PathBuf,
    /// Where cargo builds: `target`, or what `CARGO_TARGET_DIR` or a configuration says.
    pub target: PathBuf,
    /// Its members.
    pub packages: Vec<Package>,
}

impl Workspace {
    /// Asks cargo.
    pub fn locate() -> Result<Self> {
        let output = Command::new("cargo")
            .args([
                "metadata",
                "--no-deps",
                "--format-version",
                "1",
                "--manifest-path",
            ])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
            .output()
            .context("starting `cargo metadata`")?;
        if !output.status.success() {
            bail!(
                "`cargo metadata` failed:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("reading `cargo metadata`")?;
        let root = PathBuf::from(text(&metadata["workspace_root"])?);
        let packages = metadata["packages"]
            .as_array()
            .context("`cargo metadata` lists no packages")?
            .iter()
            .map(|package| Package::from_metadata(package, &root))
            .collect::<Result<_>>()?;
        Ok(Self {
            target: PathBuf::from(text(&metadata["target_directory"])?),
            packages,
            root,
        })
    }

    /// The packages in a folder and the folders below it.
    pub fn packages_under(&self, folder: &str) -> Vec<&Package> {
        self.packages
            .iter()
            .filter(|package| package.folder.starts_with(folder))
            .collect()
    }
}

impl Package {
    fn from_metadata(package: &Value, root: &Path) -> Result<Self> {
        let manifest = PathBuf::from(text(&package["manifest_path"])?);
        let folder = manifest
            .parent()
            .and_then(|folder| folder.strip_prefix(root).ok())
            .with_context(|| format!("{} is outside the workspace", manifest.display()))?;
        let dependencies = package["dependencies"]
            .as_array()
            .context("`cargo metadata` lists no dependencies")?
            .iter()
            .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect();
        Ok(Self {
            name: text(&package["name"])?.to_owned(),
            folder: folder.to_owned(),
            dependencies,
        })
    }
}

fn text(value: &Value) -> Result<&str> {
    value
        .as_str()
        .context("`cargo metadata` answered in another shape than expected")
}
