//! Tokens and proofs: what the token endpoint and resource requests check.

use std::sync::Arc;

use okta_sim::{Sim, SimOptions};
use serde_json::json;

use crate::client::{Client, Reply, Signer};
use crate::{signed_in, sim};

#[tokio::test]
async fn a_token_takes_an_assertion_a_nonce_and_two_proofs() {
    let sim = sim().await;
    let client = Client::new(&sim);

    let refused = client.token(client.assertion(), None, None).await;
    assert_eq!(refused.oauth(), (401, "The client_assertion JWT kid is invalid."));

    sim.register_jwk(&client.jwk()).unwrap();
    let refused = client.token(client.assertion(), None, None).await;
    assert_eq!(refused.oauth(), (400, "The DPoP proof JWT header is missing."));

    let first = client
        .token(client.assertion(), Some(client.token_proof(None)), None)
        .await;
    assert_eq!(
        first.oauth(),
        (400, "Authorization server requires nonce in DPoP proof.")
    );
    let nonce = first.header("dpop-nonce");

    let proof = client.token_proof(Some(&nonce));
    let granted = client.token(client.assertion(), Some(proof.clone()), None).await;
    assert_eq!(granted.status, 200, "{granted:?}");
    assert_eq!(granted.json()["token_type"], "DPoP");
    assert_eq!(
        granted.json()["scope"],
        "okta.apps.read okta.groups.read okta.users.read"
    );

    let replayed = client.token(client.assertion(), Some(proof), None).await;
    assert_eq!(
        replayed.oauth(),
        (400, "The DPoP proof JWT has already been used.")
    );
}

#[tokio::test]
async fn an_assertion_is_used_once_even_when_a_nonce_is_asked_for() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.register_jwk(&client.jwk()).unwrap();
    let assertion = client.assertion();
    let first = client
        .token(assertion.clone(), Some(client.token_proof(None)), None)
        .await;
    let nonce = first.header("dpop-nonce");
    let again = client
        .token(assertion, Some(client.token_proof(Some(&nonce))), None)
        .await;
    assert_eq!(
        again.oauth(),
        (401, "The client_assertion token has already been used.")
    );
}

#[tokio::test]
async fn each_wrong_assertion_has_its_own_error() {
    let sim = sim().await;
    let client = Client::new(&sim);
    sim.register_jwk(&client.jwk()).unwrap();
    let now = sim.now();
    let other = Signer::new("other");
    let cases = [
        (
            client.key.assertion(&sim, &json!({"exp": now - 1})),
            "The client_assertion token is expired.",
        ),
        (
            client.key.assertion(&sim, &json!({"exp": now + 4_000})),
            "The client_assertion token has an expiration too far into the future.",
        ),
        (
            client.key.assertion(&sim, &json!({"iat": now + 900})),
            "The client_assertion token was issued in the future.",
        ),
        (
            client
                .key
                .assertion(&sim, &json!({"aud": "https://elsewhere.example"})),
            "The audience claim for client_assertion must be the endpoint invoked for the request.",
        ),
        (
            client
                .key
                .assertion(&sim, &json!({"sub": "0oaWrong", "iss": "0oaWrong"})),
            "Invalid value for 'client_id' parameter.",
        ),
        (
            other.with_kid("mine").assertion(&sim, &json!({})),
            "The client_assertion signature is invalid.",
        ),
    ];
    for (assertion, text) in cases {
        assert_eq!(client.token(assertion, None, None).await.oauth(), (401, text));
    }
}

#[tokio::test]
async fn scopes_that_are_not_granted_are_dropped_without_a_word() {
    let (sim, mut client) = signed_in().await;
    sim.set(|settings| settings.granted_scopes = vec!["okta.apps.read".to_owned()]);
    client.sign_in().await;
    assert_eq!(client.scope, "okta.apps.read");
    let refused = client.get("/api/v1/users?limit=1").await;
    assert_eq!((refused.status, refused.body.len()), (403, 0));
    assert!(
        refused
            .header("www-authenticate")
            .contains("error=\"insufficient_scope\"")
    );

    sim.set(|settings| settings.granted_scopes.clear());
    let nonce = client.nonce.clone();
    let refused = client
        .token(
            client.assertion(),
            Some(client.token_proof(nonce.as_deref())),
            None,
        )
        .await;
    assert_eq!(
        refused.oauth(),
        (400, "You are not allowed any of the requested scopes.")
    );
    let refused = client
        .token(
            client.assertion(),
            Some(client.token_proof(nonce.as_deref())),
            Some("email"),
        )
        .await;
    assert_eq!(refused.json()["error"], "invalid_scope");
}

#[tokio::test]
async fn dpop_optional_gives_a_bearer_token_when_no_proof_is_sent() {
    let options = SimOptions {
        dpop: okta_sim::Dpop::Optional,
        ..SimOptions::default()
    };
    let sim = Arc::new(Sim::start(options).await.unwrap());
    let client = Client::new(&sim);
    sim.register_jwk(&client.jwk()).unwrap();
    let granted = client.token(client.assertion(), None, None).await.json();
    assert_eq!(granted["token_type"], "Bearer");
    let authorization = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    let reply = client
        .send(
            "GET",
            "/api/v1/users?limit=1",
            &[("authorization", &authorization)],
            "",
        )
        .await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_resource_request_needs_a_proof_of_its_own() {
    let (sim, client) = signed_in().await;
    let path = "/api/v1/users?limit=1";
    let ask = async |authorization: &str, proof: Option<String>| -> Reply {
        let mut headers = vec![("authorization", authorization)];
        headers.extend(proof.as_deref().map(|proof| ("dpop", proof)));
        client.send("GET", path, &headers, "").await
    };
    let dpop = format!("DPoP {}", client.access_token);
    let good = client.proof("GET", path, &json!({}));
    assert_eq!(ask(&dpop, Some(good.clone())).await.status, 200);
    let replayed = ask(&dpop, Some(good)).await;
    assert_eq!((replayed.status, replayed.body.len()), (400, 0));
    assert!(
        replayed
            .header("www-authenticate")
            .contains("The DPoP proof JWT has already been used.")
    );

    assert_eq!(ask(&dpop, None).await.status, 400);
    for wrong in [
        json!({"ath": "x"}),
        json!({"htm": "POST"}),
        json!({"htu": format!("{}{path}", sim.info().base)}),
        json!({"iat": sim.now() - 900}),
    ] {
        let refused = ask(&dpop, Some(client.proof("GET", path, &wrong))).await;
        assert_eq!(refused.status, 400, "{wrong}");
        assert!(
            refused.header("www-authenticate").contains("invalid_dpop_proof"),
            "{wrong}"
        );
    }
    let bearer = format!("Bearer {}", client.access_token);
    assert_eq!(ask(&bearer, None).await.status, 401);
    assert_eq!(
        ask("DPoP nonsense", Some(client.proof("GET", path, &json!({}))))
            .await
            .status,
        401
    );
    assert_eq!(
        client.send("GET", path, &[], "").await.json()["errorCode"],
        "E0000005"
    );

    sim.expire_tokens();
    assert_eq!(client.get(path).await.status, 401);
}

#[tokio::test]
async fn a_nonce_is_asked_for_late_and_answered() {
    let (sim, mut client) = signed_in().await;
    sim.set(|settings| settings.resource_nonce = true);
    sim.rotate_nonce(true);
    let asked = client.get("/api/v1/users?limit=1").await;
    assert_eq!(asked.status, 401);
    assert!(asked.header("www-authenticate").contains("use_dpop_nonce"));
    client.nonce = Some(asked.header("dpop-nonce"));
    let answered = client.get("/api/v1/users?limit=1").await;
    assert_eq!(answered.status, 200);
    sim.rotate_nonce(false);
    let rotated = client.get("/api/v1/users?limit=1").await;
    assert_eq!(rotated.status, 200, "the nonce before is still good");
    assert_ne!(rotated.header("dpop-nonce"), answered.header("dpop-nonce"));
}
