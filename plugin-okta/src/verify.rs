//! verify
use crate::failure::Failure; use crate::host::Host; use crate::report::Verification; use crate::settings::Settings;
pub async fn verify<H: Host>(_host: &H, _s: Result<Settings, Failure>) -> Verification { Verification { checks: vec![], org_id: None } }
