//! `build`: the host for this machine, and the plugins as components in a target folder of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, run};
use crate::out;
use crate::workspace::{Package, Workspace};

/// What the components are compiled for.
pub const COMPONENT_TARGET: &str = "wasm32-wasip2";

/// The provider that is delivered, by its package; its file is called as the provider is.
const OKTA: (&str, &str) = ("plugin-okta", "okta");

/// Where the parts are that were built.
#[derive(Debug)]
pub struct Parts {
    /// The host's binary, dev profile.
    pub idsync: PathBuf,
    /// The folder with the provider plugins.
    pub plugins: PathBuf,
}

/// Whether the tests are compiled together with the binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tests {
    /// They are: what they share with the binaries is then compiled once, with the features that both need.
    Too,
    /// The binaries alone.
    No,
}

/// Builds the host, the plugins and the test plugins.
pub fn all(workspace: &Workspace, tests: Tests) -> Result<Parts> {
    let parts = Parts {
        idsync: host(workspace, tests)?,
        plugins: plugins(workspace)?,
    };
    test_plugins(workspace)?;
    out::line(&format!("host     {}", parts.idsync.display()));
    out::line(&format!("plugins  {}", parts.plugins.display()));
    Ok(parts)
}

/// Builds every binary of the dev profile in one command, so that what they share is compiled once, and answers the
/// host's.
pub fn host(workspace: &Workspace, tests: Tests) -> Result<PathBuf> {
    let mut command = cargo(workspace, ["build", "--workspace", "--bins"]);
    if tests == Tests::Too {
        command.args(["--lib", "--tests"]);
    }
    run(&mut command)?;
    Ok(binary(workspace, "idsync"))
}

/// Where a binary of the dev profile is.
pub fn binary(workspace: &Workspace, name: &str) -> PathBuf {
    workspace
        .target
        .join("debug")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Builds the providers that are delivered, and answers their folder.
pub fn plugins(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("plugins");
    let (package, provider) = OKTA;
    components(workspace, &[(package, provider.to_owned())], &folder)?;
    Ok(folder)
}

/// Builds the plugins that only tests load: the hostile ones and the examples, each called as its package is.
fn test_plugins(workspace: &Workspace) -> Result<()> {
    let built: Vec<_> = test_plugin_packages(workspace)
        .iter()
        .map(|package| (package.name.as_str(), package.name.clone()))
        .collect();
    components(workspace, &built, &workspace.target.join("test-plugins"))
}

/// The packages that become test plugins.
fn test_plugin_packages(workspace: &Workspace) -> Vec<&Package> {
    ["tests/plugins", "examples"]
        .iter()
        .flat_map(|folder| workspace.packages_under(folder))
        .collect()
}

/// The packages that are compiled to components.
pub fn component_packages(workspace: &Workspace) -> Vec<&str> {
    std::iter::once(OKTA.0)
        .chain(test_plugin_packages(workspace).iter().map(|p| p.name.as_str()))
        .collect()
}

/// Compiles packages to components, and copies each to `folder` under the name that is given with it.
pub fn components(workspace: &Workspace, packages: &[(&str, String)], folder: &Path) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    ensure_component_target()?;
    let build_folder = component_build_folder(workspace);
    let mut command = cargo(
        workspace,
        ["build", "--profile", "plugin", "--target", COMPONENT_TARGET],
    );
    command.arg("--target-dir").arg(&build_folder);
    for (package, _) in packages {
        command.args(["--package", package]);
    }
    run(&mut command)?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for (package, name) in packages {
        let built = build_folder
            .join(COMPONENT_TARGET)
            .join("plugin")
            .join(format!("{}.wasm", package.replace('-', "_")));
        let copy = folder.join(format!("{name}.wasm"));
        fs::copy(&built, &copy)
            .with_context(|| format!("copying {} to {}", built.display(), copy.display()))?;
    }
    Ok(())
}

/// The target folder of the components: their profile and flags never disturb what is built for this machine.
pub fn component_build_folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("plugin-build")
}

/// Adds the components' target to the toolchain where it is missing.
pub fn ensure_component_target() -> Result<()> {
    if has_component_target()? {
        return Ok(());
    }
    out::step(&format!(
        "adding the target {COMPONENT_TARGET} (rustup target add)"
    ));
    let added = Command::new("rustup")
        .args(["target", "add", COMPONENT_TARGET])
        .status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!(
            "adding {COMPONENT_TARGET} through rustup failed: check the network, then run \
             `rustup target add {COMPONENT_TARGET}`"
        ),
        Err(_) => bail!(
            "the plugins need Rust's target {COMPONENT_TARGET}, and there is no rustup to add it: install rustup \
             (https://rustup.rs), or the package of your distribution that brings the standard library for that target"
        ),
    }
}

/// Whether the standard library for the components' target is installed.
fn has_component_target() -> Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", COMPONENT_TARGET])
        .stderr(Stdio::null())
        .output()
        .context("starting rustc")?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let has_std = |folder: &Path| {
        fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("libstd-")))
        })
    };
    Ok(output.status.success() && has_std(&folder))
}
