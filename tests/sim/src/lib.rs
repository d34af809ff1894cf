//! A simulated Okta org: real HTTPS on loopback, Okta's checks, shapes and habits, and faults on demand.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use okta_sim::{Change, Sim, SimOptions};
//!
//! let sim = Sim::start(SimOptions { users: 50, groups: 5, ..SimOptions::default() }).await?;
//! sim.register_jwk(r#"{"kty": "RSA", "kid": "mine", "e": "AQAB", "n": "…"}"#)?;
//! sim.change(&Change::UnassignAllGroups { app: None, keep_users: true })?;
//! let right = sim.expected();
//! # Ok(())
//! # }
//! ```
//!
//! The rest of the way in: [`Sim`] holds one org; [`Settings`] is what an admin would set at Okta; [`Change`] is
//! what happens in the org; [`Fault`] is what goes wrong. The control API offers the same over plain HTTP.

#![expect(
    clippy::result_large_err,
    reason = "a refusal is an answer like any other, and as big"
)]

mod access;
mod answer;
mod change;
mod changing;
mod clock;
mod control;
mod dpop;
mod expected;
mod faults;
mod front;
mod generate;
mod gzip;
mod ids;
mod limits;
mod mangle;
mod org;
mod pages;
mod resources;
mod rows;
mod search;
mod seen;
mod server;
mod settings;
mod sim;
mod state;
mod tls;
mod token;

pub use change::{Change, ChangeError};
pub use faults::{Fault, FaultKind, NextTo, RateHeaders, SetFault};
pub use generate::Shape;
pub use org::{GroupType, Scope, UserStatus};
pub use seen::{Counters, EndpointCount, RequestSeen};
pub use settings::{Dpop, DropsExpand, LinkHeaders, Refusal, ResourceSet, Role, Settings};
pub use sim::{Sim, SimInfo, SimOptions};
pub use tls::Authority;
