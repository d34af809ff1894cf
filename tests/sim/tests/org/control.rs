//! The control API, the log, and orgs side by side.

use okta_sim::{Sim, SimOptions};
use serde_json::json;

use crate::client::Client;
use crate::{signed_in, sim};

#[tokio::test]
async fn what_was_asked_is_told() {
    let (sim, client) = signed_in().await;
    sim.forget_requests();
    client.get("/api/v1/users?limit=1").await;
    client.get("/api/v1/users/nobody").await;
    let requests = sim.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[0].query.as_str(), requests[0].status), ("limit=1", 200));
    assert_eq!(
        requests[0].dpop_thumbprint.as_deref(),
        Some(client.dpop.thumbprint().as_str())
    );
    assert!(!requests[0].headers.contains_key("authorization"));
    assert_eq!(sim.counters().endpoints["/api/v1/users/{id}"].statuses[&404], 1);
}

#[tokio::test]
async fn the_control_api_does_the_same_over_plain_http() {
    let sim = sim().await;
    let mut client = Client::new(&sim);
    let control = async |method: &str, path: &str, body: &str| client.control(method, path, body).await;
    assert_eq!(control("PUT", "/jwk", &client.jwk()).await.status, 200);
    assert_eq!(
        control("PATCH", "/settings", r#"{"org_id": "00oOther"}"#)
            .await
            .json()["org_id"],
        "00oOther"
    );
    let users = control("GET", "/users?limit=3", "").await.json();
    let id = users[0]["id"].as_str().unwrap();
    let change =
        json!([{"do": "set-status", "user": id, "status": "SUSPENDED"}, {"do": "unassign-all-groups"}]);
    assert_eq!(
        control("POST", "/changes", &change.to_string()).await.json()["ids"][0],
        id
    );
    assert!(
        !control("GET", "/expected", "")
            .await
            .text()
            .contains("\"type\":\"group\"")
    );
    let fault = r#"{"fault": "status", "status": 500, "path": "/api/v1/apps", "count": null}"#;
    assert_eq!(control("POST", "/faults", fault).await.json()["ids"], json!([1]));
    assert_eq!(
        control("POST", "/faults", r#"{"fault": "no-such"}"#).await.status,
        400
    );
    client.sign_in().await;
    assert_eq!(client.get("/api/v1/apps").await.status, 500);
    assert_eq!(client.control("GET", "/faults", "").await.json()[0]["struck"], 1);
    assert_eq!(client.control("DELETE", "/faults", "").await.status, 200);
    assert_eq!(client.get("/api/v1/apps").await.status, 200);
    assert_eq!(
        client
            .control("PUT", "/clock", r#"{"freeze_at": 5, "advance_secs": 2}"#)
            .await
            .json()["now"],
        7
    );
    assert_eq!(
        client.control("GET", "/counters", "").await.json()["endpoints"]["/api/v1/apps"]["requests"],
        2
    );
    assert_eq!(
        client.control("GET", "/info", "").await.json()["domain"],
        sim.info().domain.as_str()
    );
    assert_eq!(client.control("GET", "/nothing", "").await.status, 404);
}

#[test]
fn an_org_can_bring_its_own_threads_and_many_run_side_by_side() {
    let orgs: Vec<Sim> = (0..3)
        .map(|seed| {
            Sim::launch(SimOptions {
                seed,
                ..SimOptions::default()
            })
            .unwrap()
        })
        .collect();
    let domains: std::collections::HashSet<_> = orgs.iter().map(|org| org.info().domain.clone()).collect();
    assert_eq!(domains.len(), 3);
    let ca = orgs[0].info().ca.clone();
    assert!(
        std::fs::read_to_string(&ca)
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
    drop(orgs);
    assert!(!std::path::Path::new(&ca).exists());
}
