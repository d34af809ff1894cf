//! explain
use crate::failure::*; use crate::host::Host; use crate::report::*; use crate::settings::Settings;
pub async fn explain<H: Host>(_host: &H, _s: Settings, _who: &str) -> Result<Vec<Check>, Failure> { Err(Failure::protocol("explain", "not built")) }
