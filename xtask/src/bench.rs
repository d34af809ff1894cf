//! `bench`: builds what is measured in release, and measures it.

use anyhow::Result;

use crate::build;
use crate::cargo::{self, cargo};
use crate::out;
use crate::workspace::Workspace;

/// The binaries that are measured, and the driver.
const PACKAGES: [&str; 3] = ["idsync", "okta-sim", "idsync-bench"];

/// Builds and measures. The arguments are the driver's.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    out::step("building in release");
    let mut build = cargo(workspace, ["build", "--release"]);
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    cargo::run(&mut build)?;
    let plugins = build::plugins(workspace)?;
    let release = |name: &str| {
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        workspace.target.join("release").join(name)
    };
    let mut driver = std::process::Command::new(release("idsync-bench"));
    driver
        .arg("run")
        .arg("--idsync")
        .arg(release("idsync"))
        .arg("--okta-sim")
        .arg(release("okta-sim"))
        .arg("--plugins")
        .arg(plugins)
        .arg("--out")
        .arg(workspace.target.join("bench"))
        .args(arguments);
    cargo::run(&mut driver)
}
