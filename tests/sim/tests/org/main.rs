//! The simulated org as a client sees it, over TLS: token and DPoP rules, listings, errors, faults, control.
#![expect(clippy::unwrap_used, reason = "a test ends at what it can't unwrap")]

mod answers;
mod client;
mod control;
mod faults;
mod tokens;

use std::sync::Arc;

use client::Client;
use okta_sim::{Sim, SimOptions};

/// An org with every oddity.
async fn sim() -> Arc<Sim> {
    let options = SimOptions {
        users: 120,
        groups: 9,
        per_group: 30,
        ..SimOptions::default()
    };
    Arc::new(Sim::start(options).await.unwrap())
}

/// An org whose service app has the client's key, and a client with a token.
async fn signed_in() -> (Arc<Sim>, Client) {
    let sim = sim().await;
    let mut client = Client::new(&sim);
    sim.register_jwk(&client.jwk()).unwrap();
    client.sign_in().await;
    (sim, client)
}

fn app_path(sim: &Sim, rest: &str) -> String {
    format!("/api/v1/apps/{}{rest}", sim.info().app_id)
}
