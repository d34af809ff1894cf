//! sync
use crate::failure::*; use crate::host::Host; use crate::report::*; use crate::settings::Settings;
pub async fn sync<H: Host>(_host: &H, _s: Settings, _o: SyncRequest) -> Result<SyncSummary, Failure> { Err(Failure::protocol("sync", "not built")) }
