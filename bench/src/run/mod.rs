//! The driver.
use anyhow::Result;
use clap::Args;
/// How the driver is called.
#[derive(Debug, Args)]
pub struct Options {}
/// Measures.
pub fn main(_: &Options) -> Result<bool> {
    Ok(true)
}
